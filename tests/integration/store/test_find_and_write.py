"""What is written is found again, of every kind and on both databases."""

from typing import Any

import msgspec
from sqlalchemy import Table, select

from config.ids import OrderId, Sku, SourceId
from outbox.table import outbox
from store import tables
from store.engine import Database
from store.ports import (
    Changes,
    ExceptionFile,
    Found,
    FulfilmentFile,
    HoldFile,
    Lookup,
    OrderFile,
)
from store.readers import Reader
from store.rows import encode
from store.unit_of_work import SqlStore
from tests.integration.store import samples
from tests.integration.store.samples import SHOP, UK, cell


async def _write(store: SqlStore, **changes: Any) -> None:
    async with store.unit_of_work() as work:
        await work.write(Changes(**changes))


async def _find(store: SqlStore, **wanted: Any) -> Found:
    async with store.unit_of_work() as work:
        return await work.find(Lookup(**wanted))


async def _rows(database: Database, table: Table) -> list[Any]:
    async with database.read() as connection:
        return list(await connection.execute(select(table)))


async def test_an_empty_lookup_finds_nothing_and_empty_changes_write_nothing(
    store: SqlStore,
) -> None:
    await _write(store)
    assert await _find(store) == Found()


async def test_what_is_not_there_is_missing(store: SqlStore) -> None:
    found = await _find(
        store,
        messages={(SHOP, "k1")},
        orders={("shop", "x")},
        order_ids={OrderId("o9")},
        fulfilments={"f9"},
        payments={("shop", "pay")},
        parents={("shop", "x")},
        items={("shop", "x")},
        skus={"shirt"},
        holds={"h9"},
        exceptions={("o1", "NO_STOCK")},
    )
    assert found == Found()


async def test_a_message_comes_back_byte_for_byte(store: SqlStore) -> None:
    answered = samples.message("k2", order_id=OrderId("o1"), answer=b"\x00a", reason="why")
    await _write(store, messages=[samples.message(), answered])
    found = await _find(store, messages={(SHOP, "k1"), (SHOP, "k2"), (SHOP, "k3")})
    assert found.messages == {(SHOP, "k1"): samples.message(), (SHOP, "k2"): answered}


async def test_an_order_comes_back_with_its_fulfilments_and_history(store: SqlStore) -> None:
    file = samples.order_file(history=(samples.entry(),), undecided=True)
    groups = [samples.fulfilment_file("f2"), samples.fulfilment_file("f1")]
    await _write(
        store,
        orders={file.order.id: file},
        fulfilments={group.fulfilment.id: group for group in groups},
    )
    stored = OrderFile(
        order=file.order,
        fulfilments=(samples.fulfilment_file("f1", lock=1), samples.fulfilment_file("f2", lock=1)),
        history=file.history,
        undecided=True,
        lock=1,
    )
    for wanted in ({"orders": {("shop", "ext-o1")}}, {"order_ids": {OrderId("o1")}}):
        assert (await _find(store, **wanted)).orders == {OrderId("o1"): stored}


async def test_fulfilments_are_told_oldest_first_whatever_their_ids(
    store: SqlStore, database: Database
) -> None:
    file = samples.order_file()
    first, then = samples.fulfilment("f9"), samples.fulfilment("f1", created_at=samples.LATER)
    groups = {one.id: FulfilmentFile(one) for one in (then, first)}
    await _write(store, orders={file.order.id: file}, fulfilments=groups)
    assert await Reader(database).fulfilments_of(file.order.id) == [first, then]


async def test_an_order_that_is_asked_for_twice_is_found_once(store: SqlStore) -> None:
    await _write(
        store,
        orders={OrderId(name): samples.order_file(name) for name in ("o1", "o2")},
        fulfilments={samples.fulfilment().id: samples.fulfilment_file()},
    )
    found = await _find(
        store, orders={("shop", "ext-o1"), ("shop", "ext-o2")}, order_ids={OrderId("o1")}
    )
    assert {name: len(file.fulfilments) for name, file in found.orders.items()} == {
        "o1": 1,
        "o2": 0,
    }


async def test_an_order_is_found_by_its_payment_and_by_its_fulfilment(store: SqlStore) -> None:
    await _write(
        store,
        orders={OrderId(name): samples.order_file(name) for name in ("o1", "o2")},
        fulfilments={samples.fulfilment().id: samples.fulfilment_file()},
        payments={("shop", "pay-2"): OrderId("o2")},
    )
    found = await _find(store, payments={("shop", "pay-2")}, fulfilments={"f1"})
    assert found.order_of_payment == {("shop", "pay-2"): "o2"}
    assert found.order_of_fulfilment == {"f1": "o1"}
    assert set(found.orders) == {"o1", "o2"}


