"""The gate opens, closes and is rebuilt, on a real Redis and both databases."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import Conflict, EngineDown
from config.ids import IdFactory, LocationId, Sku
from gateway.engines.redis import RedisServer
from outbox.ports import Transactions
from store.engine import Database
from store.gate import RedisGate
from store.gate_keeper import Keeper
from store.gate_keys import MarketKeys
from store.gate_ledger import check_epochs, read_gate
from store.gate_port import Cell, GateClosed
from store.redis_client import Client
from store.tables import gates, stock_levels
from tests.integration.store.gate_world import (
    LAMP,
    PAST_GRACE_S,
    RUG,
    UK,
    World,
    eventually,
    free,
    reserve,
    world,
)

KEYS = MarketKeys(UK)


@pytest.fixture
async def uk(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """Ten lamps and five rugs, the gate not opened yet."""
    async with world(database_url, redis_url) as made:
        await made.stock({LAMP: 10, RUG: 5})
        yield made


async def test_the_first_look_builds_the_gate_from_the_ledger(uk: World) -> None:
    assert await uk.keeper.look(UK)
    assert (await free(uk.gate, LAMP), await free(uk.gate, RUG)) == (10, 5)
    async with uk.database.read() as connection:
        row = await read_gate(connection, UK)
    assert row is not None
    assert (row.epoch, row.open) == (uk.gate.epoch(UK), True)
    assert uk.tally.is_open


async def test_a_market_without_stock_opens_too(database_url: str, redis_url: str) -> None:
    async with world(database_url, redis_url) as empty:
        assert await empty.keeper.look(UK)
        assert await empty.gate.available(UK, frozenset({LAMP.sku})) == {}


async def test_another_process_opens_on_the_same_epoch_without_building(uk: World) -> None:
    await uk.keeper.look(UK)
    await reserve(uk, "a", (LAMP, 1))
    other = RedisGate(uk.client, uk.clock)
    assert await uk.another_keeper(other).look(UK)
    assert other.epoch(UK) == uk.gate.epoch(UK)
    assert await free(other, LAMP) == 9


async def test_many_processes_at_once_end_on_one_epoch(uk: World) -> None:
    others = [RedisGate(uk.client, uk.clock) for _ in range(6)]

    async def open_one(gate: RedisGate) -> None:
        keeper = uk.another_keeper(gate)

        async def looked() -> bool:
            with suppress(Conflict):
                return await keeper.look(UK)
            return False

        await eventually(looked)

    async with asyncio.TaskGroup() as tasks:
        for gate in others:
            tasks.create_task(open_one(gate))
    assert len({gate.epoch(UK) for gate in others}) == 1
    assert await free(others[0], LAMP) == 10


async def test_a_large_market_is_built_page_by_page(uk: World) -> None:
    many = {
        Cell(Sku(f"SKU-{n:04}"), LocationId(where)): n + 1
        for n in range(900)
        for where in ("leeds", "york", "hull")
    }
    await uk.stock(many)
    await uk.keeper.look(UK)
    shown = await uk.gate.available(UK, frozenset(cell.sku for cell in many))
    assert {Cell(sku, place): n for sku, cells in shown.items() for place, n in cells.items()} == (
        many
    )


async def test_levels_that_changed_under_the_old_epoch_are_in_the_new_one(uk: World) -> None:
    """A commit that has checked its epoch makes the rebuild wait, and is in what it reads."""
    await uk.keeper.look(UK)
    old = await reserve(uk, "a", (LAMP, 4))
    async with asyncio.TaskGroup() as tasks:  # noqa: SIM117 - the commit comes before the wait
        async with uk.database.write() as connection:
            await check_epochs(connection, {UK: old})
            rebuilt = tasks.create_task(uk.keeper.rebuild(UK))
            await eventually(lambda: _is_closed(uk))
            await connection.execute(
                update(stock_levels).where(stock_levels.c.sku == LAMP.sku).values(allocated=4)
            )
    assert rebuilt.result()
    assert await free(uk.gate, LAMP) == 6


async def _is_closed(uk: World) -> bool:
    return await uk.client.execute_command("GET", KEYS.epoch) is None


async def test_an_epoch_that_has_passed_cannot_commit(uk: World) -> None:
    await uk.keeper.look(UK)
    old = await reserve(uk, "a", (LAMP, 4))
    await uk.owner.flushall()
    assert await uk.keeper.look(UK)
    present = uk.gate.epoch(UK)
    assert present != old
    assert await free(uk.gate, LAMP) == 10
    with pytest.raises(Conflict):
        async with uk.database.write() as connection:
            await check_epochs(connection, {UK: old})
    async with uk.database.write() as connection:
        await check_epochs(connection, {UK: present})
        await check_epochs(connection, {})


async def test_a_redis_that_dies_and_returns_empty_is_rebuilt_by_itself(
    database_url: str, own_redis: RedisServer, tmp_path: Path
) -> None:
    async with world(database_url, own_redis.url) as uk, running(uk.keeper):
        await uk.stock({LAMP: 10})
        await eventually(lambda: _is_open(uk))
        old = uk.gate.epoch(UK)
        own_redis.kill()
        await eventually(lambda: _closed_here(uk))
        with pytest.raises(GateClosed):
            await uk.gate.available(UK, frozenset({LAMP.sku}))
        shutil.rmtree(tmp_path / "redis" / "redis")
        own_redis.start()
        await eventually(lambda: _is_open(uk))
        assert uk.gate.epoch(UK) != old
        await uk.keeper.reconcile(UK)
        assert await free(uk.gate, LAMP) == 10
        with pytest.raises(Conflict):
            async with uk.database.write() as connection:
                await check_epochs(connection, {UK: old})


async def test_a_redis_that_returns_with_its_data_goes_on(
    database_url: str, own_redis: RedisServer
) -> None:
    async with world(database_url, own_redis.url) as uk:
        await uk.stock({LAMP: 10})
        await uk.keeper.look(UK)
        before = await reserve(uk, "a", (LAMP, 1))
        own_redis.kill()
        with pytest.raises(EngineDown):
            await uk.keeper.look(UK)
        assert not uk.tally.is_open
        own_redis.start()
        assert await uk.keeper.look(UK)
        assert await reserve(uk, "a", (LAMP, 1)) == before
        assert await free(uk.gate, LAMP) == 9


@asynccontextmanager
async def running(keeper: Keeper) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(keeper.run())
        yield
        task.cancel()


async def _is_open(uk: World) -> bool:
    with suppress(GateClosed):
        return bool(uk.gate.epoch(UK))
    return False


async def _closed_here(uk: World) -> bool:
    return not await _is_open(uk)


class Death(BaseException):
    """The process is killed here."""


class Fate:
    """Kills a process before its n-th step outside, for good."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Death


