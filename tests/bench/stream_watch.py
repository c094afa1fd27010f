"""Watches a stream grow while the relay empties its outbox."""

import asyncio
from time import perf_counter
from typing import Any, Final

import msgspec
import nats
from nats.js.errors import NotFoundError

from tests.bench.books import Books
from tests.bench.process import Failed

_LOOK_S: Final = 0.004
_WITHIN_S: Final = 120.0


class Drained(msgspec.Struct, frozen=True):
    """Events/s between the first one and the last one, and how many the stream has by now."""

    rate: float
    stored: int


async def drained(url: str, books: Books, count: int) -> Drained:
    """Wait until so many events more have gone out."""
    client = await nats.connect(url)
    try:
        return await _drained(client.jetstream(), books, count)
    finally:
        await client.close()


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


async def _drained(streams: Any, books: Books, count: int) -> Drained:
    samples: list[tuple[float, int]] = []
    deadline = perf_counter() + _WITHIN_S
    looks = 0
    while not samples or looks % 25 or books.waiting():
        if perf_counter() > deadline:
            raise Failed("the relay did not empty its outbox")
        info = await streams.stream_info("IMV")
        samples.append((perf_counter(), info.state.messages))
        looks += 1
        await asyncio.sleep(_LOOK_S)
    last = (await streams.stream_info("IMV")).state.messages
    begun = next((at for at, seen in samples if seen > samples[0][1]), samples[0][0])
    ended = next((at for at, seen in samples if seen == last), perf_counter())
    subjects = await streams.stream_info("IMV", subjects_filter="imv.v1.>")
    stored = sum((subjects.state.subjects or {}).values())
    return Drained(count / max(ended - begun, _LOOK_S), stored)
