"""The ledger's own SQL: conditional takes and shifts of many cells in one statement each.

Quantities are summed per cell before, because an UPDATE with two source rows for one target row
silently applies one of them.
"""

from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from config.ids import LocationId, MarketId, Sku
from outbox.driver import NUMBER, TEXT, Row, Statement
from store.gate_port import Cell
from store.ports import Shift, Take
from store.records import Level

_LEVEL = """stock_levels.sku, stock_levels.location, on_hand, unavailable, safety, held, allocated,
  incoming, counted_version"""

# Locked in the order in which a shift, which follows its parameters, locks: that of code points,
# whatever the database's collation is.
_LEVELS: Final = Statement(
    f"""
SELECT {_LEVEL}
FROM stock_levels JOIN {{asked}} AS asked
  ON stock_levels.sku = asked.sku AND stock_levels.location = asked.location""",  # noqa: S608 - constants of this module
    {"sku": TEXT, "location": TEXT},
    postgresql_ending="""
ORDER BY stock_levels.sku COLLATE "C", stock_levels.location COLLATE "C"
FOR UPDATE OF stock_levels""",
)

_TAKE: Final = Statement(
    """
UPDATE stock_levels SET allocated = stock_levels.allocated + asked.allocated,
  held = stock_levels.held + asked.held
FROM {asked} AS asked
WHERE stock_levels.sku = asked.sku AND stock_levels.location = asked.location
  AND stock_levels.on_hand - stock_levels.unavailable - stock_levels.safety
    - stock_levels.held - stock_levels.allocated >= asked.allocated + asked.held
RETURNING stock_levels.sku, stock_levels.location""",
    {"sku": TEXT, "location": TEXT, "allocated": NUMBER, "held": NUMBER},
)

_SHIFT: Final = Statement(
    f"""
INSERT INTO stock_levels (sku, location, market, on_hand, unavailable, safety, held, allocated,
  incoming, counted_version)
SELECT sku, location, market, on_hand, 0, safety, held, allocated, 0, counted_version
FROM {{asked}} AS asked WHERE true
ON CONFLICT (sku, location) DO UPDATE SET
  on_hand = stock_levels.on_hand + excluded.on_hand,
  safety = stock_levels.safety + excluded.safety,
  held = stock_levels.held + excluded.held,
  allocated = stock_levels.allocated + excluded.allocated,
  counted_version = CASE WHEN excluded.counted_version > stock_levels.counted_version
    THEN excluded.counted_version ELSE stock_levels.counted_version END
RETURNING {_LEVEL}""",  # noqa: S608 - constants of this module
    {
        "sku": TEXT,
        "location": TEXT,
        "market": TEXT,
        "on_hand": NUMBER,
        "safety": NUMBER,
        "held": NUMBER,
        "allocated": NUMBER,
        "counted_version": NUMBER,
    },
)


async def lock_levels(connection: AsyncConnection, cells: frozenset[Cell]) -> dict[Cell, Level]:
    """Read levels, on PostgreSQL locking their rows in cell order (so that nobody deadlocks)."""
    found = await _LEVELS.ask(connection, [(cell.sku, cell.location) for cell in sorted(cells)])
    return dict(map(_level, found))


async def take_levels(connection: AsyncConnection, takes: dict[Cell, Take]) -> frozenset[Cell]:
    """Allocate or hold where that many are available; return the cells that had too little."""
    if connection.dialect.name == "postgresql":
        await lock_levels(connection, frozenset(takes))
    rows = [
        (cell.sku, cell.location, take.allocated, take.held) for cell, take in sorted(takes.items())
    ]
    found = await _TAKE.ask(connection, rows)
    return frozenset(takes) - {Cell(Sku(sku), LocationId(where)) for sku, where in found}


async def shift_levels(
    connection: AsyncConnection, shifts: dict[Cell, tuple[MarketId, Shift]]
) -> dict[Cell, Level]:
    """Change levels whatever they are, making new ones, and return what they are now."""
    rows: list[tuple[Any, ...]] = [
        (
            cell.sku,
            cell.location,
            market,
            shift.on_hand,
            shift.safety,
            shift.held,
            shift.allocated,
            shift.counted_version,
        )
        for cell, (market, shift) in sorted(shifts.items(), key=lambda item: item[0])
    ]
    return dict(map(_level, await _SHIFT.ask(connection, rows)))


def _level(row: Row) -> tuple[Cell, Level]:
    sku, location, on_hand, unavailable, safety, held, allocated, incoming, counted_version = row
    level = Level(
        sku=Sku(sku),
        location=LocationId(location),
        on_hand=on_hand,
        unavailable=unavailable,
        safety=safety,
        held=held,
        allocated=allocated,
        incoming=incoming,
        counted_version=counted_version,
    )
    return Cell(level.sku, level.location), level