class MortalClient:
    """A client of a process that dies; half of a command's deaths come after it was executed."""

    def __init__(self, client: Client, fate: Fate) -> None:
        self._client = client
        self._fate = fate

    async def execute_command(self, *command: Any) -> Any:
        self._fate.step()
        answer = await self._client.execute_command(*command)
        self._fate.step()
        return answer


class MortalDatabase:
    """Transactions of a process that dies, before a commit or after it."""

    def __init__(self, database: Transactions, fate: Fate) -> None:
        self._database = database
        self._fate = fate

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.write() as connection:
            yield connection
            self._fate.step()
        self._fate.step()

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._database.read()


async def _rebuild_and_die(uk: World, steps: int) -> bool:
    """Return whether the process died before it was done."""
    fate = Fate(steps)
    mortal: Any = MortalClient(uk.client, fate)
    keeper = Keeper(
        MortalDatabase(uk.database, fate),
        RedisGate(mortal, uk.clock),
        markets=[UK],
        clock=uk.clock,
        ids=IdFactory(),
        meter=uk.tally,
    )
    try:
        await keeper.rebuild(UK)
    except Death:
        return True
    return False


async def test_a_builder_may_be_killed_at_any_step(uk: World) -> None:
    await uk.keeper.look(UK)
    steps = 0
    while await _rebuild_and_die(uk, steps):
        # The lease runs out.
        await uk.client.execute_command("DEL", KEYS.builder)
        assert await uk.keeper.look(UK), steps
        epoch = uk.gate.epoch(UK)
        assert await free(uk.gate, LAMP) == 10
        async with uk.database.write() as connection:
            await check_epochs(connection, {UK: epoch})
            row = await read_gate(connection, UK)
        assert row is not None
        assert row.open
        steps += 1
    assert steps >= 12


async def test_a_builder_that_lost_its_lease_opens_nothing(uk: World) -> None:
    """While one builder waits for the database, its lease runs out and another one builds."""
    await uk.keeper.look(UK)
    async with asyncio.TaskGroup() as tasks:  # noqa: SIM117 - the commit comes before the wait
        async with uk.database.write() as connection:
            await connection.execute(update(gates).values(epoch="another"))
            slow = tasks.create_task(uk.keeper.rebuild(UK))
            await eventually(lambda: _is_closed(uk))
            await uk.client.execute_command("SET", KEYS.builder, "another")
    assert not slow.result()
    assert await _is_closed(uk)
    assert await uk.client.execute_command("GET", KEYS.builder) == b"another"


async def test_a_closed_database_leaves_an_open_gate_open(uk: World) -> None:
    await uk.keeper.look(UK)
    epoch = uk.gate.epoch(UK)

    class Silent(MortalDatabase):
        def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
            raise EngineDown

    keeper = Keeper(
        Silent(uk.database, Fate(0)),
        uk.gate,
        markets=[UK],
        clock=uk.clock,
        ids=IdFactory(),
        meter=uk.tally,
    )
    with pytest.raises(EngineDown):
        await keeper.look(UK)
    assert uk.gate.epoch(UK) == epoch


async def test_what_past_epochs_left_is_swept(uk: World) -> None:
    await uk.stock({Cell(Sku(f"S{n:04}"), LocationId("leeds")): 1 for n in range(1200)})
    await uk.keeper.look(UK)
    await reserve(uk, "a", (LAMP, 1))
    await uk.keeper.rebuild(UK)
    await _rebuild_and_die(uk, 12)
    await uk.client.execute_command("DEL", KEYS.builder)
    await uk.keeper.look(UK)
    await uk.keeper.tend(UK)
    keys = {key.decode() async for key in uk.owner.scan_iter(f"imv:{{market:{UK}}}:*")}
    present = f"imv:{{market:{UK}}}:{uk.gate.epoch(UK)}:"
    assert {key for key in keys if not key.startswith(present)} == {
        KEYS.epoch,
        KEYS.epochs,
        KEYS.turn,
    }
    assert len(keys) > 1200


async def test_one_keeper_at_a_time_has_the_turn(uk: World) -> None:
    await uk.keeper.look(UK)
    other = uk.another_keeper(uk.gate)
    assert [await k._has_turn(UK) for k in (uk.keeper, other, uk.keeper)] == [True, False, True]
    await reserve(uk, "a", (LAMP, 4))
    uk.clock.advance(PAST_GRACE_S)
    await other.tend(UK)
    assert await free(uk.gate, LAMP) == 6


async def test_the_ledger_refuses_a_market_that_has_no_gate(uk: World) -> None:
    database: Database = uk.database
    with pytest.raises(Conflict):
        async with database.write() as connection:
            await check_epochs(connection, {UK: "any"})
