"""The unit of work: what a whole batch reads and writes in one transaction."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Column, Table, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import Conflict
from config.ids import LocationId, MarketId, OperationId, OrderId, Sku, SourceId
from outbox.driver import TEXT, Statement, insert_rows, update_rows
from outbox.statements import event_rows
from store import audit, rows
from store.availability import raise_versions, read_offers, write_told
from store.engine import Database
from store.finder import find
from store.gate_ledger import VOIDED, check_epochs, read_available, read_kinds
from store.gate_port import Cell
from store.ports import (
    Changes,
    Found,
    Lookup,
    MarketSku,
    Offer,
    OrderFile,
    Ref,
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
    stock_movements,
)

_COMMITTED = Statement(
    """
SELECT commitments.source, commitments.sku, commitments.location, commitments.quantity
FROM {asked} AS asked CROSS JOIN commitments
WHERE commitments.source = asked.source AND commitments.sku = asked.sku
  AND commitments.location = asked.location""",
    {"source": TEXT, "sku": TEXT, "location": TEXT},
)

_File = tuple[int, dict[str, Any]]
"""A row's lock as it was read, 0 for a new one, and its columns."""


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
        return await find(self._connection, lookup)

    async def levels(self, cells: frozenset[Cell]) -> dict[Cell, Level]:
        """Read and lock levels."""
        return await lock_levels(self._connection, cells) if cells else {}

    async def committed(
        self, wanted: frozenset[tuple[SourceId, Cell]]
    ) -> dict[tuple[SourceId, Cell], int]:
        """Read what sources' own orders hold at cells that they own."""
        keys = [(source, cell.sku, cell.location) for source, cell in sorted(wanted)]
        return {
            (SourceId(source), Cell(Sku(sku), LocationId(where))): quantity
            for source, sku, where, quantity in await _COMMITTED.ask(self._connection, keys)
        }

    async def available(self, market: MarketId, skus: frozenset[Sku]) -> dict[Cell, int]:
        """Read the units available in all cells of some SKUs."""
        return await read_available(self._connection, market, sorted(skus))

    async def has_taken(self, operations: Sequence[OperationId]) -> bool:
        """Tell whether any of these operations is in the ledger, and not voided."""
        kinds = await read_kinds(self._connection, operations)
        return any(kind != VOIDED for kind in kinds.values())

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

    async def raise_versions(self, events: Mapping[Cell, int]) -> dict[Cell, int]:
        """Count events about levels and return their newest versions."""
        return await raise_versions(self._connection, events)

    async def offers(self, keys: Collection[MarketSku]) -> dict[MarketSku, Offer]:
        """Read the availability of SKUs, and what was told of it."""
        return await read_offers(self._connection, keys)

    async def write(self, changes: Changes) -> None:
        """Write the rest: first all rows that are new, parents first, then what changes."""
        files = _files_of(changes)
        inserts = [
            (inbox, [rows.of_message(row) for row in changes.messages]),
            *((table, _new(of_table)) for table, of_table in files),
            (stock_movements, [rows.of_movement(row) for row in changes.movements]),
            (parked, [rows.of_parked(row) for row in changes.parked]),
            (payments, [_of_payment(key, order) for key, order in changes.payments.items()]),
            *await event_rows(self._connection, changes.events, self._partitions),
        ]
        await insert_rows(self._connection, inserts, may_be_there=(payments,))
        for table, of_table in files:
            await self._update(table, [file for file in of_table if file[0]])
        await self._write_commitments(changes.commitments)
        await self._write_waiting(changes)
        await self._write_catalog(changes.catalog)
        await write_told(self._connection, changes.told)
        await audit.append(self._connection, changes.audit)

    async def _delete(self, column: Column[Any], values: Sequence[str]) -> None:
        if values:
            await self._connection.execute(delete(column.table).where(column.in_(values)))

    async def _update(self, table: Table, files: list[_File]) -> None:
        """Change rows in their order, each under the lock that it was read with."""
        if files:
            changed = [
                ((values["id"], lock), {**values, "lock": lock + 1}) for lock, values in files
            ]
            found = await update_rows(self._connection, table, ("id", "lock"), changed)
            if found != len(files):
                ids = " or ".join(str(values["id"]) for _, values in files[:3])
                raise Conflict(f"{table.name} {ids} was changed by somebody else")

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
                statement.on_conflict_do_update(index_elements=key, set_={"quantity": total}),
                values,
            )

    async def _write_waiting(self, changes: Changes) -> None:
        await self._delete(parked.c.id, changes.unparked)
        if changes.overdue:
            await self._connection.execute(
                update(parked).where(parked.c.id.in_(changes.overdue)).values(overdue=True)
            )
        await self._upsert_whole(fetches, ["id"], [rows.of_fetch(row) for row in changes.fetches])
        await self._delete(fetches.c.id, changes.fetched)

    async def _write_catalog(self, given: list[CatalogItem]) -> None:
        """Replace items as a whole, with the channels' names for them; the last of a SKU counts."""
        items = {item.sku: item for item in given}
        documents = [{"sku": sku, "document": rows.encode(items[sku])} for sku in sorted(items)]
        names = {
            (source, ref): {"source": source, "external_id": ref, "sku": item.sku}
            for item in items.values()
            for source, ref in item.external
        }
        await self._upsert_whole(catalog_items, ["sku"], documents)
        await self._delete(catalog_externals.c.sku, sorted(items))
        await self._upsert_whole(
            catalog_externals, ["source", "external_id"], [names[key] for key in sorted(names)]
        )

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


def _files_of(changes: Changes) -> list[tuple[Table, list[_File]]]:
    """Return the rows that have a lock, parents first and in one order for everybody."""
    groups = changes.fulfilments.values()
    files = [
        (orders, [(file.lock, _of_order(file)) for file in changes.orders.values()]),
        (fulfilments, [(group.lock, rows.of_fulfilment(group.fulfilment)) for group in groups]),
        (holds, [(file.lock, rows.of_hold(file)) for file in changes.holds.values()]),
        (
            exceptions,
            [(file.lock, rows.of_exception(file)) for file in changes.exceptions.values()],
        ),
    ]
    return [(table, sorted(of_table, key=_id_of)) for table, of_table in files]


def _of_payment(key: Ref, order: OrderId) -> dict[str, Any]:
    return {"source": key[0], "payment_ref": key[1], "order_id": order}


def _of_order(file: OrderFile) -> dict[str, Any]:
    columns = rows.of_order(file)
    if file.lock and columns["plan"] is None:
        del columns["plan"]
    return columns


def _id_of(file: _File) -> str:
    return str(file[1]["id"])


def _new(files: list[_File]) -> list[dict[str, Any]]:
    return [{**values, "lock": 1} for lock, values in files if not lock]
