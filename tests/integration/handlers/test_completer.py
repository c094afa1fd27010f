"""The completer: thin notifications become orders, once for each, or a work item."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import pytest

from config.errors import EngineDown, Unavailable, Unreadable
from config.ids import SourceId
from config.limits import FETCH_ATTEMPTS_MAX, FETCH_BACKOFF_S, FETCH_BACKOFF_S_MAX
from handlers.actions import SettleFetch
from handlers.commands import FetchOrder, PlaceOrder
from handlers.completer import NOTIFICATIONS_AT_ONCE, ORDERS_AT_ONCE, Completer, Platform
from handlers.intake import WayIn
from handlers.message import Message, Outcome
from handlers.sources.channel import Answer, Decoded, OrderSource, Request
from outbox.trouble import happens
from tests.e2e import instance as at
from tests.integration.handlers.asking import SHOP, US_SHOP, key_of, lines, message, order
from tests.integration.handlers.world import World


class ShopChannel:
    """Reads documents that are our own commands."""

    async def verify(self, request: Request) -> None: ...

    def decode(self, request: Request) -> Decoded:
        raise NotImplementedError

    def handshake(self, request: Request) -> Answer | None: ...

    def sign(self, body: bytes, topic: str, now: object) -> dict[str, str]:
        raise NotImplementedError

    def decode_order(self, document: bytes) -> Decoded:
        if document == b"defect":
            raise LookupError
        try:
            placed = msgspec.json.decode(document, type=PlaceOrder)
        except msgspec.DecodeError as error:
            raise Unreadable(str(error)) from error
        digest = hashlib.sha256(document).hexdigest()
        key = f"order/{placed.order.ref}/{placed.version}/{digest}"
        return Decoded(key, "order", (placed,), version=placed.version)


class Shelf:
    """A platform's orders; counts how often each is read."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.down = False

    def put(self, placed: PlaceOrder) -> None:
        self.documents[placed.order.ref] = msgspec.json.encode(placed)

    async def read(self, order_ref: str) -> bytes | None:
        self.reads.append(order_ref)
        if self.down:
            raise EngineDown("the platform does not answer")
        return self.documents.get(order_ref)


def thin(ref: str = "1", version: int = 0) -> FetchOrder:
    return FetchOrder(order=key_of(ref), version=version)


async def complete(world: World, shelf: OrderSource, source: SourceId = SHOP) -> None:
    """Complete what is due of the shop; `source` is whose orders the shelf has."""
    async with world.intake() as intake:
        platforms = {source: Platform(ShopChannel(), shelf)}
        completer = Completer(world.reader, intake, platforms, clock=world.clock, ids=world.ids)
        await completer.complete_due(SHOP)


async def waiting(world: World) -> int:
    return (await world.reader.counts())["fetches"]


async def test_a_thin_notification_becomes_its_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    shelf = Shelf()
    shelf.put(order())
    assert (await world.send(thin())).name == "accepted"
    await complete(world, shelf)
    assert (await world.order()).state == "routed"
    assert await waiting(world) == 0


async def test_notifications_of_one_order_are_completed_by_one_reading(world: World) -> None:
    shelf = Shelf()
    shelf.put(order())
    for _ in range(3):
        await world.send(thin())
    await complete(world, shelf)
    assert shelf.reads == ["1"]
    assert await waiting(world) == 0


async def test_a_version_that_was_read_before_is_not_read_again(world: World) -> None:
    await world.send(order(version=5))
    assert (await world.send(thin(version=5))).name == "ignored"
    assert (await world.send(thin(version=6))).name == "accepted"