async def test_a_payment_stays_with_the_order_that_had_it_first(store: SqlStore) -> None:
    for name in ("o1", "o2"):
        await _write(store, payments={("shop", "pay"): OrderId(name)})
    found = await _find(store, payments={("shop", "pay")})
    assert found.order_of_payment == {("shop", "pay"): "o1"}


async def test_a_plan_is_kept_until_a_new_one_is_made(store: SqlStore, database: Database) -> None:
    await _write(store, orders={OrderId("o1"): samples.order_file(plan=samples.plan())})
    await _write(store, orders={OrderId("o1"): samples.order_file(lock=1)})
    (row,) = await _rows(database, tables.orders)
    assert row.plan == encode(samples.plan())
    newer = msgspec.structs.replace(samples.plan(), total_minor=1)
    await _write(store, orders={OrderId("o1"): samples.order_file(lock=2, plan=newer)})
    (row,) = await _rows(database, tables.orders)
    assert (row.plan, row.lock) == (encode(newer), 3)


async def test_orders_with_and_without_a_plan_go_together(
    store: SqlStore, database: Database
) -> None:
    files = {OrderId("o1"): samples.order_file(plan=samples.plan())}
    await _write(store, orders=files | {OrderId("o2"): samples.order_file("o2")})
    rows = await _rows(database, tables.orders)
    assert {row.id: row.plan is None for row in rows} == {"o1": False, "o2": True}


async def test_columns_say_what_the_document_says(store: SqlStore, database: Database) -> None:
    closed = samples.fulfilment("f2", state="collected")
    await _write(
        store,
        orders={OrderId("o1"): samples.order_file()},
        fulfilments={"f1": samples.fulfilment_file(), "f2": FulfilmentFile(closed)},
    )
    (row,) = await _rows(database, tables.orders)
    assert (row.state, row.placed_us, row.undecided) == ("accepted", 1_795_429_800_123_456, False)
    groups = await _rows(database, tables.fulfilments)
    assert {group.id: group.open for group in groups} == {"f1": True, "f2": False}


async def test_parked_commands_come_back_oldest_first_until_they_are_unparked(
    store: SqlStore,
) -> None:
    waiting = [samples.parked("p2"), samples.parked("p1"), samples.parked("p3", "other")]
    await _write(store, parked=waiting)
    found = await _find(store, parents={("shop", "ext-o1"), ("shop", "nothing")})
    assert found.parked == {("shop", "ext-o1"): [samples.parked("p1"), samples.parked("p2")]}
    await _write(store, unparked=["p1"], overdue=["p2"])
    found = await _find(store, parents={("shop", "ext-o1")})
    assert found.parked == {("shop", "ext-o1"): [samples.parked("p2", overdue=True)]}


async def test_a_fetch_is_replaced_and_then_removed(store: SqlStore, database: Database) -> None:
    await _write(store, fetches=[samples.fetch(), samples.fetch("t2")])
    again = samples.fetch(attempts=1, due_us=90, reason="timeout")
    await _write(store, fetches=[again])
    rows = {row.id: row._asdict() for row in await _rows(database, tables.fetches)}
    assert rows == {
        "t1": msgspec.structs.asdict(again),
        "t2": msgspec.structs.asdict(samples.fetch("t2")),
    }
    await _write(store, fetched=["t1", "t2"])
    assert await _rows(database, tables.fetches) == []


async def test_holds_come_back_with_their_lock(store: SqlStore) -> None:
    await _write(store, holds={samples.hold().id: HoldFile(samples.hold())})
    released = samples.hold(state="released")
    await _write(store, holds={released.id: HoldFile(released, lock=1)})
    assert (await _find(store, holds={"h1"})).holds == {"h1": HoldFile(released, lock=2)}


async def test_an_exception_is_found_while_it_is_open(store: SqlStore) -> None:
    keys = {("o1", "NO_STOCK")}
    await _write(store, exceptions={"e1": ExceptionFile(samples.exception())})
    found = await _find(store, exceptions=keys)
    assert found.exceptions == {("o1", "NO_STOCK"): ExceptionFile(samples.exception(), lock=1)}
    assigned = samples.exception(state="assigned", order_id=OrderId("o1"))
    await _write(store, exceptions={"e1": ExceptionFile(assigned, lock=1)})
    found = await _find(store, exceptions=keys)
    assert found.exceptions == {("o1", "NO_STOCK"): ExceptionFile(assigned, lock=2)}


