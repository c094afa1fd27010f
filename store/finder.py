"""Reads everything of a lookup, with one statement for each kind that is asked for."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from config.ids import FulfilmentId, HoldId, OrderId, Sku
from outbox.driver import TEXT, Row, Statement, ask_all
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
    messages, items, skus, payments, owners, by_ref, waiting, holds, exceptions = await ask_all(
        connection,
        [
            (_MESSAGES, sorted(lookup.messages)),
            (_ITEMS, sorted(lookup.items)),
            (_SKUS, _single(lookup.skus)),
            (_PAYMENTS, sorted(lookup.payments)),
            (_OWNERS, _single(lookup.fulfilments)),
            (_ORDERS_BY_REF, sorted(lookup.orders)),
            (_PARKED, sorted(lookup.parents)),
            (_HOLDS, _single(lookup.holds)),
            (_EXCEPTIONS, sorted(lookup.exceptions)),
        ],
    )
    found.messages = {(row.source, row.key): row for row in map(rows.to_message, messages)}
    found.sku_of_item = {(source, ref): Sku(sku) for source, ref, sku in items}
    found.skus = {Sku(sku) for (sku,) in skus}
    found.order_of_payment = {(source, ref): OrderId(order) for source, ref, order in payments}
    found.order_of_fulfilment = {FulfilmentId(one): OrderId(order) for one, order in owners}
    for one in map(rows.to_parked, waiting):
        found.parked.setdefault(one.parent, []).append(one)
    for hold_id, document, lock in holds:
        found.holds[HoldId(hold_id)] = HoldFile(rows.decode_hold(document), lock)
    for subject, code, document, lock in exceptions:
        file = ExceptionFile(rows.decode_exception(document), lock)
        found.exceptions[(subject, code)] = file
    await _find_orders(connection, lookup, found, by_ref)
    return found


async def _find_orders(
    connection: AsyncConnection, lookup: Lookup, found: Found, by_ref: Sequence[Row]
) -> None:
    """Read the orders that are asked for by our ids and by what belongs to them, with fulfilments."""
    orders = {row[0]: row for row in by_ref}
    ids = {
        *lookup.order_ids,
        *found.order_of_payment.values(),
        *found.order_of_fulfilment.values(),
    }
    for row in await _ORDERS_BY_ID.ask(connection, _single(ids - orders.keys())):
        orders[row[0]] = row
    groups: dict[str, list[FulfilmentFile]] = {}
    for row in await _GROUPS.ask(connection, _single(orders)):
        order_id, file = rows.to_fulfilment(row)
        groups.setdefault(order_id, []).append(file)
    for order_id, (_, document, history, undecided, lock) in orders.items():
        found.orders[OrderId(order_id)] = rows.to_order(
            (document, history), tuple(groups.get(order_id, ())), undecided=undecided, lock=lock
        )


def _single(values: Iterable[str]) -> list[tuple[str]]:
    """Return keys of one column, in order."""
    return [(value,) for value in sorted(values)]
