"""The ledger's own SQL: conditional takes and shifts of many cells in one statement each.

Both dialects read the cells from one parameter set, so that a statement is compiled once whatever
the batch; quantities are summed per cell before, because an UPDATE with two source rows for one
target row silently applies one of them.
"""

from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from config.ids import LocationId, MarketId, Sku
from store.gate_port import Cell
from store.ports import Shift, Take
from store.records import Level

_LEVEL = """stock_levels.sku, stock_levels.location, on_hand, unavailable, safety, held, allocated,
  incoming, counted_version"""

_TAKE_SET = """
UPDATE stock_levels SET allocated = stock_levels.allocated + asked.allocated,
  held = stock_levels.held + asked.held
FROM {asked} AS asked
WHERE stock_levels.sku = asked.sku AND stock_levels.location = asked.location
  AND stock_levels.on_hand - stock_levels.unavailable - stock_levels.safety
    - stock_levels.held - stock_levels.allocated >= asked.allocated + asked.held
RETURNING stock_levels.sku, stock_levels.location"""

_SHIFT_SET = f"""
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
RETURNING {_LEVEL}"""  # noqa: S608 - constants of this module

_TEXT, _NUMBER = "text", "bigint"


def _asked(dialect: str, columns: dict[str, str]) -> str:
    """Return a table expression over one set of parameters, a row per cell, in cell order."""
    names = ", ".join(columns)
    if dialect == "postgresql":
        arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
        return f"(SELECT * FROM unnest({arrays}) AS u({names}))"  # noqa: S608 - our own columns
    fields = ", ".join(f"json_extract(value, '$[{i}]') AS {n}" for i, n in enumerate(columns))
    return f"(SELECT {fields} FROM json_each(:rows))"  # noqa: S608 - our own columns


_TAKE_COLUMNS = {"sku": _TEXT, "location": _TEXT, "allocated": _NUMBER, "held": _NUMBER}
_SHIFT_COLUMNS = {
    "sku": _TEXT,
    "location": _TEXT,
    "market": _TEXT,
    "on_hand": _NUMBER,
    "safety": _NUMBER,
    "held": _NUMBER,
    "allocated": _NUMBER,
    "counted_version": _NUMBER,
}
_CELL_COLUMNS = {"sku": _TEXT, "location": _TEXT}

_SELECT_LEVELS = f"""
SELECT {_LEVEL}
FROM stock_levels JOIN {{asked}} AS asked
  ON stock_levels.sku = asked.sku AND stock_levels.location = asked.location"""  # noqa: S608 - constants of this module

_DIALECTS = ("sqlite", "postgresql")
_TAKE = {d: text(_TAKE_SET.format(asked=_asked(d, _TAKE_COLUMNS))) for d in _DIALECTS}
_SHIFT = {d: text(_SHIFT_SET.format(asked=_asked(d, _SHIFT_COLUMNS))) for d in _DIALECTS}
# Locked in the order in which a shift, which follows its parameters, locks: that of code points,
# whatever the database's collation is.
_LOCK = {
    "sqlite": "",
    "postgresql": """
ORDER BY stock_levels.sku COLLATE "C", stock_levels.location COLLATE "C"
FOR UPDATE OF stock_levels""",
}
_LEVELS = {
    d: text(_SELECT_LEVELS.format(asked=_asked(d, _CELL_COLUMNS)) + _LOCK[d]) for d in _DIALECTS
}


def _parameters(
    dialect: str, columns: dict[str, str], rows: list[tuple[Any, ...]]
) -> dict[str, Any]:
    if dialect == "postgresql":
        return {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    return {"rows": msgspec.json.encode(rows).decode()}


async def lock_levels(connection: AsyncConnection, cells: frozenset[Cell]) -> dict[Cell, Level]:
    """Read levels, on PostgreSQL locking their rows in cell order (so that nobody deadlocks)."""
    rows: list[tuple[Any, ...]] = [(cell.sku, cell.location) for cell in sorted(cells)]
    dialect = connection.dialect.name
    result = await connection.execute(_LEVELS[dialect], _parameters(dialect, _CELL_COLUMNS, rows))
    return dict(map(_level, result))


async def take_levels(connection: AsyncConnection, takes: dict[Cell, Take]) -> frozenset[Cell]:
    """Allocate or hold where that many are available; return the cells that had too little."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        await lock_levels(connection, frozenset(takes))
    rows: list[tuple[Any, ...]] = [
        (cell.sku, cell.location, take.allocated, take.held) for cell, take in sorted(takes.items())
    ]
    result = await connection.execute(_TAKE[dialect], _parameters(dialect, _TAKE_COLUMNS, rows))
    taken = {Cell(Sku(row.sku), LocationId(row.location)) for row in result}
    return frozenset(takes) - taken


async def shift_levels(
    connection: AsyncConnection, shifts: dict[Cell, tuple[MarketId, Shift]]
) -> dict[Cell, Level]:
    """Change levels whatever they are, making new ones, and return what they are now."""
    dialect = connection.dialect.name
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
    result = await connection.execute(_SHIFT[dialect], _parameters(dialect, _SHIFT_COLUMNS, rows))
    return dict(map(_level, result))


def _level(row: Any) -> tuple[Cell, Level]:
    level = Level(
        sku=Sku(row.sku),
        location=LocationId(row.location),
        on_hand=row.on_hand,
        unavailable=row.unavailable,
        safety=row.safety,
        held=row.held,
        allocated=row.allocated,
        incoming=row.incoming,
        counted_version=row.counted_version,
    )
    return Cell(level.sku, level.location), level
