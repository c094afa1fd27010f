"""The stock gate on a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from config.errors import EngineDown, Misconfigured, OutcomeUnknown
from config.ids import LocationId, MarketId, OperationId, Sku
from config.limits import GATE_CALL_S, QUANTITY_MAX
from gateway.engines.redis import RedisServer
from store.gate import RedisGate
from store.gate_port import Cell, GateClosed, Granted, Operation, Short
from store.redis_client import CONNECTIONS_MAX, open_redis
from tests.engines import TestedRedis
from tests.integration.store.gate_world import (
    LAMP,
    LAMP_YORK,
    RUG,
    UK,
    LossyWire,
    SetClock,
    connected,
    fill,
    free,
    operation,
)


@pytest.fixture
async def gate(redis_url: str) -> AsyncIterator[RedisGate]:
    async with connected(redis_url) as client:
        yield RedisGate(client, SetClock())


async def _reserve(gate: RedisGate, *operations: Operation) -> tuple[Granted | Short, ...]:
    return await gate.reserve(UK, operations)


async def _all(gate: RedisGate, operations: list[Operation]) -> list[Granted | Short]:
    """Race for the gate over every connection it has; who finds none free stands in line.

    Waiting for a connection counts against a call's deadline, and this is about who wins.
    """
    line = asyncio.Semaphore(CONNECTIONS_MAX)

    async def race(one: Operation) -> Granted | Short:
        async with line:
            (answer,) = await gate.reserve(UK, (one,))
            return answer

    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(race(one)) for one in operations]
    return [call.result() for call in calls]


def _granted(answers: list[Granted | Short]) -> int:
    return sum(isinstance(answer, Granted) for answer in answers)


async def test_of_a_thousand_racers_for_one_unit_one_wins(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 1})
    answers = await _all(gate, [operation(f"op{i}", (LAMP, 1)) for i in range(1000)])
    assert _granted(answers) == 1
    assert all(a.cells == ((LAMP, 0),) for a in answers if isinstance(a, Short))
    assert await free(gate, LAMP) == 0


async def test_carts_in_opposite_order_are_each_all_or_nothing(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 50, RUG: 30})
    carts = [((LAMP, 1), (RUG, 1)), ((RUG, 1), (LAMP, 1))]
    answers = await _all(gate, [operation(f"op{i}", *carts[i % 2]) for i in range(200)])
    assert _granted(answers) == 30
    assert (await free(gate, LAMP), await free(gate, RUG)) == (20, 0)


async def test_a_short_cart_takes_nothing_and_names_what_is_short(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 5, RUG: 1})
    (answer,) = await _reserve(gate, operation("a", (LAMP, 5), (RUG, 2), (LAMP_YORK, 1)))
    assert answer == Short(OperationId("a"), ((RUG, 1), (LAMP_YORK, 0)))
    assert (await free(gate, LAMP), await free(gate, RUG)) == (5, 1)


async def test_a_cell_that_stands_twice_is_summed_first(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 5})
    short, granted = await _reserve(
        gate, operation("a", (LAMP, 3), (LAMP, 3)), operation("b", (LAMP, 3), (LAMP, 2))
    )
    assert short == Short(OperationId("a"), ((LAMP, 5),))
    assert isinstance(granted, Granted)
    assert await free(gate, LAMP) == 0


async def test_operations_of_one_call_are_decided_in_their_order(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 3})
    answers = await _reserve(
        gate, operation("a", (LAMP, 2)), operation("b", (LAMP, 2)), operation("c", (LAMP, 1))
    )
    assert [type(answer) for answer in answers] == [Granted, Short, Granted]


async def test_a_repeat_is_answered_as_the_first_time_and_takes_nothing(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 3})
    first = await _reserve(gate, operation("a", (LAMP, 2)))
    again = await _reserve(gate, operation("a", (LAMP, 2)), operation("a", (LAMP, 2)))
    assert again == first * 2
    assert await free(gate, LAMP) == 1


async def test_a_lost_answer_is_unknown_and_the_repeat_finds_what_was_done(
    gate: RedisGate, redis_url: str
) -> None:
    await fill(gate, UK, {LAMP: 3})
    wire = LossyWire(redis_url)
    async with wire.listening() as url, connected(url, call_s=GATE_CALL_S) as client:
        lossy = RedisGate(client, SetClock())
        lossy.learn(UK, gate.epoch(UK))
        await _reserve(lossy, operation("warm", (LAMP, 1)))
        wire.losing = True
        with pytest.raises(OutcomeUnknown):
            await _reserve(lossy, operation("a", (LAMP, 1)))
        assert (wire.lost, await free(gate, LAMP)) == (1, 1)
        wire.losing = False
        (answer,) = await _reserve(lossy, operation("a", (LAMP, 1)))
    assert isinstance(answer, Granted)
    assert await free(gate, LAMP) == 1


async def test_an_engine_that_is_not_there_was_never_asked(tmp_path: object) -> None:
    async with connected(f"unix://{tmp_path}/none.sock") as client:
        gate = RedisGate(client, SetClock())
        gate.learn(UK, "epoch")
        with pytest.raises(EngineDown):
            await _reserve(gate, operation("a", (LAMP, 1)))


@pytest.mark.parametrize(
    "command", [("CONFIG", "SET", "maxmemory", "1"), ("REPLICAOF", "127.0.0.1", "1")]
)
async def test_a_server_that_takes_no_writes_has_applied_nothing(
    own_redis: TestedRedis, command: tuple[str, ...]
) -> None:
    async with connected(own_redis.url) as client:
        gate = RedisGate(client, SetClock())
        await fill(gate, UK, {LAMP: 3})
        async with connected(own_redis.owner_url) as owner:
            await owner.execute_command(*command)
        with pytest.raises(EngineDown):
            await _reserve(gate, operation("a", (LAMP, 1)))
        assert await free(gate, LAMP) == 3


async def test_a_server_that_stands_still_is_unknown_and_the_repeat_takes_once(
    own_redis: RedisServer,
) -> None:
    async with connected(own_redis.url, call_s=GATE_CALL_S) as client:
        gate = RedisGate(client, SetClock())
        await fill(gate, UK, {LAMP: 3})
        own_redis.pause()
        try:
            with pytest.raises(OutcomeUnknown):
                await _reserve(gate, operation("a", (LAMP, 1)))
        finally:
            own_redis.resume()
        (answer,) = await _reserve(gate, operation("a", (LAMP, 1)))
        assert isinstance(answer, Granted)
        assert await free(gate, LAMP) == 2


async def test_undo_gives_back_once(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 3, RUG: 3})
    await _reserve(gate, operation("a", (LAMP, 2), (RUG, 1)), operation("b", (LAMP, 1)))
    for _ in range(2):
        await gate.undo(UK, (OperationId("a"), OperationId("never")))
    assert (await free(gate, LAMP), await free(gate, RUG)) == (2, 3)


async def test_undo_by_two_at_once_gives_back_once(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 3})
    await _reserve(gate, operation("a", (LAMP, 2)))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(gate.undo(UK, (OperationId("a"),)))
    assert await free(gate, LAMP) == 3


async def test_a_shift_counts_once_goes_both_ways_and_makes_cells(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 3})
    for _ in range(2):
        await gate.shift(UK, (operation("in", (LAMP, -4), (RUG, -2)), operation("out", (LAMP, 1))))
    assert (await free(gate, LAMP), await free(gate, RUG)) == (6, 2)


async def test_a_shift_below_zero_leaves_nothing_to_promise(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 3})
    await gate.shift(UK, (operation("out", (LAMP, 5)),))
    assert await free(gate, LAMP) == 0
    assert await _reserve(gate, operation("a", (LAMP, 1))) == (
        Short(OperationId("a"), ((LAMP, 0),)),
    )
    await gate.shift(UK, (operation("in", (LAMP, -3)),))
    assert await free(gate, LAMP) == 1


async def test_large_numbers_stay_exact(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 2**53 - 1})
    await _reserve(gate, operation("a", (LAMP, 1)))
    assert await free(gate, LAMP) == 2**53 - 2
    await gate.undo(UK, (OperationId("a"),))
    assert await free(gate, LAMP) == 2**53 - 1


@pytest.mark.parametrize("length", [1, 31, 36, 255, 256, 70_000])
async def test_names_may_be_long_and_foreign(gate: RedisGate, length: int) -> None:
    cell = Cell(Sku("ü" * length), LocationId("ł" * length))
    await fill(gate, UK, {cell: 3})
    await _reserve(gate, operation("é" * length, (cell, 2)))
    await gate.shift(UK, (operation("é" * length, (cell, -4)),))
    assert await free(gate, cell) == 5
    await gate.undo(UK, (OperationId("é" * length),))
    assert await free(gate, cell) == 7


async def test_unknown_stock_is_missing(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 1})
    assert await gate.available(UK, frozenset({LAMP.sku, RUG.sku})) == {
        LAMP.sku: {LAMP.location: 1}
    }


async def test_without_an_epoch_everything_is_closed(gate: RedisGate) -> None:
    with pytest.raises(GateClosed):
        await gate.available(UK, frozenset({LAMP.sku}))
    with pytest.raises(GateClosed):
        await _reserve(gate, operation("a", (LAMP, 1)))
    with pytest.raises(GateClosed):
        await gate.shift(UK, (operation("a", (LAMP, 1)),))
    await gate.undo(UK, (OperationId("a"),))


async def test_an_epoch_that_redis_no_longer_has_closes_this_process(
    gate: RedisGate, redis_owner_url: str
) -> None:
    await fill(gate, UK, {LAMP: 1})
    async with connected(redis_owner_url) as client:
        await client.flushall()
    with pytest.raises(GateClosed):
        await _reserve(gate, operation("a", (LAMP, 1)))
    with pytest.raises(GateClosed):
        gate.epoch(UK)


async def test_a_closed_answer_to_an_old_epoch_does_not_close_a_newer_one(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 1})
    present = gate.epoch(UK)
    gate.learn(UK, "older")
    async with asyncio.TaskGroup() as tasks:
        late = tasks.create_task(_closed(gate))
        await asyncio.sleep(0)
        gate.learn(UK, present)
    assert late.result()
    assert gate.epoch(UK) == present


async def _closed(gate: RedisGate) -> bool:
    try:
        await _reserve(gate, operation("a", (LAMP, 1)))
    except GateClosed:
        return True
    return False


async def test_a_server_that_forgot_the_scripts_is_told_again(
    gate: RedisGate, redis_owner_url: str
) -> None:
    await fill(gate, UK, {LAMP: 2})
    await _reserve(gate, operation("a", (LAMP, 1)))
    async with connected(redis_owner_url) as client:
        await client.execute_command("SCRIPT", "FLUSH")
    await _reserve(gate, operation("b", (LAMP, 1)))
    assert await free(gate, LAMP) == 0


@pytest.mark.parametrize("units", [0, -1, QUANTITY_MAX + 1])
async def test_units_to_take_are_positive_and_bounded(gate: RedisGate, units: int) -> None:
    await fill(gate, UK, {LAMP: 2})
    with pytest.raises(ValueError, match="operation"):
        await _reserve(gate, operation("a", (LAMP, units)))


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"engines\.redis"):
        open_redis("http://localhost")


async def test_markets_do_not_meet(gate: RedisGate) -> None:
    await fill(gate, UK, {LAMP: 1})
    await fill(gate, MarketId("de"), {LAMP: 7})
    await _reserve(gate, operation("a", (LAMP, 1)))
    assert await free(gate, LAMP, MarketId("de")) == 7
