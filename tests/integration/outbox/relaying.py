"""What the relay's tests share: events, relays to start and to kill, and what is in the stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from config.clock import SystemClock, to_ms, to_us
from config.errors import OutcomeUnknown
from config.ids import EventId, IdFactory
from outbox.event import STREAM, SUBJECTS, Event
from outbox.message import Batch, Marker, Message
from outbox.ports import Extent, Publisher, Refused, Stored
from outbox.relay import Relay
from outbox.statements import backlog, insert_events
from store.engine import Database

IDS = IdFactory()
PARTITIONS = 4
WITHIN_S = 20.0
_PART, _PART_S, _READER_S = 1_000, 20.0, 300.0


class ShiftedClock(SystemClock):
    """The machine's clock, moved by some seconds."""

    def __init__(self, shift_s: float = 0.0) -> None:
        self.shift_s = shift_s

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.shift_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.shift_s


CLOCK = ShiftedClock()


class Passing:
    """A publisher that passes everything on."""

    def __init__(self, inner: Publisher) -> None:
        self._inner = inner

    async def ensure_stream(self) -> None:
        await self._inner.ensure_stream()

    async def extent(self) -> Extent:
        return await self._inner.extent()

    async def last_marker(self, partition: int) -> Marker:
        return await self._inner.last_marker(partition)

    async def send_ahead(self, messages: Sequence[Message]) -> str:
        return await self._inner.send_ahead(messages)

    async def publish_batch(
        self, batch: Batch, messages: Sequence[Message], *, sent: str = ""
    ) -> Stored | Refused:
        return await self._inner.publish_batch(batch, messages, sent=sent)


class Interrupted(Passing):
    """A publisher that stands still, or loses the answer, at one point of its first batch."""

    def __init__(self, inner: Publisher, *, at: str) -> None:
        """Take `before` or `after` (the batch is stored) to stand still, `answer` to lose it."""
        super().__init__(inner)
        self._at = at
        self.reached = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.refused: list[str] = []

    async def publish_batch(
        self, batch: Batch, messages: Sequence[Message], *, sent: str = ""
    ) -> Stored | Refused:
        if self._at == "before":
            await self._stand_still()
        answer = await super().publish_batch(batch, messages, sent=sent)
        if isinstance(answer, Refused):
            self.refused.append(answer.reason)
        if self._at == "after":
            await self._stand_still()
        if self._at == "answer" and not self.reached.is_set():
            self.reached.set()
            raise OutcomeUnknown
        return answer

    async def _stand_still(self) -> None:
        self.reached.set()
        task = asyncio.current_task()
        if task and task.cancelling():
            raise asyncio.CancelledError  # the client swallowed it, as its answer came meanwhile
        await self.goes_on.wait()


def event(key: str, version: int) -> Event:
    return Event(
        id=EventId(IDS.new(to_ms(CLOCK.now()))),
        entity="order",
        name="changed",
        key=key,
        ordering_key=key,
        version=version,
        at_us=to_us(CLOCK.now()),
        data=json.dumps({"id": key, "version": version}).encode(),
    )


def events_of(keys: int, versions: Iterable[int]) -> list[Event]:
    """Return the versions of some keys, mixed."""
    return [event(f"o-{key}", version) for version in versions for key in range(keys)]


async def commit(database: Database, events: Sequence[Event], relay: Relay | None = None) -> None:
    async with database.write() as connection:
        await insert_events(connection, events, PARTITIONS)
    if relay:
        relay.notify()


def a_relay(
    database: Database,
    publisher: Publisher,
    clock: ShiftedClock = CLOCK,
    *,
    partitions: int | None = PARTITIONS,
) -> Relay:
    return Relay(database, publisher, clock, ids=IDS, partitions=partitions)


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[asyncio.Task[None]]:
    """Run a relay beside the test; it stops in order at the end, if it was not killed."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(relay.run())
        yield task
        task.cancel()


async def kill(task: asyncio.Task[None]) -> None:
    """Stop a relay where it stands: nothing is finished, nothing given back."""
    while not task.done():  # the first stops it gently; one that came too early counts for nothing
        task.cancel()
        await asyncio.wait((task,), timeout=0.01)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds; fail when it does not within a bounded time."""
    async with asyncio.timeout(WITHIN_S):
        while not await holds():  # noqa: ASYNC110 - a database sends no event
            await asyncio.sleep(0.01)


async def drained(database: Database) -> None:
    """Wait until no event is pending."""

    async def is_empty() -> bool:
        async with database.read() as connection:
            return (await backlog(connection)).count == 0

    await eventually(is_empty)


async def stored(url: str) -> list[Msg]:
    """Read all events from the stream as any consumer with the plain client does."""
    client = await nats.connect(url)
    try:
        streams = client.jetstream()
        expected = (
            await streams.add_consumer(
                STREAM,
                ConsumerConfig(
                    name="all",
                    filter_subject=SUBJECTS,
                    deliver_policy=DeliverPolicy.ALL,
                    ack_policy=AckPolicy.NONE,
                    inactive_threshold=_READER_S,  # a busy machine may pause longer than 5 s
                ),
            )
        ).num_pending or 0
        reading = await streams.pull_subscribe_bind("all", STREAM)
        messages: list[Msg] = []
        while len(messages) < expected:
            # In parts: beyond 128 MB on the way, the client's own bound drops messages.
            part = min(_PART, expected - len(messages))
            messages += await reading.fetch(part, timeout=_PART_S)
        await streams.delete_consumer(STREAM, "all")
        return messages
    finally:
        await client.close()


async def lose_stream(url: str) -> None:
    client = await nats.connect(url)
    try:
        await client.jetstream().delete_stream(STREAM)
    finally:
        await client.close()


async def assert_each_once_in_order(url: str, events: Sequence[Event]) -> None:
    """Check that the stream holds exactly these events, in order for each ordering key."""
    found = await stored(url)
    ids = [(message.headers or {})["ce-id"] for message in found]
    assert sorted(ids) == sorted(one.id for one in events)
    for key in {one.key for one in events}:
        sent = [one.id for one in events if one.key == key]
        mine = set(sent)
        assert [one for one in ids if one in mine] == sent
