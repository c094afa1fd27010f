"""Parent and child taken by two processes at the same moment find each other; hands never collide."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from config.errors import InvalidTransition, Unreadable
from handlers.actions import PlaceByHand
from handlers.commands import LineAsked, PlaceOrder, RecordPayment
from store.ports import Found, Lookup, UnitOfWork
from tests.integration.handlers.asking import by_hand, message, order
from tests.integration.handlers.world import World


class _Meeting:
    """A store whose units of work wait for each other after they have looked."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._barrier = asyncio.Barrier(2)

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        async with self._store.unit_of_work() as work:
            find = work.find
            met: list[bool] = []

            async def find_and_meet(lookup: Lookup) -> Found:
                found: Found = await find(lookup)
                if not met:
                    met.append(True)
                    await self._barrier.wait()
                return found

            work.find = find_and_meet
            yield work


async def test_a_payment_that_missed_its_order_by_a_moment_is_applied(world: World) -> None:
    if world.database.dialect == "sqlite":
        pytest.skip("SQLite has one writer: two processes never look at the same moment")
    await world.stock(LAMP_leeds=5)
    meeting = _Meeting(world.store)
    placed = order()
    paid = RecordPayment(
        state="captured",
        payment_ref="p1",
        order=placed.order,
        amount_minor=100,
        currency="GBP",
        version=1,
    )
    one, other = world.another_batch(meeting), world.another_batch(meeting)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(one.run([message(placed)]))
        tasks.create_task(other.run([message(paid)]))
    assert (await world.order()).tenders == ()
    await world.sweep()
    assert [tender.captured_minor for tender in (await world.order()).tenders] == [100]
    assert not await world.open_exceptions()


async def test_a_reference_that_is_taken_names_nobody_elses_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    placed = order()
    await world.one(by_hand(PlaceByHand(placed)))
    with pytest.raises(InvalidTransition, match="taken"):
        await world.one(by_hand(PlaceByHand(placed)))
    assert len(await world.orders()) == 1


def test_two_lines_under_one_reference_are_refused() -> None:
    twice = LineAsked(line_ref="1", sku="LAMP", quantity=1)
    sample: PlaceOrder = order()
    with pytest.raises(Unreadable, match="line_ref"):
        PlaceOrder(
            order=sample.order,
            version=1,
            placed_at=sample.placed_at,
            currency="GBP",
            lines=(twice, twice),
        )
