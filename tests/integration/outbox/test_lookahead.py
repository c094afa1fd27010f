"""What follows a batch under way is sent ahead, and stored once it is stamped and its marker is sent."""

import asyncio
from collections.abc import Sequence

import pytest

from config.errors import EngineDown
from outbox.lookahead import PAUSE_S, Lookahead
from outbox.message import Batch, Message, Published
from outbox.nats_publisher import NatsPublisher
from outbox.partitions import Partitions
from outbox.ports import Publisher, Refused, Stored
from outbox.statements import insert_events
from store.engine import Database
from tests.integration.outbox.relaying import (
    CLOCK,
    IDS,
    Passing,
    ShiftedClock,
    a_relay,
    assert_each_once_in_order,
    commit,
    drained,
    event,
    events_of,
    eventually,
    kill,
    running,
    stored,
)

_BATCH = 5
_SOON_S = 0.5


class Ahead(Passing):
    """A publisher that lets what comes next be sent before it publishes, and remembers the names."""

    def __init__(
        self, inner: Publisher, *, forgets: bool = False, stands_still: bool = False
    ) -> None:
        """Take whether the names are unknown later, and whether the second batch is never published."""
        super().__init__(inner)
        self._forgets = forgets
        self._stands_still = stands_still
        self._came = asyncio.Event()
        self.sent: list[str] = []
        self.taken: list[str] = []

    async def send_ahead(self, messages: Sequence[Message]) -> str:
        self.sent.append(await super().send_ahead(messages))
        self._came.set()
        return self.sent[-1]

    async def publish_batch(
        self, batch: Batch, messages: Sequence[Message], *, sent: str = ""
    ) -> Stored | Refused:
        if sent:
            self.taken.append(sent)
        if self._stands_still and sent:
            await asyncio.Event().wait()
        await asyncio.wait((asyncio.ensure_future(self._came.wait()),), timeout=_SOON_S)
        self._came.clear()
        name = "forgotten" if self._forgets and sent else sent
        return await super().publish_batch(batch, messages, sent=name)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.partitions.RELAY_BATCH_MAX", _BATCH)


async def test_whole_batches_go_ahead_and_every_event_arrives_once_in_order(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    events = events_of(2, range(11))
    await commit(database, events)
    ahead = Ahead(publisher)
    async with running(a_relay(database, ahead)):
        await drained(database)
    assert len(ahead.taken) >= 2
    assert set(ahead.taken) <= set(ahead.sent)
    await assert_each_once_in_order(nats_url, events)


async def test_what_the_broker_forgot_is_sent_again(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    events = events_of(2, range(11))
    await commit(database, events)
    ahead = Ahead(publisher, forgets=True)
    async with running(a_relay(database, ahead)):
        await drained(database)
    assert len(ahead.taken) >= 2
    await assert_each_once_in_order(nats_url, events)


async def test_a_relay_killed_with_a_batch_ahead_is_followed_without_loss_or_repeat(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    events = events_of(2, range(11))
    await commit(database, events)
    ahead = Ahead(publisher, stands_still=True)

    async def is_taken() -> bool:
        return bool(ahead.taken)

    async with running(a_relay(database, ahead)) as task:
        await eventually(is_taken)
        await kill(task)
    assert len(await stored(nats_url)) < len(events)
    async with running(a_relay(database, publisher, ShiftedClock(120))):
        await drained(database)
    await assert_each_once_in_order(nats_url, events)


class Sender:
    """A publisher that only counts what is sent ahead."""

    def __init__(self, *, down: bool = False) -> None:
        self.down = down
        self.sent: list[int] = []

    async def send_ahead(self, messages: Sequence[Message]) -> str:
        if self.down:
            raise EngineDown
        self.sent.append(len(messages))
        return f"ahead-{len(self.sent)}"


async def _stamped(database: Database, events: int) -> tuple[Partitions, Batch]:
    partitions = Partitions(database, CLOCK, IDS, partitions=1)
    await partitions.prepare()
    await partitions.refresh(())
    await _insert(database, events)
    ((batch,), _) = await partitions.turn((), [0])
    return partitions, batch


async def _insert(database: Database, count: int) -> None:
    async with database.write() as connection:
        await insert_events(connection, [event("o", n) for n in range(count)], 1)


async def test_only_a_whole_batch_is_sent_ahead(database: Database) -> None:
    partitions, batch = await _stamped(database, 2 * _BATCH - 1)
    sender = Sender()
    lookahead = Lookahead(partitions, sender, CLOCK)
    async with asyncio.TaskGroup() as group:
        lookahead.begin(batch, group)
    assert sender.sent == []
    await _insert(database, 1)
    async with asyncio.TaskGroup() as group:
        lookahead.begin(batch, group)
    assert sender.sent == [_BATCH]


async def test_a_batch_that_its_bytes_fill_is_a_whole_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.partitions.BATCH_BYTES_MAX", 60)
    partitions, batch = await _stamped(database, 7)
    assert len(batch.positions) < 4
    positions, messages = await partitions.load_upcoming(batch)
    assert len(messages) == len(positions) == len(batch.positions)
    ((after,), _) = await partitions.turn([Published(batch, 1)], [0])
    assert after.positions == positions


async def test_a_wrong_guess_is_not_taken_and_none_is_made_for_a_while(database: Database) -> None:
    partitions, batch = await _stamped(database, 3 * _BATCH)
    sender, clock = Sender(), ShiftedClock()
    lookahead = Lookahead(partitions, sender, clock)
    async with asyncio.TaskGroup() as group:
        lookahead.begin(batch, group)
        assert await lookahead.take(batch) is None  # another one was expected
        assert await lookahead.take(batch) is None
        lookahead.begin(batch, group)
    assert sender.sent == [_BATCH]
    clock.shift_s += PAUSE_S + 1
    async with asyncio.TaskGroup() as group:
        lookahead.begin(batch, group)
    assert sender.sent == [_BATCH, _BATCH]


async def test_what_was_sent_long_ago_or_not_at_all_is_still_read(database: Database) -> None:
    partitions, batch = await _stamped(database, 2 * _BATCH)
    sender, clock = Sender(), ShiftedClock()
    lookahead = Lookahead(partitions, sender, clock)
    for down, later_s, name in ((False, 0, "ahead-1"), (False, 6, ""), (True, 0, "")):
        sender.down = down
        async with asyncio.TaskGroup() as group:
            lookahead.begin(batch, group)
        clock.shift_s += later_s
        positions, messages = await partitions.load_upcoming(batch)
        following = Batch("next", batch.partition, batch.epoch, 7, positions)
        ready = await lookahead.take(following)
        assert ready is not None
        assert (list(ready.messages), ready.sent) == (messages, name)


async def test_what_is_read_of_a_partition_that_is_no_longer_ours_is_forgotten(
    database: Database,
) -> None:
    partitions, batch = await _stamped(database, 2 * _BATCH)
    lookahead = Lookahead(partitions, Sender(), CLOCK)
    async with asyncio.TaskGroup() as group:
        lookahead.begin(batch, group)
    positions, _ = await partitions.load_upcoming(batch)
    lookahead.keep({1})
    assert await lookahead.take(Batch("next", 0, batch.epoch, 7, positions)) is None
