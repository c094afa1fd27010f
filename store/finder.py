"""Reads everything of a lookup, with one statement for each kind that is asked for."""

from typing import Any

from sqlalchemy import literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from config.ids import FulfilmentId, HoldId, OrderId, Sku
from store import rows
from store.keys import among
from store.ports import ExceptionFile, Found, FulfilmentFile, HoldFile, Lookup
from store.tables import (
    catalog_externals,
    catalog_items,
    exceptions,
    fulfilments,
    holds,
    inbox,
    orders,
    parked,
    payments,
    stock_levels,
)

# The stored plan is large and never needed to decide.
_ORDER = [column for column in orders.c if column.name != "plan"]


async def find(connection: AsyncConnection, lookup: Lookup) -> Found:
    """Read everything of the lookup; what is not there is missing from the answer."""
    found = Found()
    read = _Reading(connection, lookup, found)
    await read.messages()
    await read.catalog()
    await read.joins()
    await read.orders()
    await read.parked()
    await read.holds()
    await read.exceptions()
    return found


class _Reading:
    """The statements of one `find`, in the order in which one needs the other's results."""

    def __init__(self, connection: AsyncConnection, lookup: Lookup, found: Found) -> None:
        self._connection = connection
        self._lookup = lookup
        self._found = found

    async def messages(self) -> None:
        """Read the inbox rows of known keys."""
        if keys := self._lookup.messages:
            known = among(self._connection, (inbox.c.source, inbox.c.key), keys)
            statement = select(inbox).where(known)
            for row in await self._connection.execute(statement):
                self._found.messages[(row.source, row.key)] = rows.to_message(row)

    async def catalog(self) -> None:
        """Read what channels' item ids mean, and which SKUs there are (catalog or stock)."""
        table = catalog_externals
        if items := self._lookup.items:
            known = among(self._connection, (table.c.source, table.c.external_id), items)
            statement = select(table).where(known)
            for row in await self._connection.execute(statement):
                self._found.sku_of_item[(row.source, row.external_id)] = Sku(row.sku)
        if skus := sorted(self._lookup.skus):
            listed = select(catalog_items.c.sku).where(catalog_items.c.sku.in_(skus))
            stocked = select(stock_levels.c.sku).where(stock_levels.c.sku.in_(skus))
            for row in await self._connection.execute(listed.union(stocked)):
                self._found.skus.add(Sku(row.sku))

    async def joins(self) -> None:
        """Read which orders payments and fulfilments belong to."""
        if refs := self._lookup.payments:
            key = among(self._connection, (payments.c.source, payments.c.payment_ref), refs)
            statement = select(payments).where(key)
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
            key = among(self._connection, (orders.c.source, orders.c.external_id), refs)
            found += await self._connection.execute(select(*_ORDER).where(key))
        if ids:
            found += await self._connection.execute(select(*_ORDER).where(orders.c.id.in_(ids)))
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
            key = among(self._connection, (parked.c.parent_source, parked.c.parent_ref), parents)
            statement = select(parked).where(key).order_by(parked.c.id)
            for row in await self._connection.execute(statement):
                waiting = rows.to_parked(row)
                self._found.parked.setdefault(waiting.parent, []).append(waiting)

    async def holds(self) -> None:
        """Read holds."""
        if ids := self._lookup.holds:
            statement = select(holds).where(holds.c.id.in_(sorted(ids)))
            for row in await self._connection.execute(statement):
                self._found.holds[HoldId(row.id)] = HoldFile(
                    rows.decode_hold(row.document), row.lock
                )

    async def exceptions(self) -> None:
        """Read the exceptions that are open for a subject and code."""
        if keys := self._lookup.exceptions:
            statement = select(exceptions).where(
                exceptions.c.state != literal_column("'resolved'"),  # as in the partial index
                exceptions.c.state != "superseded",
                among(self._connection, (exceptions.c.subject, exceptions.c.code), keys),
            )
            for row in await self._connection.execute(statement):
                file = ExceptionFile(rows.decode_exception(row.document), row.lock)
                self._found.exceptions[(row.subject, row.code)] = file
