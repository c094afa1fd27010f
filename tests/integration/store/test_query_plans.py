"""What runs for every batch or again and again finds its rows by an index, however many there are."""

from collections.abc import Awaitable, Callable

import aiosqlite
import pytest
from sqlalchemy import text

from config.ids import FulfilmentId, HoldId, MarketId, OrderId, Sku, SourceId
from store.engine import Database
from store.gate_port import Cell
from store.ports import Lookup, MarketSku
from store.readers import Reader
from store.unit_of_work import SqlStore

_SHOP = SourceId("shop")
_LARGE = (
    "inbox",
    "orders",
    "fulfilments",
    "parked",
    "exceptions",
    "stock_levels",
    "holds",
    "availability",
)
_LOOKUP = Lookup(
    messages={(_SHOP, "1"), (_SHOP, "2")},
    orders={(_SHOP, "1"), (_SHOP, "2")},
    order_ids={OrderId("1")},
    fulfilments={FulfilmentId("1")},
    payments={(_SHOP, "1")},
    parents={(_SHOP, "1")},
    items={(_SHOP, "1")},
    skus={Sku("A")},
    holds={HoldId("1")},
    exceptions={("1", "UNFILLABLE")},
)


async def _batch(database: Database) -> None:
    cell = Cell(Sku("A"), "S-001")  # type: ignore[arg-type]  # NewType of the same string
    async with SqlStore(database, 4).unit_of_work() as work:
        await work.find(_LOOKUP)
        await work.levels(frozenset({cell}))
        await work.committed(frozenset({(_SHOP, cell)}))
        await work.offers([MarketSku(MarketId("uk"), Sku("A"))])
        await work.check_epochs({})


async def _sweeps(database: Database) -> None:
    reader = Reader(database)
    await reader.undecided([MarketId("uk")], 10)
    await reader.expired_holds(1, 10)
    await reader.overdue(1, 10)
    await reader.reunited(1, 10)
    await reader.due_sources(1)
    await reader.due_fetches(_SHOP, 1, 10)
    await reader.now_mapped("", 10)
    await reader.board("S-001")  # type: ignore[arg-type]  # NewType of the same string
    await reader.order_parts(OrderId("1"))
    await reader.fulfilments_of(OrderId("1"))
    await reader.levels("A", MarketId("uk"))
    await reader.offers([MarketSku(MarketId("uk"), Sku("A"))])
    await reader.stocked(Sku("A"), 10)
    await reader.search_orders(source="shop", external_id="1", state="", after="")


@pytest.mark.parametrize("work", [_batch, _sweeps])
async def test_no_statement_walks_a_large_table(
    sqlite_database: Database, work: Callable[[Database], Awaitable[None]]
) -> None:
    seen: list[str] = []
    for engine in (sqlite_database._writer, sqlite_database._reader):
        async with engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert isinstance(raw, aiosqlite.Connection)
            await raw.set_trace_callback(seen.append)
    await work(sqlite_database)
    selects = [statement for statement in seen if statement.lstrip().startswith("SELECT")]
    assert len(selects) > 5
    walked = []
    async with sqlite_database.read() as connection:
        for statement in selects:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
            steps = [str(step) for *_, step in plan]
            walked += [(step, statement) for step in steps if _walks(step)]
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    assert walked == []


def _walks(step: str) -> bool:
    """Tell whether a step reads a whole large table; a partial index holds only what waits."""
    partial = (
        "ix_orders_undecided",
        "ix_exceptions_open",
        "ix_holds_expiry",
        "ix_fulfilments_open",
    )
    words = step.split()
    return words[0] == "SCAN" and words[1] in _LARGE and not any(p in step for p in partial)
