"""The demo's goods: imported once, counted now and then, filled up before they run out."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, Final, Protocol

from config.clock import Clock
from config.ids import LocationId
from gateway.demo.bodies import square
from gateway.demo.bodies.sample import TILL
from gateway.demo.goods import read_catalog, read_stock
from gateway.demo.sender import Sender
from handlers.actions import StockRow
from routing.network import Location
from store.records import CatalogItem, Level

LOOK_S: Final = 15.0
_LOW_PART: Final = 3
"""Below a third of what it began with, a cell is filled up."""
Levels = Callable[[str, str], Awaitable[list[dict[str, Any]]]]


class Importer(Protocol):
    """Where operators import."""

    async def import_catalog(self, items: Sequence[CatalogItem]) -> None:
        """Add or replace items."""
        ...

    async def import_stock(self, rows: Sequence[StockRow]) -> None:
        """Set levels."""
        ...


class Stockroom:
    """Keeps every cell of the demo's stock between its low mark and where it began."""

    def __init__(
        self,
        levels: Levels,
        office: Importer,
        sender: Sender,
        *,
        places: Sequence[Location],
        clock: Clock,
        chance: Random,
    ) -> None:
        """Take how levels are seen, and the two ways in which they are changed."""
        self._levels = levels
        self._office = office
        self._sender = sender
        self._counted = [place for place in places if TILL in place.external]
        self._clock = clock
        self._chance = chance
        self._items = read_catalog()
        self._start = {(row.sku, row.location): row for row in read_stock()}

    async def open(self) -> bool:
        """Import catalog and stock where this data folder has none yet; True when they are there."""
        if not await self._levels(self._items[-1].sku, ""):
            await self._office.import_catalog(self._items)
            await self._office.import_stock(tuple(self._start.values()))
        return True

    async def look(self) -> float:
        """Fill up what is low and count one cell; return the seconds until the next look."""
        found = {item.sku: await self._levels_of(item) for item in self._items}
        low = [row for levels in found.values() for row in self._low(levels)]
        if low:
            await self._office.import_stock(low)
        else:
            await self._count(found)
        return LOOK_S

    async def _levels_of(self, item: CatalogItem) -> list[Level]:
        names = Level.__struct_fields__
        rows = await self._levels(item.sku, "")
        return [Level(**{name: row[name] for name in names}) for row in rows]

    def _low(self, levels: Sequence[Level]) -> list[StockRow]:
        """Return what must be on hand so that as much as at the start can be promised again."""
        rows = []
        for level in levels:
            start = self._start.get((level.sku, level.location))
            if start and level.available < start.on_hand // _LOW_PART:
                on_hand = start.on_hand + level.allocated + level.held + level.unavailable
                safety = start.safety_stock
                row = StockRow(
                    sku=level.sku, location=level.location, on_hand=on_hand, safety_stock=safety
                )
                rows.append(row)
        return rows

    async def _count(self, found: dict[Any, list[Level]]) -> None:
        """Have a store count one item at the till; the count may be off by one."""
        item, place = self._chance.choice(self._items), self._chance.choice(self._counted)
        at: dict[LocationId, Level] = {level.location: level for level in found[item.sku]}
        level = at.get(place.id)
        if level is not None and level.on_hand > level.allocated:
            quantity = level.on_hand + self._chance.choice((-1, 0, 0, 0, 1))
            sample = square.counted(item, place, quantity, self._clock.now())
            await self._sender.deliver(self._sender.sign(sample))
