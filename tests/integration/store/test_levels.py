"""Takes and shifts of stock levels, on both databases."""

import pytest

from config.errors import Conflict
from store.engine import Database
from store.gate_ledger import insert_epoch
from store.gate_port import Cell
from store.ports import Shift, Take
from store.records import Level
from store.unit_of_work import SqlStore
from tests.integration.store.samples import UK, cell

SHIRT, HAT, AWAY = cell(), cell("hat"), cell("shirt", "york")


async def _stock(store: SqlStore, levels: dict[Cell, int]) -> None:
    async with store.unit_of_work() as work:
        await work.shift({where: (UK, Shift(on_hand=units)) for where, units in levels.items()})


async def _take(store: SqlStore, takes: dict[Cell, Take]) -> frozenset[Cell]:
    async with store.unit_of_work() as work:
        return await work.take(takes)


async def _levels(store: SqlStore, *cells: Cell) -> dict[Cell, Level]:
    async with store.unit_of_work() as work:
        return await work.levels(frozenset(cells))


async def test_no_cells_are_no_levels(store: SqlStore) -> None:
    async with store.unit_of_work() as work:
        assert await work.levels(frozenset()) == {}
        assert await work.take({}) == frozenset()
        assert await work.shift({}) == {}


async def test_a_cell_that_was_never_stocked_is_missing_and_has_too_little(
    store: SqlStore,
) -> None:
    assert await _levels(store, SHIRT) == {}
    assert await _take(store, {SHIRT: Take(allocated=1)}) == {SHIRT}
    assert await _levels(store, SHIRT) == {}


@pytest.mark.parametrize("take", [Take(allocated=5), Take(held=5), Take(allocated=2, held=3)])
async def test_all_that_is_there_can_be_taken_and_then_no_more(store: SqlStore, take: Take) -> None:
    await _stock(store, {SHIRT: 5})
    assert await _take(store, {SHIRT: take}) == frozenset()
    level = (await _levels(store, SHIRT))[SHIRT]
    assert (level.on_hand, level.allocated, level.held) == (5, take.allocated, take.held)
    assert await _take(store, {SHIRT: Take(allocated=1)}) == {SHIRT}
    assert (await _levels(store, SHIRT))[SHIRT] == level


async def test_of_several_cells_only_those_with_too_little_are_refused(store: SqlStore) -> None:
    await _stock(store, {SHIRT: 5, HAT: 1, AWAY: 9})
    takes = {SHIRT: Take(allocated=5), HAT: Take(allocated=2), AWAY: Take(held=9)}
    assert await _take(store, takes) == {HAT}
    levels = await _levels(store, SHIRT, HAT, AWAY)
    assert {where: level.available for where, level in levels.items()} == {
        SHIRT: 0,
        HAT: 1,
        AWAY: 0,
    }


async def test_two_takes_of_one_cell_are_one_after_summing(store: SqlStore) -> None:
    await _stock(store, {SHIRT: 3})
    async with store.unit_of_work() as work:
        assert await work.take({SHIRT: Take(allocated=2)}) == frozenset()
        assert await work.take({SHIRT: Take(allocated=2)}) == {SHIRT}
    assert (await _levels(store, SHIRT))[SHIRT].allocated == 2


async def test_safety_and_what_is_held_cannot_be_taken(store: SqlStore) -> None:
    async with store.unit_of_work() as work:
        await work.shift({SHIRT: (UK, Shift(on_hand=5, safety=2, held=1))})
    assert await _take(store, {SHIRT: Take(allocated=3)}) == {SHIRT}
    assert await _take(store, {SHIRT: Take(allocated=2)}) == frozenset()


async def test_a_take_that_is_undone_leaves_the_level(store: SqlStore) -> None:
    await _stock(store, {SHIRT: 5})

    async def take_and_fail() -> None:
        async with store.unit_of_work() as work:
            await work.take({SHIRT: Take(allocated=5)})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await take_and_fail()
    assert (await _levels(store, SHIRT))[SHIRT].available == 5


async def test_a_shift_makes_new_cells_and_returns_what_they_are_now(store: SqlStore) -> None:
    async with store.unit_of_work() as work:
        made = await work.shift(
            {SHIRT: (UK, Shift(on_hand=5, safety=1, held=2, allocated=1, counted_version=7))}
        )
    assert made == {
        SHIRT: Level(
            sku=SHIRT.sku,
            location=SHIRT.location,
            on_hand=5,
            safety=1,
            held=2,
            allocated=1,
            counted_version=7,
        )
    }
    assert await _levels(store, SHIRT, HAT) == made


async def test_shifts_add_to_what_is_there_and_may_go_below_zero(store: SqlStore) -> None:
    await _stock(store, {SHIRT: 5, HAT: 1})
    async with store.unit_of_work() as work:
        now = await work.shift(
            {SHIRT: (UK, Shift(on_hand=-8, held=-1)), AWAY: (UK, Shift(on_hand=-1))}
        )
    assert {where: (level.on_hand, level.held) for where, level in now.items()} == {
        SHIRT: (-8 + 5, -1),
        AWAY: (-1, 0),
    }
    assert now[AWAY].available == -1
    assert (await _levels(store, HAT))[HAT].on_hand == 1


@pytest.mark.parametrize(("given", "kept"), [(9, 9), (3, 7), (0, 7), (7, 7)])
async def test_the_version_of_the_last_count_only_rises(
    store: SqlStore, given: int, kept: int
) -> None:
    for version in (7, given):
        async with store.unit_of_work() as work:
            now = await work.shift({SHIRT: (UK, Shift(on_hand=1, counted_version=version))})
    assert (now[SHIRT].counted_version, now[SHIRT].on_hand) == (kept, 2)


async def test_names_of_every_kind_are_kept_apart(store: SqlStore) -> None:
    cells = [cell(sku) for sku in ("a", "A", "ä", "b'", '"', "\\", "日本", "a b", "[0]", "%")]
    await _stock(store, {where: number for number, where in enumerate(cells, 1)})
    assert await _take(store, {where: Take(allocated=1) for where in cells}) == frozenset()
    levels = await _levels(store, *cells)
    assert [levels[where].available for where in cells] == list(range(len(cells)))


async def test_a_large_batch_is_one_statement(store: SqlStore) -> None:
    cells = [cell(f"sku-{number}") for number in range(5_000)]
    await _stock(store, dict.fromkeys(cells, 2))
    assert await _take(store, {where: Take(allocated=2) for where in cells}) == frozenset()
    assert len(await _levels(store, *cells)) == 5_000


async def test_reservations_of_a_gate_that_was_rebuilt_are_refused(
    store: SqlStore, database: Database
) -> None:
    async with database.write() as connection:
        await insert_epoch(connection, UK, "E2", now_us=5)
    async with store.unit_of_work() as work:
        await work.check_epochs({})
        await work.check_epochs({UK: "E2"})
    with pytest.raises(Conflict):
        async with store.unit_of_work() as work:
            await work.check_epochs({UK: "E1"})
