"""Watches a stream grow while the relay empties its outbox."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final

import msgspec
import nats
from nats.js.errors import NotFoundError

from tests.bench.books import Books
from tests.bench.process import Failed

_LOOK_S: Final = 0.02
_LOOKS: Final = 5
"""After so many looks at the stream the outbox is asked, too."""
_WITHIN_S: Final = 120.0
Sample = tuple[float, int]
"""When the stream was looked at, and its length then."""


class Drained(msgspec.Struct, frozen=True):
    """Events/s of the relay (see `pace`), and how many events the stream has by now."""

    rate: float
    stored: int


async def length(url: str) -> int:
    """Return how many messages the relay's stream has, markers included."""
    client = await nats.connect(url)
    try:
        return await _length(client.jetstream())
    finally:
        await client.close()


async def drained(url: str, books: Books, count: int, before: int) -> Drained:
    """Wait until so many events more have gone out; `before` is the stream's length without them."""
    client = await nats.connect(url)
    try:
        return await _drained(client.jetstream(), books, count, before)
    finally:
        await client.close()


def pace(samples: Sequence[Sample], before: int, count: int) -> float:
    """Return events/s from the first look that saw any of them to the first that saw all.

    What the first look saw already took its time before the clock ran, so it does not count;
    markers count as the events beside them do. 0 where all came between two looks.
    """
    last = samples[-1][1]
    begun, seen = next((one for one in samples if one[1] > before), samples[-1])
    ended = next(at for at, found in samples if found == last)
    if seen == last:
        return 0.0
    return count * (last - seen) / (last - before) / (ended - begun)


async def made(url: str) -> None:
    """Wait until the relay has made its stream."""
    client = await nats.connect(url)
    try:
        async with asyncio.timeout(_WITHIN_S):
            while not await _is_there(client.jetstream()):  # noqa: ASYNC110 - it can only be looked at
                await asyncio.sleep(_LOOK_S)
    finally:
        await client.close()


async def _is_there(streams: Any) -> bool:
    try:
        await streams.stream_info("IMV")
    except NotFoundError:
        return False
    return True


async def _drained(streams: Any, books: Books, count: int, before: int) -> Drained:
    samples: list[Sample] = []
    deadline = perf_counter() + _WITHIN_S
    while not samples or len(samples) % _LOOKS or books.waiting():
        if perf_counter() > deadline:
            raise Failed("the relay did not empty its outbox")
        seen = await _length(streams)
        samples.append((perf_counter(), seen))
        await asyncio.sleep(_LOOK_S)
    seen = await _length(streams)
    samples.append((perf_counter(), seen))
    subjects = await streams.stream_info("IMV", subjects_filter="imv.v1.>")
    stored = sum((subjects.state.subjects or {}).values())
    return Drained(pace(samples, before, count), stored)


async def _length(streams: Any) -> int:
    return int((await streams.stream_info("IMV")).state.messages)
