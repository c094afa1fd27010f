"""What is read outside the batch: pages, screens, searches, and work that has become due."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, func, literal_column, or_, select

from config.ids import FulfilmentId, HoldId, LocationId, MarketId, OrderId, Sku, SourceId
from config.limits import PAGE_ROWS_MAX, PARKED_S_MAX
from outbox.ports import Transactions
from outbox.statements import Backlog, backlog
from routing.network import MarketNetwork
from store.availability import read_offers, read_stocked
from store.finder import find
from store.ports import Fetch, InboxRow, Lookup, MarketSku, Offer, Parked, Ref
from store.records import Fulfilment, Hold, Order
from store.rows import (
    decode_hold,
    decode_network,
    decode_order,
    to_fulfilment,
    to_message,
    to_parked,
)
from store.tables import (
    exceptions,
    fetches,
    fulfilments,
    holds,
    inbox,
    instance,
    networks,
    orders,
    parked,
    payments,
    stock_levels,
)

Row = Any
_PAYMENT = "payment:"
"""How a payment is named as a parent (see `handlers.parking`)."""


class OrderPage(msgspec.Struct, frozen=True):
    """Orders of one search, newest first; `after` continues it, None at its end."""

    orders: list[Order]
    after: str | None


class MappedPage(msgspec.Struct, frozen=True):
    """Held orders that can be decided now, and where to look on."""

    order_ids: list[OrderId]
    after: str


class Reader:
    """Read-only questions; each raises EngineDown when the database does not answer."""

    def __init__(self, database: Transactions) -> None:
        """Take the database."""
        self._database = database

    async def order(self, order_id: OrderId) -> Order | None:
        """Return one order."""
        row = await self._one(select(orders.c.document).where(orders.c.id == order_id))
        return decode_order(row.document) if row else None

    async def order_parts(self, order_id: OrderId) -> tuple[bytes, bytes, bytes | None] | None:
        """Return an order's document, history and newest plan as JSON."""
        columns = select(orders.c.document, orders.c.history, orders.c.plan)
        row = await self._one(columns.where(orders.c.id == order_id))
        return (row.document, row.history, row.plan) if row else None

    async def network(self, digest: str) -> MarketNetwork | None:
        """Return a network that plans were made on."""
        row = await self._one(select(networks.c.document).where(networks.c.digest == digest))
        return decode_network(row.document) if row else None

    async def fulfilments_of(self, order_id: OrderId) -> list[Fulfilment]:
        """Return an order's fulfilments, oldest first."""
        statement = select(fulfilments).where(fulfilments.c.order_id == order_id)
        found = [to_fulfilment(row)[1].fulfilment for row in await self._all(statement)]
        # Not by id alone: that of a group which a report made comes from the report, not from the time.
        return sorted(found, key=lambda one: (one.created_at, one.id))

    async def fulfilment(self, fulfilment_id: FulfilmentId) -> Fulfilment | None:
        """Return one fulfilment."""
        row = await self._one(select(fulfilments).where(fulfilments.c.id == fulfilment_id))
        return to_fulfilment(row)[1].fulfilment if row else None

    async def search_orders(
        self, *, source: str, external_id: str, state: str, after: str
    ) -> OrderPage:
        """Return a page of orders, newest first; empty criteria do not restrict."""
        statement = select(orders.c.id, orders.c.document).order_by(orders.c.id.desc())
        for column, value in (
            (orders.c.source, source),
            (orders.c.external_id, external_id),
            (orders.c.state, state),
        ):
            if value:
                statement = statement.where(column == value)
        if after:
            statement = statement.where(orders.c.id < after)
        rows = await self._all(statement.limit(PAGE_ROWS_MAX + 1))
        page = [decode_order(row.document) for row in rows[:PAGE_ROWS_MAX]]
        more = len(rows) > PAGE_ROWS_MAX
        return OrderPage(page, page[-1].id if more else None)

    async def board(self, location: LocationId) -> list[bytes]:
        """Return the open fulfilments of a location as JSON, oldest first."""
        statement = (
            select(fulfilments.c.document)
            .where(fulfilments.c.open.is_(True), fulfilments.c.location == location)
            .order_by(fulfilments.c.id)
        )
        return [row.document for row in await self._all(statement)]

    async def order_document(self, order_id: OrderId) -> bytes | None:
        """Return one order as JSON."""
        row = await self._one(select(orders.c.document).where(orders.c.id == order_id))
        return row.document if row else None

    async def hold(self, hold_id: HoldId) -> Hold | None:
        """Return one hold."""
        row = await self._one(select(holds.c.document).where(holds.c.id == hold_id))
        return decode_hold(row.document) if row else None

    async def levels(self, sku: str, market: str) -> list[dict[str, Any]]:
        """Return a SKU's levels, in one market when one is named."""
        statement = select(stock_levels).where(stock_levels.c.sku == sku)
        if market:
            statement = statement.where(stock_levels.c.market == market)
        rows = await self._all(statement.order_by(stock_levels.c.location))
        return [row._asdict() for row in rows]

    async def offers(self, keys: Collection[MarketSku]) -> dict[MarketSku, Offer]:
        """Return the availability of SKUs by location, and what was last told of it."""
        async with self._database.read() as connection:
            return await read_offers(connection, keys)

    async def stocked(self, after: Sku, skus: int) -> Sequence[MarketSku]:
        """Return so many SKUs after one, in order, with every market that stocks them."""
        async with self._database.read() as connection:
            return await read_stocked(connection, after, skus=skus)

    async def exceptions(self, *, state: str, after: str) -> list[bytes]:
        """Return a page of exceptions as JSON, newest first."""
        statement = select(exceptions.c.document).order_by(exceptions.c.id.desc())
        if state:
            statement = statement.where(exceptions.c.state == state)
        if after:
            statement = statement.where(exceptions.c.id < after)
        return [row.document for row in await self._all(statement.limit(PAGE_ROWS_MAX))]

    async def messages(self, *, source: str, outcome: str) -> list[InboxRow]:
        """Return the newest messages with their bodies, newest first."""
        statement = select(inbox).order_by(inbox.c.received_us.desc(), inbox.c.id.desc())
        if source:
            statement = statement.where(inbox.c.source == source)
        if outcome:
            statement = statement.where(inbox.c.outcome == outcome)
        return [to_message(row) for row in await self._all(statement.limit(PAGE_ROWS_MAX))]

    async def counts(self) -> dict[str, int]:
        """Return how much of everything that waits there is, for health and metrics."""
        questions = {
            "undecided": select(func.count()).where(orders.c.undecided.is_(True)),
            "parked": select(func.count()).select_from(parked),
            "fetches": select(func.count()).select_from(fetches),
            "exceptions": select(func.count()).where(
                exceptions.c.state != literal_column("'resolved'")  # as in the partial index
            ),
        }
        async with self._database.read() as connection:
            return {
                name: (await connection.execute(statement)).scalar_one()
                for name, statement in questions.items()
            }

    async def backlog(self) -> Backlog:
        """Return how many events wait for the relay, and since when."""
        async with self._database.read() as connection:
            return await backlog(connection)

    async def incarnation(self) -> str:
        """Return the database's incarnation, which a restored backup renews."""
        row = await self._one(select(instance.c.incarnation))
        return str(row.incarnation) if row else ""

    async def undecided(self, markets: Sequence[MarketId], limit: int) -> list[OrderId]:
        """Return the orders of these markets that wait for the gate, oldest first."""
        statement = select(orders.c.id).where(
            orders.c.undecided.is_(True), orders.c.market.in_(markets)
        )
        rows = await self._all(statement.order_by(orders.c.placed_us).limit(limit))
        return [OrderId(row.id) for row in rows]

    async def now_mapped(self, after: str, limit: int) -> MappedPage:
        """Return held orders, oldest first, one of whose unmapped items is known by now.

        Looks at so many held orders after a work item's id; `after` of the answer goes on there, and
        is empty when all were looked at.
        """
        statement = (
            select(exceptions.c.id.label("exception_id"), orders.c.source, orders.c.document)
            .join(orders, exceptions.c.order_id == orders.c.id)
            .where(
                exceptions.c.state != literal_column("'resolved'"),  # as in the partial index
                exceptions.c.code == "UNMAPPED_ITEM",
                exceptions.c.id > after,
            )
            .order_by(exceptions.c.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
            held = [(row.source, decode_order(row.document)) for row in rows]
            asked = {(src, x.item) for src, order in held for x in order.lines if not x.sku}
            skus = {x.channel_sku for _, order in held for x in order.lines if not x.sku}
            found = await find(connection, Lookup(items=asked, skus={Sku(s) for s in skus}))
        known = [
            order.id
            for src, order in held
            for x in order.lines
            if not x.sku and ((src, x.item) in found.sku_of_item or x.channel_sku in found.skus)
        ]
        more = len(rows) == limit
        return MappedPage(list(dict.fromkeys(known)), rows[-1].exception_id if more else "")

    async def expired_holds(self, now_us: int, limit: int) -> list[HoldId]:
        """Return holds whose time is over, oldest first."""
        held = holds.c.state == literal_column("'held'")  # as in the partial index
        statement = select(holds.c.id).where(held, holds.c.expires_us <= now_us)
        statement = statement.order_by(holds.c.expires_us)
        return [HoldId(row.id) for row in await self._all(statement.limit(limit))]

    async def overdue(self, now_us: int, limit: int) -> list[Parked]:
        """Return parked children whose parent has not come in time, not yet shown."""
        statement = select(parked).where(
            parked.c.overdue.is_(False), parked.c.deadline_us <= now_us
        )
        return [to_parked(row) for row in await self._all(statement.limit(limit))]

    async def reunited(self, since_us: int, limit: int) -> list[Ref]:
        """Return parents that are there and still have children parked under them since a time.

        Two processes may take parent and child at the same moment, neither seeing the other's.
        """
        order = select(orders.c.id).where(
            orders.c.source == parked.c.parent_source, orders.c.external_id == parked.c.parent_ref
        )
        payment = select(payments.c.order_id).where(
            payments.c.source == parked.c.parent_source,
            parked.c.parent_ref.startswith(_PAYMENT),
            payments.c.payment_ref == func.substr(parked.c.parent_ref, len(_PAYMENT) + 1),
        )
        statement = select(parked.c.parent_source, parked.c.parent_ref)
        deadline_us = since_us + PARKED_S_MAX * 1_000_000  # the time that has an index
        statement = statement.where(
            parked.c.deadline_us >= deadline_us, or_(order.exists(), payment.exists())
        ).limit(limit)
        found = ((row.parent_source, row.parent_ref) for row in await self._all(statement))
        return list(dict.fromkeys(found))

    async def due_sources(self, now_us: int) -> list[SourceId]:
        """Return the sources that have thin notifications whose order should be read now."""
        statement = select(fetches.c.source).where(fetches.c.due_us <= now_us).distinct()
        return [SourceId(row.source) for row in await self._all(statement)]

    async def due_fetches(self, source: SourceId, now_us: int, limit: int) -> list[Fetch]:
        """Return a source's thin notifications whose order should be read now, oldest first."""
        due = (fetches.c.source == source, fetches.c.due_us <= now_us)
        statement = select(fetches).where(*due).order_by(fetches.c.due_us)
        return [Fetch(**row._asdict()) for row in await self._all(statement.limit(limit))]

    async def stock_sums(self, market: MarketId) -> dict[str, int]:
        """Return the sum of every level column of a market, for checks."""
        names = ("on_hand", "safety", "held", "allocated")
        sums = [func.coalesce(func.sum(stock_levels.c[name]), 0).label(name) for name in names]
        row = await self._one(select(*sums).where(stock_levels.c.market == market))
        return {name: int(getattr(row, name)) for name in names}

    async def ping(self) -> None:
        """Raise EngineDown when the database does not answer."""
        await self._one(select(instance.c.id))

    async def _one(self, statement: Select[Any]) -> Row | None:
        async with self._database.read() as connection:
            return (await connection.execute(statement)).first()

    async def _all(self, statement: Select[Any]) -> Sequence[Row]:
        async with self._database.read() as connection:
            rows: Sequence[Row] = (await connection.execute(statement)).all()
            return rows
