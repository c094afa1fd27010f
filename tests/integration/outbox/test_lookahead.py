"""What follows a batch under way is sent ahead, and stored once it is stamped and its marker is sent."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
import structlog

from config.errors import EngineDown
from outbox.lookahead import FRESH_S, PAUSE_S, Lookahead
from outbox.message import Batch, Message, Published
from outbox.nats_publisher import NatsPublisher
from outbox.partitions import Partitions
from outbox.ports import Publisher, Refused, Stored
from outbox.statements import insert_events
from outbox.trouble import happens
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
    lose_stream,
    running,
    stored,
)

_BATCH = 5
_SOON_S = 2.0


class Ahead(Passing):
    """A publisher that lets what comes next be sent before it publishes, and remembers the names."""

    def __init__(
        self,
        inner: Publisher,
        *,
        forgets: bool = False,
        stands_still: bool = False,
        before_taken: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Take whether names are forgotten, whether none is published, and what comes before one is."""
        super().__init__(inner)
        self._forgets = forgets
        self._stands_still = stands_still
        self._before_taken = before_taken
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
            if self._before_taken and len(self.taken) == 1:
                await self._before_taken()
        if self._stands_still and sent:
            await asyncio.Event().wait()
        await happens(self._came, _SOON_S)
        self._came.clear()
        name = "forgotten" if self._forgets and sent else sent
        return await super().publish_batch(batch, messages, sent=name)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.partitions.RELAY_BATCH_MAX", _BATCH)
    monkeypatch.setattr("outbox.lookahead.WAIT_S", 20.0)  # a machine that stands still is no miss


@pytest.mark.parametrize("forgets", [False, True])
async def test_whole_batches_go_ahead_and_every_event_arrives_once_in_order(
    database: Database, publisher: NatsPublisher, nats_url: str, *, forgets: bool
) -> None:
    """Also where the broker forgets each of them."""
    ahead = Ahead(publisher, forgets=forgets)
    await _relay(database, ahead, nats_url)
    assert len(ahead.taken) >= 2
    assert set(ahead.taken) <= set(ahead.sent)


