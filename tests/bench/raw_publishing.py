"""The relay's other sides: atomic batches straight from memory, and single publishes.

Both have the relay's own client and make their headers as it does (decision 0015), from messages that
are there before the clock starts: what the relay spends beside publishing counts against it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import msgspec

from config.limits import RELAY_BATCH_MAX
from outbox.event import SUBJECTS, Event
from outbox.message import Message, headers_of
from outbox.nats_client import ReadyClient, encoded_headers
from outbox.nats_connection import PENDING_BYTES_MAX
from outbox.nats_publisher import SENT_AT_ONCE_MAX
from tests.bench.process import Failed

STREAM: Final = "RAW"
_CONFIG: Final = {
    "name": STREAM,
    "subjects": [SUBJECTS],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "num_replicas": 1,
    "allow_atomic": True,
    "duplicate_window": 120_000_000_000,
}
_SOURCE: Final = "/bench"
_ANSWER_S: Final = 10.0
_UNDER_WAY: Final = 64


class _Ready(msgspec.Struct, frozen=True):
    """One message as it is sent."""

    subject: str
    data: bytes
    headers: Any


class _Ack(msgspec.Struct, frozen=True):
    seq: int = 0
    count: int = 0
    error: dict[str, object] | None = None


async def make_stream(url: str) -> None:
    """Make a stream beside the relay's, on a server of its own, with the same durability."""
    async with _connected(url) as client:
        answer = await client.request(
            f"$JS.API.STREAM.CREATE.{STREAM}", msgspec.json.encode(_CONFIG), timeout=_ANSWER_S
        )
        _acknowledged(answer.data)


async def publish_batches(url: str, events: Sequence[Event], lanes: int) -> float:
    """Publish in atomic batches as large as the relay's, some at once; return events/s.

    The clock runs from the first message to the last acknowledgement, and all events count.
    """
    messages = _messages(events)
    batches = [
        messages[at : at + RELAY_BATCH_MAX] for at in range(0, len(messages), RELAY_BATCH_MAX)
    ]
    async with _connected(url) as client:
        sending, started = asyncio.Lock(), perf_counter()
        async with asyncio.TaskGroup() as group:
            for lane in range(lanes):
                mine = batches[lane::lanes]
                group.create_task(_lane(client, mine, sending), name=f"lane {lane}")
        return len(events) / (perf_counter() - started)


async def _lane(
    client: ReadyClient, batches: Sequence[Sequence[Message]], sending: asyncio.Lock
) -> None:
    for batch in batches:
        await _publish(client, _batch(batch), sending)


async def _publish(client: ReadyClient, batch: Sequence[_Ready], sending: asyncio.Lock) -> None:
    """Send one batch as the relay does: first and last as requests, what is between at once."""
    if len(batch) > 1:
        await _ask(client, batch[0])
    async with sending:
        for number, one in enumerate(batch[1:-1], 1):
            await client.publish(one.subject, one.data, headers=one.headers)
            if number % SENT_AT_ONCE_MAX == 0:
                await asyncio.sleep(0)
    if (await _ask(client, batch[-1])).count != len(batch):
        raise Failed("a raw batch was not stored whole")


async def publish_singly(url: str, events: Sequence[Event]) -> float:
    """Publish one by one, 64 under way; every one is fsynced and acknowledged. Return events/s."""
    messages = _messages(events)
    async with _connected(url) as client:
        started = perf_counter()
        async with asyncio.TaskGroup() as group:
            for lane in range(_UNDER_WAY):
                group.create_task(_single(client, messages[lane::_UNDER_WAY]), name=f"lane {lane}")
        return len(events) / (perf_counter() - started)


async def _single(client: ReadyClient, messages: Sequence[Message]) -> None:
    for message in messages:
        await _ask(client, _ready(message, {}))


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[ReadyClient]:
    client = ReadyClient()
    await client.connect(url, pending_size=PENDING_BYTES_MAX)
    try:
        yield client
    finally:
        await client.close()


def _batch(messages: Sequence[Message]) -> list[_Ready]:
    batch = str(uuid4())
    return [
        _ready(message, _batch_headers(batch, number, last=number == len(messages)))
        for number, message in enumerate(messages, 1)
    ]


def _batch_headers(batch: str, number: int, *, last: bool) -> dict[str, str]:
    headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
    return headers | {"Nats-Batch-Commit": "1"} if last else headers


def _messages(events: Sequence[Event]) -> list[Message]:
    return [
        Message(one.subject, one.id, one.type, one.at_us, one.data, one.traceparent)
        for one in events
    ]


def _ready(message: Message, more: dict[str, str]) -> _Ready:
    headers = encoded_headers(headers_of(message, _SOURCE) | more)
    return _Ready(message.subject, message.data, headers)


async def _ask(client: ReadyClient, one: _Ready) -> _Ack:
    answer = await client.request(one.subject, one.data, timeout=_ANSWER_S, headers=one.headers)
    return _acknowledged(answer.data)


def _acknowledged(data: bytes) -> _Ack:
    """Return the acknowledgement; a batch's first message gets an empty one."""
    ack = msgspec.json.decode(data, type=_Ack) if data else _Ack()
    if ack.error:
        raise Failed(f"JetStream: {ack.error}")
    return ack