async def test_an_order_that_is_older_than_was_told_is_taken_and_read_again(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    shelf = Shelf()
    shelf.put(order(version=4))
    await world.send(thin(version=4))
    await world.send(thin(version=5))
    await complete(world, shelf)
    assert (await world.order()).source_version == 4
    assert await waiting(world) == 1
    shelf.put(order(asked=lines(LAMP=2), version=5))
    world.clock.advance(FETCH_BACKOFF_S)
    await complete(world, shelf)
    assert (await world.order()).lines[0].ordered == 2
    assert await waiting(world) == 0


async def test_a_platform_that_does_not_answer_is_asked_later_and_later(world: World) -> None:
    shelf = Shelf()
    shelf.down = True
    await world.send(thin())
    await complete(world, shelf)
    await complete(world, shelf)
    assert len(shelf.reads) == 1
    world.clock.advance(FETCH_BACKOFF_S)
    await complete(world, shelf)
    world.clock.advance(FETCH_BACKOFF_S)
    await complete(world, shelf)
    assert len(shelf.reads) == 2
    shelf.down = False
    shelf.put(order())
    world.clock.advance(FETCH_BACKOFF_S)
    await complete(world, shelf)
    assert len(await world.orders()) == 1


async def test_an_order_that_is_never_found_becomes_a_work_item(sqlite_world: World) -> None:
    world, shelf = sqlite_world, Shelf()
    await world.send(thin())
    for _ in range(FETCH_ATTEMPTS_MAX):
        assert not await world.open_exceptions()
        await complete(world, shelf)
        world.clock.advance(FETCH_BACKOFF_S_MAX)
    (failed,) = (await world.open_exceptions())["FETCH_FAILED"]
    assert failed.what["reason"] == "the platform has no such order"
    assert await waiting(world) == 1
    shelf.put(order())
    world.clock.advance(FETCH_BACKOFF_S_MAX)
    await complete(world, shelf)
    assert "FETCH_FAILED" not in await world.open_exceptions()
    assert await waiting(world) == 0


async def test_a_source_without_a_platform_is_a_work_item_at_once(world: World) -> None:
    await world.send(thin())
    await complete(world, Shelf(), SourceId("other"))
    assert "FETCH_FAILED" in await world.open_exceptions()


@pytest.mark.parametrize("document", [b"no order", b"defect"])
async def test_a_document_that_cannot_be_read_holds_up_no_other(
    sqlite_world: World, document: bytes
) -> None:
    world, shelf = sqlite_world, Shelf()
    shelf.documents["1"] = document
    shelf.put(order("2"))
    await world.send(thin("1"))
    await world.send(thin("2"))
    await complete(world, shelf)
    assert len(await world.orders()) == 1
    assert await waiting(world) == 1


class Slow(Shelf):
    """A platform that answers when it is told to; it knows how many ask at once."""

    def __init__(self, *, busy_with: int) -> None:
        super().__init__()
        self.busy, self.answers = asyncio.Event(), asyncio.Event()
        self.busy_with = busy_with
        self.asking = self.most = 0

    async def read(self, order_ref: str) -> bytes | None:
        self.asking += 1
        self.most = max(self.most, self.asking)
        if self.asking == self.busy_with:
            self.busy.set()
        await self.answers.wait()
        self.asking -= 1
        return await super().read(order_ref)


class Counted:
    """A way in that knows how many wait in it at once."""

    def __init__(self, intake: WayIn, most: list[int]) -> None:
        self._intake = intake
        self._now, self._most = 0, most

    async def submit(self, message: Message) -> Outcome:
        self._now += 1
        self._most.append(self._now)
        try:
            return await self._intake.submit(message)
        finally:
            self._now -= 1


@asynccontextmanager
async def completing(
    world: World, shelves: Mapping[SourceId, OrderSource], waiting: list[int] | None = None
) -> AsyncIterator[asyncio.Event]:
    """Run a completer as the gateway does; gives what says that something came."""
    more = asyncio.Event()
    platforms = {source: Platform(ShopChannel(), shelf) for source, shelf in shelves.items()}
    async with world.intake() as intake, asyncio.TaskGroup() as group:
        way_in = Counted(intake, [] if waiting is None else waiting)
        completer = Completer(
            world.reader, way_in, platforms, clock=world.clock, ids=world.ids, more=more
        )
        running = group.create_task(completer.run())
        yield more
        running.cancel()


async def until_waiting(world: World, count: int) -> None:
    async def is_so() -> bool:
        return await waiting(world) == count

    await at.until(is_so)


async def thin_ones(world: World, shelf: Shelf, numbers: range) -> None:
    for number in numbers:
        shelf.put(order(str(number)))
    await world.ask(*(message(thin(str(number))) for number in numbers))


async def test_a_backlog_is_read_several_at_a_time_and_to_its_end_without_a_pause(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.completer.LOOK_S", 3600.0)
    world, shelf = sqlite_world, Slow(busy_with=ORDERS_AT_ONCE)
    count = 2 * NOTIFICATIONS_AT_ONCE + 1
    await thin_ones(world, shelf, range(count))
    in_the_queue: list[int] = []
    async with completing(world, {SHOP: shelf}, in_the_queue):
        assert await happens(shelf.busy, 20)
        shelf.answers.set()
        await until_waiting(world, 0)
    assert shelf.most == max(in_the_queue) == ORDERS_AT_ONCE  # others need the queue as well
    assert sorted(shelf.reads, key=int) == [str(number) for number in range(count)]
    assert len(await world.orders()) == count
    # Each order takes two messages; one at a time they would be as many commits.
    assert world.heard.commits < count


async def test_a_platform_that_hangs_holds_up_no_other(sqlite_world: World) -> None:
    world, hanging, well = sqlite_world, Slow(busy_with=ORDERS_AT_ONCE), Shelf()
    await thin_ones(world, hanging, range(2 * ORDERS_AT_ONCE))
    placed = order("1", source=US_SHOP)
    well.put(placed)
    async with completing(world, {SHOP: hanging, US_SHOP: well}) as more:
        assert await happens(hanging.busy, 20)
        fetch = FetchOrder(order=placed.order, version=0)
        await world.ask(message(fetch, source=US_SHOP))
        more.set()
        await until_waiting(world, 2 * ORDERS_AT_ONCE)
    assert [one.source for one in await world.orders()] == [US_SHOP]


async def test_what_comes_while_a_source_is_busy_is_read_without_a_pause(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.completer.LOOK_S", 3600.0)
    world, shelf = sqlite_world, Slow(busy_with=1)
    await thin_ones(world, shelf, range(1))
    async with completing(world, {SHOP: shelf}) as more:
        assert await happens(shelf.busy, 20)
        await thin_ones(world, shelf, range(1, 2))
        more.set()
        await asyncio.sleep(0.05)  # the look that finds the source busy
        shelf.answers.set()
        await until_waiting(world, 0)


async def test_a_way_in_that_is_closed_leaves_everything_due(sqlite_world: World) -> None:
    world, shelf = sqlite_world, Shelf()
    await thin_ones(world, shelf, range(3))
    async with world.intake() as intake:
        platforms = {SHOP: Platform(ShopChannel(), shelf)}
        completer = Completer(world.reader, intake, platforms, clock=world.clock, ids=world.ids)
        intake.close()
        with pytest.raises(Unavailable):
            await completer.complete_due(SHOP)
    assert len(shelf.reads) == 3  # one that fails does not cut off the others
    assert await waiting(world) == 3


class Defective(NamedTuple):
    """A way in with a defect that shows with one order."""

    intake: WayIn
    order_ref: str

    async def submit(self, message: Message) -> Outcome:
        if any(isinstance(t, SettleFetch) and t.order_ref == self.order_ref for t in message.tasks):
            raise LookupError
        return await self.intake.submit(message)


async def test_a_defect_with_one_order_holds_up_no_other_and_is_tried_again(
    sqlite_world: World,
) -> None:
    world, shelf = sqlite_world, Shelf()
    await thin_ones(world, shelf, range(3))
    async with world.intake() as intake:
        platforms = {SHOP: Platform(ShopChannel(), shelf)}
        bad = Defective(intake, "1")
        completer = Completer(world.reader, bad, platforms, clock=world.clock, ids=world.ids)
        with pytest.raises(Unavailable, match="defect"):
            await completer.complete_due(SHOP)
    assert await waiting(world) == 1
    await complete(world, shelf)
    assert await waiting(world) == 0
