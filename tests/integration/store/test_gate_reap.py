"""Operations that are settled, voided and given back, on both databases."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from config.errors import Conflict
from store.tables import stock_levels
from tests.integration.store.gate_world import (
    LAMP,
    LAMP_YORK,
    PAST_GRACE_S,
    RUG,
    UK,
    World,
    free,
    kinds,
    operation,
    remembered,
    reserve,
    world,
)


@pytest.fixture
async def uk(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """Ten lamps and five rugs, the gate not opened yet."""
    async with world(database_url, redis_url) as made:
        await made.stock({LAMP: 10, RUG: 5})
        yield made


async def test_what_the_ledger_never_got_is_voided_then_given_back(uk: World) -> None:
    await uk.keeper.look(UK)
    await reserve(uk, "a", (LAMP, 4))
    await uk.keeper.tend(UK)
    assert await free(uk.gate, LAMP) == 6
    uk.clock.advance(PAST_GRACE_S)
    await uk.keeper.tend(UK)
    assert await free(uk.gate, LAMP) == 10
    assert await kinds(uk) == {"a": "voided"}
    assert (uk.tally.operations, await remembered(uk)) == (1, 0)
    with pytest.raises(Conflict):
        await uk.commit("a", (LAMP, 4))
    async with uk.database.read() as connection:
        total = await connection.scalar(
            select(stock_levels.c.allocated).where(stock_levels.c.sku == LAMP.sku)
        )
    assert total == 0


async def test_what_the_ledger_has_is_settled_and_stays_taken(uk: World) -> None:
    await uk.keeper.look(UK)
    await reserve(uk, "a", (LAMP, 4))
    await uk.commit("a", (LAMP, 4))
    uk.clock.advance(PAST_GRACE_S)
    for _ in range(2):
        await uk.keeper.tend(UK)
        uk.clock.advance(PAST_GRACE_S)
    assert await free(uk.gate, LAMP) == 6
    assert await kinds(uk) == {"a": "allocated"}
    assert await remembered(uk) == 0
    assert uk.tally.cells == 0


async def test_a_void_whose_reaper_died_is_still_given_back(uk: World) -> None:
    await uk.keeper.look(UK)
    await reserve(uk, "a", (LAMP, 4))
    await uk.commit("a", kind="voided")
    uk.clock.advance(PAST_GRACE_S)
    await uk.keeper.tend(UK)
    assert await free(uk.gate, LAMP) == 10


async def test_many_old_operations_are_reaped_in_pages(uk: World) -> None:
    await uk.stock({LAMP_YORK: 1000})
    await uk.keeper.look(UK)
    names = [f"op{n}" for n in range(450)]
    await uk.gate.reserve(UK, tuple(operation(name, (LAMP_YORK, 1)) for name in names))
    for name in names[::45]:
        await uk.commit(name, (LAMP_YORK, 1))
    uk.clock.advance(PAST_GRACE_S)
    await uk.keeper.tend(UK)
    assert uk.tally.operations == 440
    assert await free(uk.gate, LAMP_YORK) == 990
    assert await remembered(uk) == 0


async def test_shifts_are_forgotten_and_never_voided(uk: World) -> None:
    await uk.keeper.look(UK)
    await uk.commit("a", (LAMP, 3))
    await uk.gate.shift(UK, (operation("a", (LAMP, 3)),))
    uk.clock.advance(PAST_GRACE_S)
    await uk.keeper.tend(UK)
    assert await free(uk.gate, LAMP) == 7
    assert await kinds(uk) == {"a": "allocated"}
    assert await remembered(uk) == 0


async def test_two_reapers_at_once_give_back_once(uk: World) -> None:
    await uk.keeper.look(UK)
    for n in range(5):
        await reserve(uk, f"op{n}", (LAMP, 1))
    uk.clock.advance(PAST_GRACE_S)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(uk.another_keeper(uk.gate)._reaper.reap(UK))
    assert await free(uk.gate, LAMP) == 10
    assert uk.tally.operations == 0
