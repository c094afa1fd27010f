"""The demo's packaged files: its network, its catalog and its stock."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from config.ids import LocationId, Sku
from handlers.actions import StockRow
from routing.network import Network, parse
from store.records import CatalogItem

_FOLDER: Final = Path(__file__).parent


def packaged(name: str) -> str:
    """Return the text of a file that is packaged beside this module."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def read_network() -> Network:
    """Return the demo's markets and places."""
    return parse(packaged("network.toml"))


def read_catalog() -> tuple[CatalogItem, ...]:
    """Return the demo's items."""
    return tuple(_item(row) for row in _rows("catalog.csv"))


def read_stock() -> tuple[StockRow, ...]:
    """Return the levels that the demo starts from, and goes back to when it runs low."""
    return tuple(
        StockRow(
            sku=Sku(row["sku"]),
            location=LocationId(row["location"]),
            on_hand=int(row["on_hand"]),
            safety_stock=int(row["safety_stock"]),
        )
        for row in _rows("stock.csv")
    )


def name_at(item: CatalogItem, source: str) -> str:
    """Return what a source calls an item; our own SKU where it has no name of its own."""
    return dict(item.external).get(source, item.sku)


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(packaged(name).splitlines()))


def _item(row: Mapping[str, str]) -> CatalogItem:
    names = (part.partition(":") for part in row["external"].split(";"))
    return CatalogItem(
        sku=Sku(row["sku"]),
        title=row["title"],
        price_minor=int(row["price_minor"]),
        currency=row["currency"],
        cost_minor=int(row["cost_minor"]),
        weight_g=int(row["weight_g"]),
        tax_category=row["tax_category"],
        external=tuple((source, name) for source, _, name in names),
    )
