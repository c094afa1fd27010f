"""Invented purchases: who buys what, when and where; nobody in them exists."""

from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Final

import msgspec

from config.clock import to_ms
from routing.network import Location
from store.records import CatalogItem

_FIRST: Final = (
    *("Sam", "Alex", "Robin", "Kim", "Jo", "Charlie", "Noor", "Ash", "Frankie", "Lee", "Mika"),
    *("Sasha", "Toni", "Remy", "Ari", "Jules", "Quinn", "Dara", "Nico", "Wren"),
)
_INITIALS: Final = "ABCDEFGHJKLMNPRSTW"
# A postcode's district and about where it is.
_DISTRICTS: Final = (
    ("SW11", 51.465, -0.163),
    ("E8", 51.543, -0.066),
    ("BS3", 51.438, -2.605),
    ("CF10", 51.475, -3.177),
    ("OX4", 51.732, -1.220),
    ("NR2", 52.623, 1.280),
    ("B13", 52.438, -1.888),
    ("NG7", 52.953, -1.170),
    ("M20", 53.427, -2.230),
    ("L8", 53.387, -2.958),
    ("LS6", 53.820, -1.567),
    ("NE2", 54.990, -1.605),
    ("EH6", 55.970, -3.172),
    ("G12", 55.877, -4.293),
)
_LINES: Final = ((1, 2, 3), (55, 33, 12))
_UNITS: Final = ((1, 2, 3), (72, 22, 6))
_VAT_PART: Final = 6
"""VAT of 20 % is a sixth of a price that holds it."""


class Buyer(msgspec.Struct, frozen=True):
    """A first name and an initial, and about where parcels go."""

    first: str
    last: str
    postcode: str
    latitude: float
    longitude: float

    @property
    def label(self) -> str:
        """Return the name as staff see it."""
        return f"{self.first} {self.last}"


class Bought(msgspec.Struct, frozen=True):
    """So many units of one item."""

    item: CatalogItem
    quantity: int

    @property
    def unit_minor(self) -> int:
        """Return the price of one unit, tax included."""
        return self.item.price_minor or 0

    @property
    def total_minor(self) -> int:
        """Return the price of all units, tax included."""
        return self.unit_minor * self.quantity

    @property
    def tax_minor(self) -> int:
        """Return the tax that the total holds."""
        return self.total_minor // _VAT_PART if self.item.tax_category == "standard" else 0


class Purchase(msgspec.Struct, frozen=True):
    """What one buyer buys; `place` is where it is collected or sold, None where it is sent."""

    number: int
    """Unique in a data folder; every channel makes its own ids from it."""
    lines: tuple[Bought, ...]
    buyer: Buyer
    at: datetime
    place: Location | None = None

    @property
    def total_minor(self) -> int:
        """Return what the buyer pays, tax included."""
        return sum(line.total_minor for line in self.lines)

    @property
    def tax_minor(self) -> int:
        """Return the tax that the total holds."""
        return sum(line.tax_minor for line in self.lines)

    def place_at(self, source: str) -> str:
        """Return what a source calls the place; our own id where it has no name of its own."""
        if self.place is None:
            raise AssertionError("only a purchase with a place has a name for it")
        return self.place.external.get(source, self.place.id)


class Shoppers:
    """Invents purchases, the same ones from the same randomness and times."""

    def __init__(self, items: Sequence[CatalogItem], chance: Random) -> None:
        """Take what is for sale."""
        self._items = items
        self._chance = chance
        self._last = 0

    def buy(self, now: datetime, place: Location | None = None) -> Purchase:
        """Return a new purchase; numbers rise with time, over restarts too."""
        self._last = max(to_ms(now), self._last + 1)
        chance = self._chance
        items = chance.sample(self._items, chance.choices(*_LINES)[0])
        lines = tuple(Bought(item, chance.choices(*_UNITS)[0]) for item in items)
        return Purchase(self._last, lines, self._buyer(), now, place)

    def _buyer(self) -> Buyer:
        chance = self._chance
        postcode, latitude, longitude = chance.choice(_DISTRICTS)
        last = chance.choice(_INITIALS) + "."
        return Buyer(chance.choice(_FIRST), last, postcode, latitude, longitude)
