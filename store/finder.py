"""Reads everything of a lookup, with one statement for each kind that is asked for."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from config.ids import FulfilmentId, HoldId, OrderId, Sku
from outbox.driver import TEXT, Row, Statement
from store import rows
from store.ports import ExceptionFile, Found, FulfilmentFile, HoldFile, Lookup
from store.tables import fulfilments, inbox, parked


def _columns(table: Table) -> str:
    return ", ".join(f"{table.name}.{column.name}" for column in table.c)


def _by(select: str, table: str, *columns: str, also: str = "", ordered: str = "") -> Statement:
    """Return a statement for the rows of a table whose columns are one of the keys that are asked for.

    The cross join has SQLite look each key up by the table's index, whatever it thinks of the sizes.
    """
    keys = " AND ".join(f"{table}.{name} = asked.{name}" for name in columns)
    order = f" ORDER BY {ordered}" if ordered else ""
    sql = f"SELECT {select} FROM {{asked}} AS asked CROSS JOIN {table} WHERE {keys}{also}{order}"  # noqa: S608 - constants of this module
    return Statement(sql, dict.fromkeys(columns, TEXT))


# The stored plan is large and never needed to decide.
_ORDER: Final = "orders.id, orders.document, orders.history, orders.undecided, orders.lock"
_MESSAGES: Final = _by(_columns(inbox), "inbox", "source", "key")
_ITEMS: Final = _by(
    "catalog_externals.source, catalog_externals.external_id, catalog_externals.sku",
    "catalog_externals",
    "source",
    "external_id",
)
_SKUS: Final = Statement(
    """SELECT asked.sku FROM {asked} AS asked
WHERE EXISTS (SELECT 1 FROM catalog_items WHERE catalog_items.sku = asked.sku)
  OR EXISTS (SELECT 1 FROM stock_levels WHERE stock_levels.sku = asked.sku)""",
    {"sku": TEXT},
)
_PAYMENTS: Final = _by(
    "payments.source, payments.payment_ref, payments.order_id", "payments", "source", "payment_ref"
)
_OWNERS: Final = _by("fulfilments.id, fulfilments.order_id", "fulfilments", "id")
_ORDERS_BY_REF: Final = _by(_ORDER, "orders", "source", "external_id")
_ORDERS_BY_ID: Final = _by(_ORDER, "orders", "id")
_GROUPS: Final = _by(_columns(fulfilments), "fulfilments", "order_id", ordered="fulfilments.id")
_PARKED: Final = _by(_columns(parked), "parked", "parent_source", "parent_ref", ordered="parked.id")
_HOLDS: Final = _by("holds.id, holds.document, holds.lock", "holds", "id")
_EXCEPTIONS: Final = _by(
    "exceptions.subject, exceptions.code, exceptions.document, exceptions.lock",
    "exceptions",
    "subject",
    "code",
    # The first condition stands as in the partial index.
    also=" AND exceptions.state != 'resolved' AND exceptions.state != 'superseded'",
)


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
        for row in await _MESSAGES.ask(self._connection, sorted(self._lookup.messages)):
            message = rows.to_message(row)
            self._found.messages[(message.source, message.key)] = message

    async def catalog(self) -> None:
        """Read what channels' item ids mean, and which SKUs there are (catalog or stock)."""
        for source, ref, sku in await _ITEMS.ask(self._connection, sorted(self._lookup.items)):
            self._found.sku_of_item[(source, ref)] = Sku(sku)
        found = await _SKUS.ask(self._connection, _single(self._lookup.skus))
        self._found.skus.update(Sku(sku) for (sku,) in found)

    async def joins(self) -> None:
        """Read which orders payments and fulfilments belong to."""
        refs = sorted(self._lookup.payments)
        for source, payment_ref, order_id in await _PAYMENTS.ask(self._connection, refs):
            self._found.order_of_payment[(source, payment_ref)] = OrderId(order_id)
        ids = _single(self._lookup.fulfilments)
        for fulfilment_id, order_id in await _OWNERS.ask(self._connection, ids):
            self._found.order_of_fulfilment[FulfilmentId(fulfilment_id)] = OrderId(order_id)

    async def orders(self) -> None:
        """Read the orders by the channels' ids and by ours, with their fulfilments."""
        ids = {
            *self._lookup.order_ids,
            *self._found.order_of_payment.values(),
            *self._found.order_of_fulfilment.values(),
        }
        found: dict[str, Row] = {}
        for row in await _ORDERS_BY_REF.ask(self._connection, sorted(self._lookup.orders)):
            found[row[0]] = row
        for row in await _ORDERS_BY_ID.ask(self._connection, _single(ids - found.keys())):
            found[row[0]] = row
        groups = await self._groups(found)
        for order_id, (_, document, history, undecided, lock) in found.items():
            self._found.orders[OrderId(order_id)] = rows.to_order(
                (document, history), tuple(groups.get(order_id, ())), undecided=undecided, lock=lock
            )

    async def _groups(self, order_ids: Iterable[str]) -> dict[str, list[FulfilmentFile]]:
        groups: dict[str, list[FulfilmentFile]] = {}
        for row in await _GROUPS.ask(self._connection, _single(order_ids)):
            order_id, file = rows.to_fulfilment(row)
            groups.setdefault(order_id, []).append(file)
        return groups

    async def parked(self) -> None:
        """Read what waits for these parents, oldest first."""
        for row in await _PARKED.ask(self._connection, sorted(self._lookup.parents)):
            waiting = rows.to_parked(row)
            self._found.parked.setdefault(waiting.parent, []).append(waiting)

    async def holds(self) -> None:
        """Read holds."""
        ids = _single(self._lookup.holds)
        for hold_id, document, lock in await _HOLDS.ask(self._connection, ids):
            self._found.holds[HoldId(hold_id)] = HoldFile(rows.decode_hold(document), lock)

    async def exceptions(self) -> None:
        """Read the exceptions that are open for a subject and code."""
        keys = sorted(self._lookup.exceptions)
        for subject, code, document, lock in await _EXCEPTIONS.ask(self._connection, keys):
            file = ExceptionFile(rows.decode_exception(document), lock)
            self._found.exceptions[(subject, code)] = file


def _single(values: Iterable[str]) -> list[tuple[str]]:
    """Return keys of one column, in order."""
    return [(value,) for value in sorted(values)]