async def test_an_exception_that_is_closed_is_not_found(store: SqlStore) -> None:
    resolved, superseded = (
        samples.exception("e1", state="resolved"),
        samples.exception("e2", state="superseded"),
    )
    files = {record.id: ExceptionFile(record) for record in (resolved, superseded)}
    await _write(store, exceptions=files)
    assert (await _find(store, exceptions={("o1", "NO_STOCK")})).exceptions == {}


async def test_commitments_add_up(store: SqlStore) -> None:
    mine, other = (SHOP, cell()), (SourceId("till"), cell())
    await _write(store, commitments={mine: 3, other: 0})
    await _write(store, commitments={mine: -1, other: 5})
    async with store.unit_of_work() as work:
        assert await work.committed(frozenset()) == {}
        found = await work.committed(frozenset({mine, other, (SHOP, cell("hat"))}))
    assert found == {mine: 2, other: 5}


async def test_a_catalog_item_is_replaced_with_its_names(
    store: SqlStore, database: Database
) -> None:
    names = {("shop", name) for name in ("a", "b", "c")}
    await _write(store, catalog=[samples.item("shirt", "a", "b"), samples.item("hat", "c")])
    found = await _find(store, items=names, skus={"shirt", "hat", "shoe"})
    assert found.sku_of_item == {
        ("shop", "a"): "shirt",
        ("shop", "b"): "shirt",
        ("shop", "c"): "hat",
    }
    assert found.skus == {"shirt", "hat"}
    await _write(store, catalog=[samples.item("shirt", "b", "c", title="Shirt")])
    found = await _find(store, items=names)
    assert found.sku_of_item == {("shop", "b"): "shirt", ("shop", "c"): "shirt"}
    documents = {row.sku: row.document for row in await _rows(database, tables.catalog_items)}
    assert documents["shirt"] == encode(samples.item("shirt", "b", "c", title="Shirt"))


async def test_of_two_items_with_one_sku_the_last_counts(store: SqlStore) -> None:
    await _write(store, catalog=[samples.item("shirt", "a"), samples.item("shirt", "b")])
    found = await _find(store, items={("shop", "a"), ("shop", "b")})
    assert found.sku_of_item == {("shop", "b"): "shirt"}


async def test_a_sku_with_stock_is_known_without_a_catalog(store: SqlStore) -> None:
    async with store.unit_of_work() as work:
        await work.shift({cell(): (UK, samples.shift(on_hand=1))})
        found = await work.find(Lookup(skus={Sku("shirt"), Sku("hat")}))
    assert found.skus == {"shirt"}


async def test_movements_are_stored_with_all_their_lines(
    store: SqlStore, database: Database
) -> None:
    await _write(store, movements=[samples.movement(reason="sold")])
    (row,) = await _rows(database, tables.stock_movements)
    assert (row.operation_id, row.kind, row.reason) == ("op1", "allocate", "sold")
    assert msgspec.json.decode(row.lines) == [["shirt", "leeds", {"allocated": 2}]]


async def test_events_stand_in_the_outbox_in_the_order_in_which_they_were_given(
    store: SqlStore, database: Database
) -> None:
    events = [samples.event(f"ev{number}", version=number) for number in range(20)]
    await _write(store, events=events[:10])
    await _write(store, events=events[10:])
    async with database.read() as connection:
        rows = list(await connection.execute(select(outbox).order_by(outbox.c.position)))
    assert [row.id for row in rows] == [event.id for event in events]
    assert {row.partition for row in rows} == {samples.event("x").partition(4)}


async def test_everything_of_a_batch_is_written_at_once(store: SqlStore) -> None:
    changes = Changes(
        messages=[samples.message()],
        orders={OrderId("o1"): samples.order_file(plan=samples.plan())},
        fulfilments={samples.fulfilment().id: samples.fulfilment_file()},
        movements=[samples.movement()],
        commitments={(SHOP, cell()): 2},
        holds={samples.hold().id: HoldFile(samples.hold())},
        payments={("shop", "pay"): OrderId("o1")},
        parked=[samples.parked()],
        fetches=[samples.fetch()],
        exceptions={"e1": ExceptionFile(samples.exception())},
        catalog=[samples.item("shirt", "a")],
        events=[samples.event("ev1")],
    )
    async with store.unit_of_work() as work:
        await work.write(changes)
        found = await work.find(Lookup(messages={(SHOP, "k1")}, payments={("shop", "pay")}))
    assert set(found.messages) == {(SHOP, "k1")}
    assert set(found.orders) == {"o1"}
