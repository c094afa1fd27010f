"""Several units of work at once on PostgreSQL: locks, and never more than there is."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import text

from config.errors import Conflict
from store.engine import Database
from store.gate_port import Cell
from store.ports import Changes, Shift, Take
from store.unit_of_work import SqlStore
from tests.integration.store import samples
from tests.integration.store.samples import UK, cell

TAKERS = 8
# Under a natural-language collation "a" stands before "B", by code points after it.
CELLS = [cell("a"), cell("B"), cell("_"), cell("Z"), cell("é")]


@pytest.fixture
async def store(postgres_database: Database) -> SqlStore:
    store = SqlStore(postgres_database, partitions=4)
    async with store.unit_of_work() as work:
        await work.shift({where: (UK, Shift(on_hand=1_000)) for where in CELLS})
        await work.shift({cell(): (UK, Shift(on_hand=1))})
    return store


async def _available(store: SqlStore, where: Cell) -> int:
    async with store.unit_of_work() as work:
        return (await work.levels(frozenset({where})))[where].available


async def test_the_last_unit_goes_to_exactly_one(store: SqlStore) -> None:
    async def one() -> bool:
        async with store.unit_of_work() as work:
            return not await work.take({cell(): Take(allocated=1)})

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(TAKERS)]
    assert sorted(task.result() for task in tasks) == [False] * (TAKERS - 1) + [True]
    assert await _available(store, cell()) == 0


async def test_takers_wait_for_a_taker_and_see_what_it_left(
    store: SqlStore, postgres_database: Database
) -> None:
    async with asyncio.TaskGroup() as group, store.unit_of_work() as first:
        assert not await first.take({cell(): Take(allocated=1)})
        second = group.create_task(_take(store, {cell(): Take(allocated=1)}))
        await _until_somebody_waits(postgres_database)
        assert not second.done()
    assert second.result() == {cell()}


async def test_a_taker_that_gives_up_leaves_the_unit_to_the_next(
    store: SqlStore, postgres_database: Database
) -> None:
    async with asyncio.TaskGroup() as group:
        with suppress(ZeroDivisionError):
            async with store.unit_of_work() as first:
                await first.take({cell(): Take(allocated=1)})
                second = group.create_task(_take(store, {cell(): Take(allocated=1)}))
                await _until_somebody_waits(postgres_database)
                raise ZeroDivisionError
    assert second.result() == frozenset()


async def test_levels_are_locked_until_the_commit(
    store: SqlStore, postgres_database: Database
) -> None:
    async with asyncio.TaskGroup() as group, store.unit_of_work() as first:
        before = await first.levels(frozenset({cell()}))
        second = group.create_task(_take(store, {cell(): Take(allocated=1)}))
        await _until_somebody_waits(postgres_database)
        assert await first.levels(frozenset({cell()})) == before
        assert not await first.take({cell(): Take(allocated=1)})
    assert second.result() == {cell()}


async def test_opposite_orders_never_deadlock(store: SqlStore) -> None:
    async def many(cells: list[Cell]) -> None:
        for _ in range(20):
            async with store.unit_of_work() as work:
                assert not await work.take({where: Take(allocated=1) for where in cells})
            async with store.unit_of_work() as work:
                await work.shift({where: (UK, Shift(allocated=-1)) for where in cells})
            async with store.unit_of_work() as work:
                await work.levels(frozenset(cells))

    async with asyncio.TaskGroup() as group:
        for number in range(TAKERS):
            group.create_task(many(CELLS[:: -1 if number % 2 else 1]))
    assert [await _available(store, where) for where in CELLS] == [1_000] * len(CELLS)


async def test_two_who_wait_for_each_other_are_parted_by_a_conflict(store: SqlStore) -> None:
    here, there = CELLS[:2]
    met = asyncio.Barrier(2)

    async def cross(first: Cell, then: Cell) -> bool:
        try:
            async with store.unit_of_work() as work:
                await work.take({first: Take(allocated=1)})
                await met.wait()
                await work.take({then: Take(allocated=1)})
        except Conflict:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cross(here, there)), group.create_task(cross(there, here))]
    assert sorted(task.result() for task in tasks) == [False, True]
    assert [await _available(store, where) for where in (here, there)] == [999, 999]


async def test_one_message_that_comes_twice_at_once_is_claimed_once(store: SqlStore) -> None:
    async def claim() -> bool:
        try:
            async with store.unit_of_work() as work:
                await work.write(Changes(messages=[samples.message()]))
        except Conflict:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(claim()) for _ in range(TAKERS)]
    assert sorted(task.result() for task in tasks) == [False] * (TAKERS - 1) + [True]


async def _take(store: SqlStore, takes: dict[Cell, Take]) -> frozenset[Cell]:
    async with store.unit_of_work() as work:
        return await work.take(takes)


async def _until_somebody_waits(database: Database) -> None:
    """Ask the server until another transaction waits for a lock; each look is a new transaction."""
    question = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    waiting = 0
    while not waiting:
        async with database.read() as connection:
            waiting = (await connection.execute(question)).scalar_one()
