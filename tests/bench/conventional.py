"""The conventional side: what a good engineer would write first, and it is correct.

A Litestar handler with a database session per request and a connection pool: look whether the order
is known, reserve in one Redis call, insert order, lines and outbox events, commit. It verifies and
decodes with the gateway's own channel adapters. It has no relay, no routing plan and no screens.

`python -m tests.bench.conventional DATABASE_URL REDIS_URL`
"""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
from litestar import Litestar, Request, Response, post
from litestar.enums import MediaType
from litestar.types import ASGIApp
from redis.asyncio import BlockingConnectionPool, Redis
from sqlalchemy import event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from config.clock import SystemClock
from handlers.commands import LineAsked, PlaceOrder
from handlers.sources import channel as channels
from tests.bench.answering import serve
from tests.bench.conventional_tables import Event, Line, Order, Table
from tests.bench.goods import ITEMS, SHOP, UNITS
from tests.bench.letters import channels as open_channels

POOL = 16
_CLOCK = SystemClock()
_RESERVE = """
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') < tonumber(ARGV[i]) then return 0 end
end
for i, key in ipairs(KEYS) do redis.call('DECRBY', key, ARGV[i]) end
return 1
"""
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON")


class Shop:
    """Takes orders one by one."""

    def __init__(self, engine: AsyncEngine, redis: Redis) -> None:
        """Take a pool of connections to each."""
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._reserve = redis.register_script(_RESERVE)

    async def place(self, command: PlaceOrder) -> tuple[str, str]:
        """Return outcome and order id of a new order, or of the one that is there."""
        async with self._sessions() as session:
            if known := await self._find(session, command.order.ref):
                return "duplicate", known
            granted = await self._take(command.lines)
            order = _order(command, "accepted" if granted else "held")
            session.add(order)
            session.add_all([_event(order, name) for name in ("captured", order.state)])
            try:
                await session.commit()
            except IntegrityError:  # another request was faster; its order is the one
                await session.rollback()
                await self._give_back(command.lines if granted else ())
                return "duplicate", await self._find(session, command.order.ref) or ""
            return "applied", order.id

    async def _find(self, session: AsyncSession, ref: str) -> str | None:
        asked = select(Order.id).where(Order.source == SHOP, Order.external_id == ref)
        return await session.scalar(asked)

    async def _take(self, lines: tuple[LineAsked, ...]) -> bool:
        keys = [f"stock:{line.sku}" for line in lines]
        return bool(await self._reserve(keys=keys, args=[line.quantity for line in lines]))

    async def _give_back(self, lines: tuple[LineAsked, ...]) -> None:
        await self._reserve(
            keys=[f"stock:{line.sku}" for line in lines], args=[-line.quantity for line in lines]
        )


def create_app(shop: Shop) -> Litestar:
    """Return the application."""
    opened = open_channels()

    @post("/webhooks/{source:str}", status_code=200)
    async def webhook(source: str, request: Request[Any, Any, Any]) -> Response[bytes]:
        channel = opened[source]
        asked = channels.Request(
            method="POST",
            headers=dict(request.headers),
            query={},
            body=await request.body(),
            received_at=_CLOCK.now(),
        )
        await channel.verify(asked)
        found = channel.decode(asked)
        (command,) = found.commands
        assert isinstance(command, PlaceOrder)
        outcome, order_id = await shop.place(command)
        body = {"outcome": outcome, "message_id": found.key, "order_id": order_id}
        return Response(msgspec.json.encode(body), media_type=MediaType.JSON)

    return Litestar([webhook], openapi_config=None, logging_config=None)


def _order(command: PlaceOrder, state: str) -> Order:
    now = _CLOCK.now()
    return Order(
        id=str(uuid4()),
        source=SHOP,
        external_id=command.order.ref,
        number=command.number,
        state=state,
        currency=command.currency,
        total_minor=command.total_minor,
        placed_at=_naive(command.placed_at),
        created_at=_naive(now),
        lines=[
            Line(
                line_ref=line.line_ref,
                sku=line.sku,
                title=line.title,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
            )
            for line in command.lines
        ],
    )


def _event(order: Order, name: str) -> Event:
    lines = [{"sku": line.sku, "quantity": line.quantity} for line in order.lines]
    data = {"id": order.id, "state": order.state, "total": order.total_minor, "lines": lines}
    return Event(
        id=str(uuid4()),
        order_id=order.id,
        name=f"order.{name}",
        created_at=order.created_at,
        published=False,
        data=msgspec.json.encode(data),
    )


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _engine(url: str) -> AsyncEngine:
    """Open a pool; SQLite has one writer, so there one connection is faster than many."""
    if not url.startswith("sqlite"):
        return create_async_engine(url, pool_size=POOL, max_overflow=0)
    engine = create_async_engine(url, pool_size=1, max_overflow=0)

    def configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", configure)
    return engine


def opened(database: str, redis_url: str) -> AbstractAsyncContextManager[ASGIApp]:
    """Open both pools on fresh tables and full shelves."""

    @asynccontextmanager
    async def house() -> AsyncIterator[ASGIApp]:
        engine = _engine(database)
        async with engine.begin() as connection:
            await connection.run_sync(Table.metadata.create_all)
        pool = BlockingConnectionPool.from_url(redis_url, max_connections=POOL)
        redis = Redis(connection_pool=pool)
        await redis.mset({f"stock:{item.sku}": UNITS for item in ITEMS})
        try:
            yield create_app(Shop(engine, redis))
        finally:
            await redis.aclose()
            await pool.aclose()
            await engine.dispose()

    return house()


if __name__ == "__main__":
    serve(lambda: opened(*sys.argv[1:]))
