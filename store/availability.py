"""The SQL of what is published about stock: versions of levels, and the availability last told."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import Conflict
from config.ids import LocationId, MarketId, Sku
from outbox.driver import NUMBER, TEXT, Statement, fetch
from store.gate_port import Cell
from store.ports import MarketSku, Offer, Told

_decode_units = msgspec.json.Decoder(dict[LocationId, int]).decode

_LEVELS: Final = Statement(
    """
SELECT stock_levels.market, stock_levels.sku, stock_levels.location, on_hand - unavailable
  - safety - held - allocated AS available
FROM {asked} AS asked CROSS JOIN stock_levels
WHERE stock_levels.sku = asked.sku AND stock_levels.market = asked.market""",
    {"market": TEXT, "sku": TEXT},
)

_TOLD: Final = Statement(
    """
SELECT availability.market, availability.sku, version, published_us, units
FROM {asked} AS asked CROSS JOIN availability
WHERE availability.sku = asked.sku AND availability.market = asked.market""",
    {"market": TEXT, "sku": TEXT},
)

# Who has read an older row than there is now writes nothing.
_TELL: Final = Statement(
    """
INSERT INTO availability (market, sku, version, published_us, units)
SELECT market, sku, version, published_us, units FROM {asked} AS asked WHERE true
ON CONFLICT (sku, market) DO UPDATE SET version = excluded.version,
  published_us = excluded.published_us, units = excluded.units
WHERE availability.version = excluded.version - 1
RETURNING sku""",
    {"market": TEXT, "sku": TEXT, "version": NUMBER, "published_us": NUMBER, "units": TEXT},
)

_RAISE: Final = Statement(
    """
INSERT INTO stock_versions (sku, location, version)
SELECT sku, location, version FROM {asked} AS asked WHERE true
ON CONFLICT (sku, location) DO UPDATE SET version = stock_versions.version + excluded.version
RETURNING sku, location, version""",
    {"sku": TEXT, "location": TEXT, "version": NUMBER},
)

_PAGE: Final = """
SELECT DISTINCT sku, market FROM stock_levels
WHERE sku IN (SELECT sku FROM stock_levels WHERE sku > {after} GROUP BY sku ORDER BY sku
  LIMIT {limit})
ORDER BY sku, market"""
_PAGE_SQLITE: Final = _PAGE.format(after="?", limit="?")
_PAGE_POSTGRESQL: Final = _PAGE.format(after="$1", limit="$2")


async def read_offers(
    connection: AsyncConnection, keys: Iterable[MarketSku]
) -> dict[MarketSku, Offer]:
    """Read what there is of SKUs and what was last told of them; told first, for it must be older."""
    asked = sorted(keys)
    told = {
        MarketSku(MarketId(market), Sku(sku)): Told(version, at_us, _decode_units(units))
        for market, sku, version, at_us, units in await _TOLD.ask(connection, asked)
    }
    offers = {key: Offer({}, told.get(key)) for key in asked}
    for market, sku, location, available in await _LEVELS.ask(connection, asked):
        offers[MarketSku(market, sku)].units[location] = available
    return offers


async def write_told(connection: AsyncConnection, told: Mapping[MarketSku, Told]) -> None:
    """Remember what is published with this commit; Conflict where somebody else did meanwhile."""
    rows = [
        (*key, one.version, one.published_us, msgspec.json.encode(one.units).decode())
        for key, one in sorted(told.items(), key=lambda item: item[0])
    ]
    if len(await _TELL.ask(connection, rows)) != len(rows):
        raise Conflict("somebody else published the availability of the same SKU")


async def raise_versions(
    connection: AsyncConnection, events: Mapping[Cell, int]
) -> dict[Cell, int]:
    """Count events about levels, and return the version that each level's last one has."""
    rows = [(cell.sku, cell.location, count) for cell, count in sorted(events.items())]
    raised = await _RAISE.ask(connection, rows)
    return {Cell(Sku(sku), LocationId(where)): version for sku, where, version in raised}


async def read_stocked(
    connection: AsyncConnection, after: Sku, *, skus: int
) -> Sequence[MarketSku]:
    """Read so many SKUs after one, in order, with every market that stocks them."""
    postgresql = connection.dialect.name == "postgresql"
    page = _PAGE_POSTGRESQL if postgresql else _PAGE_SQLITE
    rows = await fetch(connection, page, after, skus)
    return [MarketSku(MarketId(market), Sku(sku)) for sku, market in rows]
