"""The unit of work: what a whole batch reads and writes in one transaction."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Table, and_, delete, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import Conflict
from config.ids import FulfilmentId, HoldId, MarketId, OrderId, Sku, SourceId
from outbox.statements import insert_events
from store import rows
from store.engine import Database
from store.gate_ledger import check_epochs
from store.gate_port import Cell
from store.ports import (
    Changes,
    ExceptionFile,
    Found,
    FulfilmentFile,
    HoldFile,
    Lookup,
    OrderFile,
    Shift,
    Take,
)
from store.records import CatalogItem, Level
from store.statements import lock_levels, shift_levels, take_levels
from store.tables import (
    catalog_externals,
    catalog_items,
    commitments,
    exceptions,
    fetches,
    fulfilments,
    holds,
    inbox,
    orders,
    parked,
    payments,
    stock_levels,
    stock_movements,
)


class SqlStore:
    """Opens units of work on one database; `partitions` is the outbox's."""

    def __init__(self, database: Database, partitions: int) -> None:
        """Take the database and the number of outbox partitions."""
        self._database = database
        self._partitions = partitions

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator["SqlUnitOfWork"]:
        """Open one; it commits when the context ends without an error."""
        async with self._database.write() as connection:
            yield SqlUnitOfWork(connection, self._partitions)


