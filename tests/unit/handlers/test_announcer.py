"""The announcer: what was moved is told in small messages, nothing is forgotten, the walk is slow."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from config.errors import EngineDown, Overloaded
from config.ids import IdFactory, LocationId, MarketId, MessageId, OperationId, Sku
from config.limits import AVAILABILITY_SKUS_MAX, AVAILABILITY_WALK_S
from handlers.actions import PublishAvailability
from handlers.announcer import Announcer, Moved
from handlers.message import Message, Outcome
from store.ports import Changes, MarketSku, Movement, Offer, Told

UK = MarketId("uk")
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def key(sku: str) -> MarketSku:
    return MarketSku(UK, Sku(sku))


def moved(*skus: str) -> Changes:
    lines = tuple((sku, "leeds", {"allocated": 1}) for sku in skus)
    movement = Movement(
        operation_id=OperationId("o"), kind="allocated", market=UK, lines=lines, at_us=0
    )
    return Changes(movements=[movement])


class SetClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s


class Shelves:
    """A store in which every SKU has one unit; `told` are those of which that is known."""

    def __init__(self, *skus: str) -> None:
        self.skus = sorted(skus)
        self.told: set[MarketSku] = set()
        self.pages = 0
        self.down = False

    async def offers(self, keys: Collection[MarketSku]) -> dict[MarketSku, Offer]:
        if self.down:
            raise EngineDown
        units = {LocationId("leeds"): 1}
        return {one: Offer(units, Told(1, 0, units) if one in self.told else None) for one in keys}

    async def stocked(self, after: Sku, skus: int) -> Sequence[MarketSku]:
        self.pages += 1
        return [key(sku) for sku in self.skus if sku > after][:skus]


class Taking:
    """An intake that tells, unless it fails (at one SKU, or always)."""

    def __init__(self, shelves: Shelves, moved: Moved) -> None:
        self.shelves = shelves
        self.moved = moved
        self.asked: list[tuple[str, ...]] = []
        self.error: Exception | None = None
        self.poison = ""

    async def submit(self, message: Message) -> Outcome:
        (task,) = message.tasks
        assert isinstance(task, PublishAvailability)
        assert not message.recorded
        skus = tuple(one.sku for one in task.skus)
        self.asked.append(skus)
        if self.error and (not self.poison or self.poison in skus):
            raise self.error
        told = {one: Told(1, 0, {}) for one in task.skus}
        self.shelves.told |= set(told)
        self.moved.note(Changes(told=told))
        return Outcome(name="applied", message_id=MessageId("m"))


class Room:
    """An announcer between its ports."""

    def __init__(self, *skus: str) -> None:
        self.clock = SetClock()
        self.shelves = Shelves(*skus)
        self.moved = Moved()
        self.intake = Taking(self.shelves, self.moved)
        self.announcer = Announcer(
            self.shelves, self.intake, self.moved, clock=self.clock, ids=IdFactory()
        )

    async def turns(self, count: int = 1) -> None:
        for _ in range(count):
            self.clock.passed_s += 1
            await self.announcer.turn()

    @property
    def sent(self) -> list[str]:
        return [sku for skus in self.intake.asked for sku in skus]


async def test_what_was_moved_is_told_once_however_often_it_was_moved() -> None:
    room = Room()
    for _ in range(3):
        room.moved.note(moved("a", "b"))
    await room.turns(3)
    assert room.intake.asked == [("a", "b")]


async def test_what_waits_longest_is_told_first_in_small_messages_and_so_many_a_second() -> None:
    room = Room()
    names = [f"{number:04d}" for number in range(AVAILABILITY_SKUS_MAX + 1)]
    room.moved.note(moved(*reversed(names)))
    await room.turns()
    assert room.sent == names[:0:-1]
    assert max(map(len, room.intake.asked)) <= 64
    await room.turns()
    assert room.sent == names[::-1]


async def test_without_news_nothing_is_sent() -> None:
    room = Room("a")
    room.shelves.told = {key("a")}
    room.moved.note(moved("a"))
    await room.turns(3)
    assert room.sent == []


@pytest.mark.parametrize("where", ["intake", "database"])
async def test_when_nothing_can_be_done_now_nothing_is_forgotten(where: str) -> None:
    room = Room()
    room.moved.note(moved("a", "b"))
    room.shelves.down = where == "database"
    room.intake.error = Overloaded() if where == "intake" else None
    for _ in range(2):
        with pytest.raises((Overloaded, EngineDown)):
            await room.turns()
    room.shelves.down, room.intake.error = False, None
    await room.turns()
    assert room.shelves.told == {key("a"), key("b")}


async def test_one_that_fails_holds_up_no_other_and_is_tried_once_a_second() -> None:
    room = Room()
    room.moved.note(moved("a", "b", "c"))
    room.intake.error, room.intake.poison = LookupError(), "b"
    await room.turns()
    assert room.shelves.told == {key("a"), key("c")}
    assert room.intake.asked == [("a", "b", "c"), ("a",), ("b",), ("c",)]
    await room.turns()
    assert room.intake.asked[4:] == [("b",)]


async def test_the_first_walk_finds_everything_that_nobody_told_of() -> None:
    names = [f"{number:04d}" for number in range(AVAILABILITY_SKUS_MAX + 100)]
    room = Room(*names)
    room.shelves.told = {key("0007")}
    await room.turns(2)
    assert room.sent == [name for name in names if name != "0007"]


async def test_later_walks_wait_and_then_look_at_a_page_a_second() -> None:
    names = [f"{number:04d}" for number in range(100)]
    room = Room(*names)
    await room.turns()
    before = room.shelves.pages
    await room.turns(int(AVAILABILITY_WALK_S) - 1)
    assert room.shelves.pages == before
    room.shelves.told = set()
    await room.turns()
    assert room.sent[100:] == names[:64]
    await room.turns()
    assert room.sent[100:] == names


async def test_what_is_moved_goes_before_the_walk() -> None:
    room = Room("walked")
    room.moved.note(moved("moved"))
    await room.turns()
    assert room.sent == ["moved", "walked"]


async def test_what_is_moved_after_it_was_told_is_looked_at_again() -> None:
    room = Room()
    room.moved.note(moved("a"))
    await room.turns()
    room.shelves.told = set()
    room.moved.note(moved("a"))
    await room.turns()
    assert room.sent == ["a", "a"]