async def test_a_stream_that_is_lost_with_a_batch_ahead_is_filled_with_everything(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    ahead = Ahead(publisher, before_taken=lambda: lose_stream(nats_url))
    await _relay(database, ahead, nats_url)
    assert ahead.taken


async def _relay(database: Database, publisher: Publisher, nats_url: str) -> None:
    """Have some whole batches relayed, and check that each event arrives once and in order."""
    events = events_of(2, range(11))
    await commit(database, events)
    async with running(a_relay(database, publisher)):
        await drained(database)
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


async def test_two_relays_send_ahead_and_share_an_outbox(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    events = events_of(8, range(20))
    await commit(database, events[:80])
    first, second = Ahead(publisher), Ahead(publisher)
    async with running(a_relay(database, first)), running(a_relay(database, second)):
        await commit(database, events[80:])
        await drained(database)
    assert first.taken or second.taken
    await assert_each_once_in_order(nats_url, events)


class Sender:
    """A sender that only counts what is sent ahead."""

    def __init__(self) -> None:
        self.down = False
        self.sent: list[int] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def send_ahead(self, messages: Sequence[Message]) -> str:
        await self.goes_on.wait()
        if self.down:
            raise EngineDown
        self.sent.append(len(messages))
        return f"ahead-{len(self.sent)}"


class Case:
    """A batch that is stamped, a lookahead, and what it sends."""

    def __init__(self, partitions: Partitions, batch: Batch, messages: Sequence[Message]) -> None:
        self.partitions, self.batch, self._messages = partitions, batch, messages
        self.sender, self.clock = Sender(), ShiftedClock()
        self.lookahead = Lookahead(partitions, self.sender, self.clock)

    async def look(self) -> None:
        """Look behind the batch, to the end."""
        async with asyncio.TaskGroup() as group:
            self.lookahead.begin(self.batch, self._messages, group)

    async def following(self) -> Batch:
        """Return the batch that a turn would stamp next."""
        positions, _ = await self.partitions.load_upcoming(self.batch)
        return Batch("next", self.batch.partition, self.batch.epoch, 7, positions)

    async def taken(self, batch: Batch) -> str:
        """Return the name under which a batch was sent ahead; "" where it was not."""
        ready = (await self.lookahead.take([batch])).get(batch.id)
        return ready.sent if ready else ""


async def _stamped(database: Database, events: int, *, partitions: int = 1) -> Case:
    ours = Partitions(database, CLOCK, IDS, partitions=partitions)
    await ours.prepare()
    await ours.refresh(())
    await _insert(database, events)
    ((batch,), _) = await ours.turn((), [0])
    (messages,) = await ours.load([batch])
    return Case(ours, batch, messages)


async def _insert(database: Database, count: int) -> None:
    async with database.write() as connection:
        await insert_events(connection, [event("o", n) for n in range(count)], 1)


async def test_only_a_whole_batch_is_sent_ahead(database: Database) -> None:
    case = await _stamped(database, 2 * _BATCH - 1)
    await case.look()
    assert case.sender.sent == []
    await _insert(database, 1)
    await case.look()
    assert case.sender.sent == [_BATCH]


async def test_nothing_is_looked_for_behind_a_batch_that_is_not_whole(database: Database) -> None:
    case = await _stamped(database, _BATCH - 1)
    await _insert(database, 2 * _BATCH)
    await case.look()
    assert case.sender.sent == []


async def test_a_batch_that_its_bytes_fill_is_a_whole_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.partitions.BATCH_BYTES_MAX", 60)
    case = await _stamped(database, 7)
    assert len(case.batch.positions) == 3 < _BATCH
    await case.look()
    assert case.sender.sent == [3]
    ((after,), _) = await case.partitions.turn([Published(case.batch, 1)], [0])
    assert await case.taken(after) == "ahead-1"


@pytest.mark.parametrize(("partitions", "sent"), [(16, [_BATCH]), (17, [])])
async def test_the_broker_is_not_given_more_open_batches_than_it_holds(
    database: Database, partitions: int, sent: list[int]
) -> None:
    case = await _stamped(database, 2 * _BATCH, partitions=partitions)
    await case.look()
    assert case.sender.sent == sent


async def test_a_wrong_guess_is_not_taken_and_none_is_made_for_a_while(database: Database) -> None:
    case = await _stamped(database, 3 * _BATCH)
    await case.look()
    assert await case.taken(case.batch) == ""  # another one was expected
    assert await case.taken(await case.following()) == ""
    await case.look()
    assert case.sender.sent == [_BATCH]
    case.clock.shift_s += PAUSE_S + 1
    await case.look()
    assert case.sender.sent == [_BATCH, _BATCH]
    assert await case.taken(await case.following()) == "ahead-2"


async def test_what_the_stream_refuses_is_told_of_and_no_guess_is_made_for_a_while(
    database: Database,
) -> None:
    case = await _stamped(database, 2 * _BATCH)
    with structlog.testing.capture_logs() as told:
        case.lookahead.failed(EngineDown("incomplete"))
        case.lookahead.failed(EngineDown("incomplete"))
        case.lookahead.succeeded()
    assert [(one["event"], one["reason"]) for one in told] == [
        ("ahead.refused", "incomplete"),
        ("ahead.refused", "over"),
    ]
    await case.look()
    assert case.sender.sent == []


async def test_what_was_sent_long_ago_or_not_at_all_is_not_taken(database: Database) -> None:
    case = await _stamped(database, 2 * _BATCH)
    await case.look()
    case.clock.shift_s += FRESH_S + 1
    assert await case.taken(await case.following()) == ""
    case.clock.shift_s += PAUSE_S + 1
    case.sender.down = True
    await case.look()
    assert await case.taken(await case.following()) == ""
    case.sender.down = False
    await case.look()
    assert await case.taken(await case.following()) == "ahead-2"


async def test_a_broker_that_does_not_read_keeps_nobody_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.lookahead.WAIT_S", 0.05)
    case = await _stamped(database, 2 * _BATCH)
    case.sender.goes_on.clear()
    async with asyncio.TaskGroup() as group:
        case.lookahead.begin(case.batch, (await case.partitions.load([case.batch]))[0], group)
        assert await case.taken(await case.following()) == ""
    assert case.sender.sent == [], "it was cancelled"
    case.sender.goes_on.set()
    await case.look()
    assert case.sender.sent == []


async def test_what_follows_in_a_partition_that_is_no_longer_ours_is_forgotten(
    database: Database,
) -> None:
    case = await _stamped(database, 2 * _BATCH)
    await case.look()
    case.lookahead.keep({1})
    assert await case.taken(await case.following()) == ""