class SqlUnitOfWork:
    """See `store.ports.UnitOfWork`."""

    def __init__(self, connection: AsyncConnection, partitions: int) -> None:
        """Take an open write transaction."""
        self._connection = connection
        self._partitions = partitions

    async def find(self, lookup: Lookup) -> Found:
        """Read everything of the lookup, one statement for each kind that is asked for."""
        found = Found()
        read = _Reading(self._connection, lookup, found)
        await read.messages()
        await read.catalog()
        await read.joins()
        await read.orders()
        await read.parked()
        await read.holds()
        await read.exceptions()
        return found

    async def levels(self, cells: frozenset[Cell]) -> dict[Cell, Level]:
        """Read and lock levels."""
        return await lock_levels(self._connection, cells) if cells else {}

    async def committed(
        self, wanted: frozenset[tuple[SourceId, Cell]]
    ) -> dict[tuple[SourceId, Cell], int]:
        """Read what sources' own orders hold at cells that they own."""
        if not wanted:
            return {}
        table = commitments
        keys = [(source, cell.sku, cell.location) for source, cell in sorted(wanted)]
        statement = select(table).where(
            tuple_(table.c.source, table.c.sku, table.c.location).in_(keys)
        )
        return {
            (SourceId(row.source), Cell(row.sku, row.location)): row.quantity
            for row in await self._connection.execute(statement)
        }

    async def check_epochs(self, epochs: dict[MarketId, str]) -> None:
        """Raise Conflict where a reservation was made under an epoch that is no more."""
        if epochs:
            await check_epochs(self._connection, epochs)

    async def take(self, takes: dict[Cell, Take]) -> frozenset[Cell]:
        """Take units where that many are available; return the cells that had too little."""
        return await take_levels(self._connection, takes) if takes else frozenset()

    async def shift(self, shifts: dict[Cell, tuple[MarketId, Shift]]) -> dict[Cell, Level]:
        """Change levels unconditionally and return what they are now."""
        return await shift_levels(self._connection, shifts) if shifts else {}

    async def write(self, changes: Changes) -> None:
        """Write the rest, parents first."""
        await self._insert(inbox, [rows.of_message(row) for row in changes.messages])
        await self._write_orders(list(changes.orders.values()))
        groups = changes.fulfilments.values()
        await self._write_files(fulfilments, [(g.lock, rows.of_fulfilment(g.fulfilment)) for g in groups])
        await self._insert(stock_movements, [rows.of_movement(row) for row in changes.movements])
        await self._write_commitments(changes.commitments)
        await self._write_files(holds, [(f.lock, rows.of_hold(f)) for f in changes.holds.values()])
        await self._write_files(
            exceptions, [(f.lock, rows.of_exception(f)) for f in changes.exceptions.values()]
        )
        await self._write_payments(changes)
        await self._write_waiting(changes)
        await self._write_catalog(changes.catalog)
        if changes.events:
            await insert_events(self._connection, changes.events, self._partitions)

    async def _insert(self, table: Table, values: Sequence[dict[str, Any]]) -> None:
        if values:
            await self._connection.execute(insert(table), values)

    async def _write_files(self, table: Table, files: list[tuple[int, dict[str, Any]]]) -> None:
        """Insert what is new and update the rest under its lock."""
        await self._insert(table, [{**values, "lock": 1} for lock, values in files if not lock])
        for lock, values in files:
            if lock:
                await self._update(table, lock, values)

    async def _update(self, table: Table, lock: int, values: dict[str, Any]) -> None:
        statement = (
            update(table)
            .where(table.c.id == values["id"], table.c.lock == lock)
            .values({**values, "lock": lock + 1})
        )
        result = await self._connection.execute(statement)
        if result.rowcount != 1:
            raise Conflict(f"{table.name} {values['id']} was changed by somebody else")

    async def _write_orders(self, files: list[OrderFile]) -> None:
        values = []
        for file in files:
            columns = rows.of_order(file)
            if file.lock and columns["plan"] is None:
                del columns["plan"]
            values.append((file.lock, columns))
        await self._write_files(orders, values)

    async def _write_commitments(self, changes: dict[tuple[SourceId, Cell], int]) -> None:
        values = [
            {"source": source, "sku": cell.sku, "location": cell.location, "quantity": quantity}
            for (source, cell), quantity in sorted(changes.items())
            if quantity
        ]
        if values:
            statement = self._upsert(commitments)
            total = commitments.c.quantity + statement.excluded.quantity
            key = ["source", "sku", "location"]
            await self._connection.execute(
                statement.on_conflict_do_update(index_elements=key, set_={"quantity": total}), values
            )

    async def _write_payments(self, changes: Changes) -> None:
        values = [
            {"source": source, "payment_ref": ref, "order_id": order}
            for (source, ref), order in changes.payments.items()
        ]
        if values:
            await self._connection.execute(
                self._upsert(payments).on_conflict_do_nothing(), values
            )

    async def _write_waiting(self, changes: Changes) -> None:
        await self._insert(parked, [rows.of_parked(row) for row in changes.parked])
        if changes.unparked:
            await self._connection.execute(delete(parked).where(parked.c.id.in_(changes.unparked)))
        if changes.overdue:
            await self._connection.execute(
                update(parked).where(parked.c.id.in_(changes.overdue)).values(overdue=True)
            )
        await self._upsert_whole(fetches, ["id"], [rows.of_fetch(row) for row in changes.fetches])
        if changes.fetched:
            await self._connection.execute(delete(fetches).where(fetches.c.id.in_(changes.fetched)))

    async def _write_catalog(self, items: list[CatalogItem]) -> None:
        documents = {item.sku: {"sku": item.sku, "document": rows.encode(item)} for item in items}
        names = {
            (source, ref): {"source": source, "external_id": ref, "sku": item.sku}
            for item in items
            for source, ref in item.external
        }
        await self._upsert_whole(catalog_items, ["sku"], list(documents.values()))
        await self._upsert_whole(catalog_externals, ["source", "external_id"], list(names.values()))

    async def _upsert_whole(
        self, table: Table, key: list[str], values: Sequence[dict[str, Any]]
    ) -> None:
        """Insert rows, or replace all but their key."""
        if not values:
            return
        statement = self._upsert(table)
        rest = {name: statement.excluded[name] for name in values[0] if name not in key}
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=key, set_=rest), values
        )

    def _upsert(self, table: Table) -> Any:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)


