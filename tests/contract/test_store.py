"""The contract of `store.ports.Store` and `UnitOfWork`, kept on SQLite and PostgreSQL.

The details of every kind of record, and races, stand in `tests/integration/store`.
"""

import msgspec
import pytest

from config.errors import Conflict
from config.ids import ExceptionId, HoldId, LocationId, MarketId, OrderId, Sku
from store.engine import Database
from store.gate_port import Cell
from store.ports import (
    Changes,
    ExceptionFile,
    Found,
    HoldFile,
    Lookup,
    MarketSku,
    Offer,
    Shift,
    Store,
    Take,
    Told,
)
from store.unit_of_work import SqlStore
from tests.integration.store import samples
from tests.integration.store.samples import SHOP, UK, cell

SHIRT = cell()
US = MarketId("us")
EVERYTHING = Lookup(
    messages={(SHOP, "k1")},
    orders={("shop", "ext-o1")},
    order_ids={OrderId("o1")},
    fulfilments={samples.fulfilment().id},
    payments={("shop", "pay")},
    parents={("shop", "ext-o1")},
    items={("shop", "a")},
    skus={Sku("shirt")},
    holds={HoldId("h1")},
    exceptions={("o1", "NO_STOCK")},
)


@pytest.fixture
def store(database: Database) -> Store:
    return SqlStore(database, partitions=4)


def _everything() -> Changes:
    return Changes(
        messages=[samples.message()],
        orders={OrderId("o1"): samples.order_file(history=(samples.entry(),))},
        fulfilments={samples.fulfilment().id: samples.fulfilment_file()},
        movements=[samples.movement()],
        commitments={(SHOP, SHIRT): 2},
        holds={HoldId("h1"): HoldFile(samples.hold())},
        payments={("shop", "pay"): OrderId("o1")},
        parked=[samples.parked()],
        fetches=[samples.fetch()],
        exceptions={"e1": ExceptionFile(samples.exception(ExceptionId("e1")))},
        catalog=[samples.item("shirt", "a")],
        events=[samples.event("ev1")],
    )


async def _write(store: Store, changes: Changes) -> None:
    async with store.unit_of_work() as work:
        await work.write(changes)


async def _find(store: Store) -> Found:
    async with store.unit_of_work() as work:
        return await work.find(EVERYTHING)


async def _take(store: Store, takes: dict[Cell, Take]) -> frozenset[Cell]:
    async with store.unit_of_work() as work:
        return await work.take(takes)


async def test_an_empty_store_has_nothing(store: Store) -> None:
    assert await _find(store) == Found()
    async with store.unit_of_work() as work:
        assert await work.levels(frozenset({SHIRT})) == {}
        assert await work.committed(frozenset({(SHOP, SHIRT)})) == {}


async def test_what_one_unit_of_work_wrote_the_next_one_finds(store: Store) -> None:
    await _write(store, _everything())
    found = await _find(store)
    order = samples.order_file(
        history=(samples.entry(),), fulfilments=(samples.fulfilment_file(lock=1),), lock=1
    )
    assert found == Found(
        messages={(SHOP, "k1"): samples.message()},
        orders={OrderId("o1"): order},
        order_of_payment={("shop", "pay"): OrderId("o1")},
        order_of_fulfilment={samples.fulfilment().id: OrderId("o1")},
        parked={("shop", "ext-o1"): [samples.parked()]},
        sku_of_item={("shop", "a"): Sku("shirt")},
        skus={Sku("shirt")},
        holds={HoldId("h1"): HoldFile(samples.hold(), lock=1)},
        exceptions={("o1", "NO_STOCK"): ExceptionFile(samples.exception(), lock=1)},
    )


async def test_a_unit_of_work_finds_what_it_wrote_itself(store: Store) -> None:
    async with store.unit_of_work() as work:
        await work.write(_everything())
        assert set((await work.find(EVERYTHING)).orders) == {"o1"}


