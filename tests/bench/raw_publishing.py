"""The relay's other sides: atomic batches straight from memory, and single publishes."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Final
from uuid import uuid4

import msgspec
import nats
from nats.aio.client import Client

from config.limits import PARTITIONS, RELAY_BATCH_MAX
from outbox.event import SUBJECTS, Event
from outbox.message import Message, headers_of
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
_ANSWER_S: Final = 10.0
_UNDER_WAY: Final = 64
_AT_ONCE: Final = 32


class _Ack(msgspec.Struct, frozen=True):
    seq: int = 0
    count: int = 0
    error: dict[str, object] | None = None


async def make_stream(url: str) -> None:
    """Make a stream beside the relay's, on the same server, with the same durability."""
    client = await nats.connect(url)
    try:
        answer = await client.request(
            f"$JS.API.STREAM.CREATE.{STREAM}", msgspec.json.encode(_CONFIG), timeout=_ANSWER_S
        )
        _acknowledged(answer.data)
    finally:
        await client.close()


async def publish_batches(url: str, events: Sequence[Event]) -> float:
    """Publish in atomic batches, as large and as many at once as the relay's; return events/s."""
    messages = _messages(events)
    parts = [messages[at : at + RELAY_BATCH_MAX] for at in range(0, len(messages), RELAY_BATCH_MAX)]
    client = await nats.connect(url)
    sending, started = asyncio.Lock(), perf_counter()
    try:
        async with asyncio.TaskGroup() as lanes:
            for lane in range(PARTITIONS):
                mine = parts[lane::PARTITIONS]
                lanes.create_task(_lane(client, mine, sending), name=f"lane {lane}")
        return len(events) / (perf_counter() - started)
    finally:
        await client.close()


async def _lane(client: Client, parts: Sequence[list[Message]], sending: asyncio.Lock) -> None:
    for part in parts:
        await _publish(client, part, sending)


async def _publish(client: Client, part: Sequence[Message], sending: asyncio.Lock) -> None:
    batch = str(uuid4())
    headers = [_headers(message, batch, number) for number, message in enumerate(part, 1)]
    headers[-1]["Nats-Batch-Commit"] = "1"
    if len(part) > 1:
        first = part[0]
        begun = await client.request(
            first.subject, first.data, timeout=_ANSWER_S, headers=headers[0]
        )
        _acknowledged(begun.data)
    async with sending:
        for number, message in enumerate(part[1:-1], 1):
            await client.publish(message.subject, message.data, headers=headers[number])
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
    last = part[-1]
    done = await client.request(last.subject, last.data, timeout=_ANSWER_S, headers=headers[-1])
    if _acknowledged(done.data).count != len(part):
        raise Failed("a raw batch was not stored whole")


async def publish_singly(url: str, events: Sequence[Event]) -> float:
    """Publish one by one, 64 under way; every one is fsynced and acknowledged. Return events/s."""
    messages = _messages(events)
    client = await nats.connect(url)
    started = perf_counter()
    try:
        async with asyncio.TaskGroup() as lanes:
            for lane in range(_UNDER_WAY):
                lanes.create_task(_single(client, messages[lane::_UNDER_WAY]), name=f"lane {lane}")
        return len(events) / (perf_counter() - started)
    finally:
        await client.close()


async def _single(client: Client, messages: Sequence[Message]) -> None:
    for message in messages:
        headers = headers_of(message, "/bench")
        answer = await client.request(
            message.subject, message.data, timeout=_ANSWER_S, headers=headers
        )
        _acknowledged(answer.data)


def _messages(events: Sequence[Event]) -> list[Message]:
    return [
        Message(one.subject, one.id, one.type, one.at_us, one.data, one.traceparent)
        for one in events
    ]


def _headers(message: Message, batch: str, number: int) -> dict[str, str]:
    headers = headers_of(message, "/bench")
    headers["Nats-Batch-Id"] = batch
    headers["Nats-Batch-Sequence"] = str(number)
    return headers


def _acknowledged(data: bytes) -> _Ack:
    """Return the acknowledgement; a batch's first message gets an empty one."""
    ack = msgspec.json.decode(data, type=_Ack) if data else _Ack()
    if ack.error:
        raise Failed(f"JetStream: {ack.error}")
    return ack