class _Reading:
    """The statements of one `find`, in the order in which one needs the other's results."""

    def __init__(self, connection: AsyncConnection, lookup: Lookup, found: Found) -> None:
        self._connection = connection
        self._lookup = lookup
        self._found = found

    async def messages(self) -> None:
        """Read the inbox rows of known keys."""
        if keys := self._lookup.messages:
            statement = select(inbox).where(tuple_(inbox.c.source, inbox.c.key).in_(sorted(keys)))
            for row in await self._connection.execute(statement):
                self._found.messages[(row.source, row.key)] = rows.to_message(row)

    async def catalog(self) -> None:
        """Read what channels' item ids mean, and which SKUs there are (catalog or stock)."""
        table = catalog_externals
        if items := self._lookup.items:
            statement = select(table).where(
                tuple_(table.c.source, table.c.external_id).in_(sorted(items))
            )
            for row in await self._connection.execute(statement):
                self._found.sku_of_item[(row.source, row.external_id)] = Sku(row.sku)
        if skus := sorted(self._lookup.skus):
            known = select(catalog_items.c.sku).where(catalog_items.c.sku.in_(skus))
            stocked = select(stock_levels.c.sku).where(stock_levels.c.sku.in_(skus))
            for row in await self._connection.execute(known.union(stocked)):
                self._found.skus.add(Sku(row.sku))

    async def joins(self) -> None:
        """Read which orders payments and fulfilments belong to."""
        if refs := self._lookup.payments:
            key = tuple_(payments.c.source, payments.c.payment_ref)
            statement = select(payments).where(key.in_(sorted(refs)))
            for row in await self._connection.execute(statement):
                self._found.order_of_payment[(row.source, row.payment_ref)] = OrderId(row.order_id)
        if ids := self._lookup.fulfilments:
            owners = select(fulfilments.c.id, fulfilments.c.order_id).where(
                fulfilments.c.id.in_(sorted(ids))
            )
            for row in await self._connection.execute(owners):
                self._found.order_of_fulfilment[FulfilmentId(row.id)] = OrderId(row.order_id)

    async def orders(self) -> None:
        """Read the orders by the channels' ids and by ours, with their fulfilments."""
        ids = {
            *self._lookup.order_ids,
            *self._found.order_of_payment.values(),
            *self._found.order_of_fulfilment.values(),
        }
        found: list[Any] = []
        if refs := self._lookup.orders:
            key = tuple_(orders.c.source, orders.c.external_id)
            found += await self._connection.execute(select(orders).where(key.in_(sorted(refs))))
        if ids:
            found += await self._connection.execute(select(orders).where(orders.c.id.in_(ids)))
        groups = await self._groups([row.id for row in found])
        for row in found:
            self._found.orders[row.id] = rows.to_order(row, tuple(groups.get(row.id, ())))

    async def _groups(self, order_ids: list[str]) -> dict[OrderId, list[FulfilmentFile]]:
        groups: dict[OrderId, list[FulfilmentFile]] = {}
        if order_ids:
            statement = (
                select(fulfilments)
                .where(fulfilments.c.order_id.in_(order_ids))
                .order_by(fulfilments.c.id)
            )
            for row in await self._connection.execute(statement):
                order_id, file = rows.to_fulfilment(row)
                groups.setdefault(order_id, []).append(file)
        return groups

    async def parked(self) -> None:
        """Read what waits for these parents, oldest first."""
        if parents := self._lookup.parents:
            key = tuple_(parked.c.parent_source, parked.c.parent_ref)
            statement = select(parked).where(key.in_(sorted(parents))).order_by(parked.c.id)
            for row in await self._connection.execute(statement):
                waiting = rows.to_parked(row)
                self._found.parked.setdefault(waiting.parent, []).append(waiting)

    async def holds(self) -> None:
        """Read holds."""
        if ids := self._lookup.holds:
            statement = select(holds).where(holds.c.id.in_(sorted(ids)))
            for row in await self._connection.execute(statement):
                self._found.holds[HoldId(row.id)] = HoldFile(rows.decode_hold(row.document), row.lock)

    async def exceptions(self) -> None:
        """Read the exceptions that are open for a subject and code."""
        if keys := self._lookup.exceptions:
            key = tuple_(exceptions.c.subject, exceptions.c.code)
            statement = select(exceptions).where(
                and_(exceptions.c.state != "resolved", key.in_(sorted(keys)))
            )
            for row in await self._connection.execute(statement):
                file = ExceptionFile(rows.decode_exception(row.document), row.lock)
                self._found.exceptions[(row.subject, row.code)] = file