async def test_a_unit_of_work_that_fails_leaves_nothing(store: Store) -> None:
    async def write_and_fail() -> None:
        async with store.unit_of_work() as work:
            await work.shift({SHIRT: (UK, Shift(on_hand=5))})
            await work.write(_everything())
            raise LookupError

    with pytest.raises(LookupError):
        await write_and_fail()
    await test_an_empty_store_has_nothing(store)


async def test_what_was_read_too_early_cannot_be_written(store: Store) -> None:
    await _write(store, _everything())
    file = (await _find(store)).orders[OrderId("o1")]
    change = Changes(orders={OrderId("o1"): file})
    await _write(store, change)
    with pytest.raises(Conflict):
        await _write(store, change)
    assert (await _find(store)).orders[OrderId("o1")].lock == 2


async def test_a_message_is_claimed_once_for_ever(store: Store) -> None:
    await _write(store, Changes(messages=[samples.message()]))
    with pytest.raises(Conflict):
        await _write(store, Changes(messages=[samples.message(outcome="other")]))
    assert (await _find(store)).messages == {(SHOP, "k1"): samples.message()}


async def test_an_operation_moves_stock_once_for_ever(store: Store) -> None:
    await _write(store, Changes(movements=[samples.movement()]))
    with pytest.raises(Conflict):
        await _write(store, Changes(movements=[samples.movement(at_us=9)]))


async def test_never_more_is_taken_than_there_is(store: Store) -> None:
    async with store.unit_of_work() as work:
        await work.shift({SHIRT: (UK, Shift(on_hand=3, safety=1))})
    assert await _take(store, {SHIRT: Take(held=3)}) == {SHIRT}
    assert await _take(store, {SHIRT: Take(held=1, allocated=1)}) == frozenset()
    assert await _take(store, {SHIRT: Take(held=1)}) == {SHIRT}


async def test_a_shift_does_not_ask_what_there_is(store: Store) -> None:
    async with store.unit_of_work() as work:
        now = await work.shift({SHIRT: (UK, Shift(allocated=4, counted_version=2))})
        again = await work.shift({SHIRT: (UK, Shift(on_hand=1, counted_version=1))})
    assert now[SHIRT].available == -4
    assert again[SHIRT] == msgspec.structs.replace(now[SHIRT], on_hand=1)


async def test_a_levels_events_are_counted_on(store: Store) -> None:
    other = cell("hat")
    async with store.unit_of_work() as work:
        assert await work.raise_versions({SHIRT: 2}) == {SHIRT: 2}
        assert await work.raise_versions({SHIRT: 3, other: 1}) == {SHIRT: 5, other: 1}
        assert await work.raise_versions({}) == {}


async def test_an_offer_is_what_is_free_by_location_and_what_was_told(store: Store) -> None:
    key, unknown = MarketSku(UK, SHIRT.sku), MarketSku(UK, Sku("hat"))
    told = Told(1, 7, {LocationId("leeds"): 9})
    async with store.unit_of_work() as work:
        await work.shift({SHIRT: (UK, Shift(on_hand=5, safety=1)), cell("hat"): (US, Shift())})
        await work.shift({cell("shirt", "york"): (UK, Shift(held=2))})
        await work.take({SHIRT: Take(allocated=1)})
        await work.write(Changes(told={key: told}))
        assert await work.offers([key, unknown]) == {
            key: Offer({LocationId("leeds"): 3, LocationId("york"): -2}, told),
            unknown: Offer({}),
        }


async def test_what_was_told_is_told_on_only_by_who_has_seen_it(store: Store) -> None:
    key = MarketSku(UK, SHIRT.sku)
    for version in (1, 2):
        await _write(store, Changes(told={key: Told(version, version, {})}))
    for version in (1, 2, 4):
        with pytest.raises(Conflict):
            await _write(store, Changes(told={key: Told(version, 9, {})}))
    async with store.unit_of_work() as work:
        assert (await work.offers([key]))[key].told == Told(2, 2, {})


async def test_a_gate_that_nobody_knows_is_a_conflict(store: Store) -> None:
    async with store.unit_of_work() as work:
        with pytest.raises(Conflict):
            await work.check_epochs({UK: "E1"})
