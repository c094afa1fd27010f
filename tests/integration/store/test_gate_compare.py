"""The reconciliation of gate and ledger, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from config.errors import Conflict
from config.ids import LocationId, OperationId, Sku
from config.limits import GATE_GRACE_S
from store.gate_port import Cell, Granted
from tests.integration.store.gate_world import (
    LAMP,
    LAMP_YORK,
    PAST_GRACE_S,
    RUG,
    UK,
    World,
    free,
    operation,
    remembered,
    reserve,
    tamper,
    world,
)


@pytest.fixture
async def uk(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """Ten lamps and five rugs, the gate not opened yet."""
    async with world(database_url, redis_url) as made:
        await made.stock({LAMP: 10, RUG: 5})
        yield made


@pytest.mark.parametrize("units", [7, -7])
async def test_a_cell_that_stays_wrong_is_repaired_after_the_grace_time(
    uk: World, units: int
) -> None:
    await uk.keeper.look(UK)
    await tamper(uk, LAMP, units)
    await uk.keeper.reconcile(UK)
    uk.clock.advance(GATE_GRACE_S / 2)
    await uk.keeper.reconcile(UK)
    assert uk.tally.cells == 0
    uk.clock.advance(GATE_GRACE_S / 2)
    await uk.keeper.reconcile(UK)
    assert await free(uk.gate, LAMP) == 10
    assert uk.tally.cells == 1


async def test_an_operation_on_its_way_is_not_an_error(uk: World) -> None:
    await uk.keeper.look(UK)
    await reserve(uk, "a", (LAMP, 4))
    await reserve(uk, "b", (LAMP, 1), (RUG, 1))
    await uk.commit("b", (LAMP, 1), (RUG, 1))
    for _ in range(3):
        await uk.keeper.reconcile(UK)
        uk.clock.advance(PAST_GRACE_S)
    assert uk.tally.cells == 0
    assert (await free(uk.gate, LAMP), await free(uk.gate, RUG)) == (5, 4)


async def test_an_error_beside_an_operation_on_its_way_is_repaired_exactly(uk: World) -> None:
    await uk.keeper.look(UK)
    await reserve(uk, "a", (LAMP, 4))
    await tamper(uk, LAMP, 3)
    await uk.keeper.reconcile(UK)
    uk.clock.advance(PAST_GRACE_S)
    await uk.keeper.reconcile(UK)
    assert await free(uk.gate, LAMP) == 6
    await uk.keeper.tend(UK)
    assert await free(uk.gate, LAMP) == 10


async def test_a_shift_on_its_way_is_not_an_error(uk: World) -> None:
    await uk.keeper.look(UK)
    await uk.commit("a", (LAMP, 3))
    await uk.keeper.reconcile(UK)
    await uk.gate.shift(UK, (operation("a", (LAMP, 3)),))
    uk.clock.advance(PAST_GRACE_S)
    await uk.keeper.reconcile(UK)
    assert await free(uk.gate, LAMP) == 7
    assert uk.tally.cells == 0


async def test_a_shift_that_was_lost_is_brought(uk: World) -> None:
    await uk.keeper.look(UK)
    await uk.commit("a", (LAMP, 3))
    await uk.keeper.reconcile(UK)
    uk.clock.advance(PAST_GRACE_S)
    await uk.keeper.reconcile(UK)
    assert await free(uk.gate, LAMP) == 7


async def test_a_shift_between_the_look_and_the_repair_prevents_it(uk: World) -> None:
    await uk.keeper.look(UK)
    await uk.commit("a", (LAMP, 3))
    found = await uk.keeper._compare.differences(UK, [LAMP.sku])
    assert [(difference.cell, difference.units) for difference in found] == [(LAMP, -3)]
    await uk.gate.shift(UK, (operation("a", (LAMP, 3)),))
    assert await uk.keeper._compare.repair(UK, found) == []
    assert await free(uk.gate, LAMP) == 7


async def test_two_repairs_of_one_difference_count_once(uk: World) -> None:
    await uk.keeper.look(UK)
    await tamper(uk, LAMP, 7)
    found = await uk.keeper._compare.differences(UK, [LAMP.sku])
    # What is reserved in between does no harm.
    await reserve(uk, "a", (LAMP, 2))
    assert await uk.keeper._compare.repair(UK, found) == found
    assert await uk.keeper._compare.repair(UK, found) == []
    assert await free(uk.gate, LAMP) == 8


async def test_repair_puts_the_named_cells_right_at_once(uk: World) -> None:
    unknown = Cell(Sku("GHOST"), LocationId("leeds"))
    await uk.keeper.look(UK)
    await reserve(uk, "a", (LAMP, 4))
    await tamper(uk, LAMP, 5)
    await tamper(uk, RUG, 5)
    await tamper(uk, unknown, 5)
    await uk.keeper.repair(UK, frozenset({LAMP, unknown}))
    assert (await free(uk.gate, LAMP), await free(uk.gate, unknown)) == (6, 0)
    assert await free(uk.gate, RUG) == 10
    assert uk.tally.cells == 2


async def test_a_closed_gate_needs_no_repair(uk: World) -> None:
    await uk.keeper.repair(UK, frozenset({LAMP}))
    assert uk.tally.cells == 0


async def test_every_page_of_a_large_market_is_compared(uk: World) -> None:
    many = {Cell(Sku(f"SKU-{n:04}"), LocationId("leeds")): 5 for n in range(650)}
    await uk.stock(many)
    await uk.keeper.look(UK)
    wrong = [list(many)[n] for n in (0, 199, 200, 201, 399, 400, 649)]
    for cell in wrong:
        await tamper(uk, cell, 2)
    await uk.keeper.reconcile(UK)
    uk.clock.advance(PAST_GRACE_S)
    await uk.keeper.reconcile(UK)
    assert uk.tally.cells == len(wrong)
    assert [await free(uk.gate, cell) for cell in wrong] == [5] * len(wrong)


async def test_gate_and_ledger_agree_after_a_storm(uk: World) -> None:
    """Reserving, committing, undoing, dying and reaping at once; then all is quiet."""
    await uk.stock({LAMP_YORK: 60})
    await uk.keeper.look(UK)

    async def shop(n: int) -> None:
        (answer,) = await uk.gate.reserve(
            UK, (operation(f"op{n}", (LAMP_YORK, 1 + n % 3), (LAMP, n % 2 or 1)),)
        )
        if isinstance(answer, Granted) and n % 3 == 0:
            with suppress(Conflict):
                await uk.commit(f"op{n}", (LAMP_YORK, 1 + n % 3), (LAMP, n % 2 or 1))
        elif n % 3 == 1:
            await uk.gate.undo(UK, (OperationId(f"op{n}"),))

    async with asyncio.TaskGroup() as tasks:
        for n in range(60):
            tasks.create_task(shop(n))
        for _ in range(3):
            tasks.create_task(uk.keeper.reconcile(UK))
    uk.clock.advance(PAST_GRACE_S)
    await uk.keeper.tend(UK)
    found = await uk.keeper._compare.differences(UK, [LAMP.sku, RUG.sku])
    assert found == []
    assert uk.tally.cells == 0
    assert await remembered(uk) == 0
