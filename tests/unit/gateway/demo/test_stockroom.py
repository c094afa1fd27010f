"""The stockroom: imported once, filled up when low, counted when quiet."""

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import pytest

from gateway.demo.bodies.sample import TILL, Sample
from gateway.demo.goods import read_network
from gateway.demo.sender import Sent
from gateway.demo.stockroom import Stockroom
from handlers.actions import StockRow
from store.records import CatalogItem, Level
from tests.unit.gateway.demo.test_deliveries import Time

Cell = tuple[str, str]


class Shelves:
    """The levels, and both ways in which the demo changes them."""

    def __init__(self) -> None:
        self.levels: dict[Cell, Level] = {}
        self.items: list[CatalogItem] = []
        self.imports = 0
        self.samples: list[Sample] = []

    async def read(self, sku: str, _market: str) -> list[dict[str, Any]]:
        found = [level for (name, _), level in self.levels.items() if name == sku]
        return [{**msgspec.structs.asdict(level), "market": "uk"} for level in found]

    async def import_catalog(self, items: Sequence[CatalogItem]) -> None:
        self.items.extend(items)

    async def import_stock(self, rows: Sequence[StockRow]) -> None:
        self.imports += 1
        for row in rows:
            old = self.levels.get((row.sku, row.location))
            level = old or Level(sku=row.sku, location=row.location)
            self.levels[row.sku, row.location] = msgspec.structs.replace(
                level, on_hand=row.on_hand, safety=row.safety_stock
            )

    def sign(self, sample: Sample) -> Sent:
        self.samples.append(sample)
        return Sent(sample.source, {}, sample.body)

    async def deliver(self, sent: Sent) -> None:
        assert sent.source == TILL


@pytest.fixture
def shelves() -> Shelves:
    return Shelves()


@pytest.fixture
def stockroom(shelves: Shelves, chance: Random) -> Stockroom:
    places = read_network().locations
    return Stockroom(shelves.read, shelves, shelves, places=places, clock=Time(), chance=chance)


async def test_an_empty_folder_is_filled_once(stockroom: Stockroom, shelves: Shelves) -> None:
    assert await stockroom.open()
    assert await stockroom.open()
    assert (len(shelves.items), len(shelves.levels), shelves.imports) == (24, 192, 1)


async def test_a_low_cell_is_filled_up_with_what_is_promised_on_top(
    stockroom: Stockroom, shelves: Shelves
) -> None:
    await stockroom.open()
    cell = ("MUG-BLUE", "S-001")
    before = shelves.levels[cell]
    shelves.levels[cell] = msgspec.structs.replace(before, on_hand=20, allocated=15)
    await stockroom.look()
    assert shelves.levels[cell].on_hand == before.on_hand + 15
    assert shelves.imports == 2


async def test_while_nothing_is_low_the_till_counts_at_most_one_off(
    stockroom: Stockroom, shelves: Shelves
) -> None:
    await stockroom.open()
    for _ in range(20):
        await stockroom.look()
    assert shelves.imports == 1
    assert {sample.topic for sample in shelves.samples} == {"inventory.count.updated"}
    assert len(shelves.samples) == 20
