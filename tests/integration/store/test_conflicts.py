"""Who was second gets Conflict, and nothing of what they wrote is there."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from config.errors import Conflict
from config.ids import HoldId, OrderId
from outbox.table import metadata, outbox
from store import tables
from store.engine import Database
from store.ports import Changes, ExceptionFile, HoldFile, Lookup, OrderFile
from store.unit_of_work import SqlStore
from tests.integration.store import samples
from tests.integration.store.samples import SHOP


def _order_file(name: str, external_id: str) -> OrderFile:
    return OrderFile(order=samples.order(name, external_id=external_id))


STORED = Changes(
    messages=[samples.message()],
    orders={OrderId("o1"): samples.order_file()},
    fulfilments={samples.fulfilment().id: samples.fulfilment_file()},
    holds={samples.hold().id: HoldFile(samples.hold())},
    exceptions={"e1": ExceptionFile(samples.exception())},
    movements=[samples.movement()],
)
# Each changes something that STORED has, as if it had not been read, or had been read too early.
LOSERS: dict[str, dict[str, Any]] = {
    "a message key": {"messages": [samples.message(id="m2")]},
    "an operation id": {"movements": [samples.movement(kind="void")]},
    "an order id": {"orders": {"o1": _order_file("o1", "other")}},
    "an order's external id": {"orders": {"o2": _order_file("o2", "ext-o1")}},
    "an order": {"orders": {"o1": samples.order_file(lock=2)}},
    "a fulfilment": {"fulfilments": {"f1": samples.fulfilment_file(lock=2)}},
    "a hold": {"holds": {"h1": HoldFile(samples.hold(), lock=2)}},
    "an exception": {"exceptions": {"e1": ExceptionFile(samples.exception(), lock=2)}},
    "an order that is not there": {"orders": {"o7": samples.order_file("o7", lock=1)}},
}


async def _counts(database: Database) -> dict[str, int]:
    async with database.read() as connection:
        return {
            name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for name, table in metadata.tables.items()
        }


async def _write(store: SqlStore, *parts: dict[str, Any]) -> None:
    """Write each part, in one unit of work."""
    async with store.unit_of_work() as work:
        for part in parts:
            await work.write(Changes(**part))


@pytest.mark.parametrize("loser", LOSERS.values(), ids=LOSERS)
async def test_the_second_one_writes_nothing(
    store: SqlStore, database: Database, loser: dict[str, Any]
) -> None:
    async with store.unit_of_work() as work:
        await work.write(STORED)
    before = await _counts(database)
    neighbours: dict[str, Any] = {
        "parked": [samples.parked()],
        "fetches": [samples.fetch()],
        "events": [samples.event("ev1")],
        "payments": {("shop", "pay"): OrderId("o1")},
    }
    with pytest.raises(Conflict):
        await _write(store, {"messages": [samples.message("k9")]}, {**neighbours, **loser})
    assert await _counts(database) == before


async def test_every_write_raises_the_lock(store: SqlStore) -> None:
    async with store.unit_of_work() as work:
        await work.write(STORED)
    keys = Lookup(order_ids={OrderId("o1")}, holds={HoldId("h1")}, exceptions={("o1", "NO_STOCK")})
    for lock in range(1, 4):
        async with store.unit_of_work() as work:
            found = await work.find(keys)
            (group,) = found.orders[OrderId("o1")].fulfilments
            locks = {group.lock, *(file.lock for file in found.orders.values())}
            locks |= {file.lock for file in found.holds.values()}
            assert locks | {file.lock for file in found.exceptions.values()} == {lock}
            exceptions = {"e1": found.exceptions[("o1", "NO_STOCK")]}
            groups = {group.fulfilment.id: group}
            await work.write(
                Changes(
                    orders=found.orders,
                    fulfilments=groups,
                    holds=found.holds,
                    exceptions=exceptions,
                )
            )


async def test_two_who_read_the_same_order_cannot_both_write_it(
    postgres_database: Database,
) -> None:
    store = SqlStore(postgres_database, partitions=4)
    async with store.unit_of_work() as work:
        await work.write(STORED)
    wanted = Lookup(orders={(SHOP, "ext-o1")})
    async with store.unit_of_work() as first:
        mine = await first.find(wanted)
        async with store.unit_of_work() as second:
            await second.write(Changes(orders=(await second.find(wanted)).orders))
        with pytest.raises(Conflict, match="orders o1 was changed"):
            await first.write(Changes(orders=mine.orders))


async def test_a_missing_value_is_a_defect_and_no_conflict(
    store: SqlStore, database: Database
) -> None:
    nothing: Any = None
    with pytest.raises(IntegrityError):
        async with store.unit_of_work() as work:
            await work.write(Changes(fetches=[samples.fetch(reason=nothing)]))
    assert (await _counts(database))[tables.fetches.name] == 0


async def test_an_error_of_the_caller_undoes_everything(
    store: SqlStore, database: Database
) -> None:
    async def write_and_fail() -> None:
        async with store.unit_of_work() as work:
            await work.write(Changes(messages=[samples.message()], events=[samples.event("e")]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_and_fail()
    counts = await _counts(database)
    assert (counts[tables.inbox.name], counts[outbox.name]) == (0, 0)
