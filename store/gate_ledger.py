"""The SQL of the stock gate: its epochs, the levels to build it from, what the ledger knows."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import insert, literal, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import Conflict
from config.ids import LocationId, MarketId, OperationId, Sku
from outbox.driver import TEXT, Statement
from store.gate_port import Cell
from store.tables import gates, stock_levels, stock_movements

VOIDED = "voided"
"""The kind of a movement without lines that only takes an operation id, so that no commit can."""

_available = (
    stock_levels.c.on_hand
    - stock_levels.c.unavailable
    - stock_levels.c.safety
    - stock_levels.c.held
    - stock_levels.c.allocated
)

_EPOCHS: Final = Statement(
    """
SELECT gates.market, gates.epoch FROM {asked} AS asked CROSS JOIN gates
WHERE gates.market = asked.market""",
    {"market": TEXT},
    # One order of locks for everybody.
    postgresql_ending=" ORDER BY gates.market FOR SHARE OF gates",
)


class GateRow(msgspec.Struct, frozen=True):
    """A market's epoch in the ledger; `open` is what people are told, the epoch is what counts."""

    epoch: str
    open: bool


async def check_epochs(connection: AsyncConnection, epochs: Mapping[MarketId, str]) -> None:
    """Refuse to commit reservations of a gate that was rebuilt since.

    The unit of work calls this once in its own write transaction, with the epoch of every market
    that it has a `Granted` for. On PostgreSQL the rows stay locked for sharing until the commit, so
    a rebuild, which changes the row first and reads the levels afterwards, waits for this commit
    and then sees its levels. On SQLite the single writer gives the same.

    Raises:
        Conflict: a market has another epoch, or none; decide again at the gate.
    """
    rows = await _EPOCHS.ask(connection, [(market,) for market in sorted(epochs)])
    found = {MarketId(market): epoch for market, epoch in rows}
    if any(found.get(market) != epoch for market, epoch in epochs.items()):
        raise Conflict("the stock gate was rebuilt meanwhile; decide again")


async def read_gate(connection: AsyncConnection, market: MarketId) -> GateRow | None:
    """Read a market's epoch, to compare it with the one in Redis."""
    statement = select(gates.c.epoch, gates.c.open).where(gates.c.market == market)
    row = (await connection.execute(statement)).one_or_none()
    return GateRow(row.epoch, row.open) if row else None


async def insert_epoch(
    connection: AsyncConnection, market: MarketId, epoch: str, *, now_us: int
) -> bool:
    """Give a market its first epoch, closed; a row that is there already raises Conflict."""
    row = {"market": market, "epoch": epoch, "open": False, "changed_us": now_us}
    return (await connection.execute(insert(gates).values(row))).rowcount == 1


async def replace_epoch(
    connection: AsyncConnection, market: MarketId, epochs: tuple[str, str], *, now_us: int
) -> bool:
    """Close a market under another epoch (old, new), to build it anew, if nobody else did.

    After this commit, no unit of work with an older epoch commits.
    """
    old, new = epochs
    statement = (
        update(gates)
        .where(gates.c.market == market, gates.c.epoch == old)
        .values(epoch=new, open=False, changed_us=now_us)
    )
    return (await connection.execute(statement)).rowcount == 1


async def mark_open(
    connection: AsyncConnection, market: MarketId, epoch: str, *, now_us: int
) -> None:
    """Say that the gate is open, unless a newer epoch has come."""
    await connection.execute(
        update(gates)
        .where(gates.c.market == market, gates.c.epoch == epoch)
        .values(open=True, changed_us=now_us)
    )


async def read_levels_page(
    connection: AsyncConnection, market: MarketId, after: Cell | None, *, limit: int
) -> list[tuple[Cell, int]]:
    """Read the units available (may be negative), page by page in cell order, to build from."""
    statement = (
        select(stock_levels.c.sku, stock_levels.c.location, _available.label("available"))
        .where(stock_levels.c.market == market)
        .order_by(stock_levels.c.sku, stock_levels.c.location)
        .limit(limit)
    )
    if after is not None:
        place = tuple_(stock_levels.c.sku, stock_levels.c.location)
        statement = statement.where(place > tuple_(literal(after.sku), literal(after.location)))
    rows = await connection.execute(statement)
    return [(Cell(Sku(sku), LocationId(where)), units) for sku, where, units in rows]


async def read_skus_page(
    connection: AsyncConnection, market: MarketId, after: Sku, *, limit: int
) -> list[Sku]:
    """Read the SKUs that have levels, page by page in order, to walk over the whole market."""
    statement = (
        select(stock_levels.c.sku)
        .where(stock_levels.c.market == market, stock_levels.c.sku > after)
        .group_by(stock_levels.c.sku)
        .order_by(stock_levels.c.sku)
        .limit(limit)
    )
    return [Sku(sku) for (sku,) in await connection.execute(statement)]


async def read_available(
    connection: AsyncConnection, market: MarketId, skus: Sequence[Sku]
) -> dict[Cell, int]:
    """Read the units available (may be negative) in all cells of some SKUs, to compare."""
    statement = select(
        stock_levels.c.sku, stock_levels.c.location, _available.label("available")
    ).where(stock_levels.c.market == market, stock_levels.c.sku.in_(skus))
    rows = await connection.execute(statement)
    return {Cell(Sku(sku), LocationId(where)): units for sku, where, units in rows}


async def read_kinds(
    connection: AsyncConnection, operations: Sequence[OperationId]
) -> dict[OperationId, str]:
    """Read which operations the ledger knows, with their kind, to settle, void or subtract them."""
    statement = select(stock_movements.c.operation_id, stock_movements.c.kind).where(
        stock_movements.c.operation_id.in_(operations)
    )
    rows = await connection.execute(statement)
    return {OperationId(operation): kind for operation, kind in rows}


async def insert_voided(
    connection: AsyncConnection,
    market: MarketId,
    operations: Sequence[OperationId],
    *,
    now_us: int,
) -> set[OperationId]:
    """Take operation ids, so that a late commit fails on the key; return those that were free."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {
        "kind": VOIDED,
        "market": market,
        "order_id": None,
        "at_us": now_us,
        "lines": b"[]",
        "reason": "reserved at the gate, but never written to the ledger",
    }
    # In key order, so that two keepers never wait for each other crosswise.
    statement = (
        dialect.insert(stock_movements)
        .values([{"operation_id": operation, **row} for operation in sorted(operations)])
        .on_conflict_do_nothing()
        .returning(stock_movements.c.operation_id)
    )
    return {OperationId(operation) for (operation,) in await connection.execute(statement)}
