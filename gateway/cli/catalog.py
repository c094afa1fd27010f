"""`imv catalog import`: adds and replaces items, and what the channels call them."""

from pathlib import Path
from typing import Any, Final

import click

from config.limits import AMOUNT_MINOR_MAX
from gateway.cli import cells
from gateway.cli.csv_file import Column, Sheet, read_sheet
from gateway.cli.demo_parts import find_whole
from gateway.cli.importing import Import, run_import
from gateway.cli.instance import Instance, instance_options
from gateway.cli.output import json_option
from handlers.actions import ImportCatalog
from store.records import CatalogItem

_CATALOG: Final = Import("catalog", "/v1/imports/catalog", ImportCatalog)
_WEIGHT_G_MAX: Final = 100_000_000


@click.group("catalog")
def catalog() -> None:
    """Items for sale, by hand."""


@catalog.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@instance_options
def import_catalog(*, file: Path, as_json: bool, data: str | None, config: str | None) -> None:
    """Add or replace items from a CSV file.

    Columns: sku, title, price_minor, currency, cost_minor, weight_g, tax_category and external;
    only sku must be there. The column external maps the channels' item ids, as in
    shop-main:808950810;pos-1:FGQ5JJWT.

    Every row is judged first; nothing of a file with a bad row is applied. The instance may run
    or not.
    """
    instance = find_whole(data, config)
    sheet = read_catalog(file)
    _warn_of_unknown_sources(instance, sheet)
    run_import(_CATALOG, file, instance, sheet, as_json=as_json)


def read_catalog(file: Path) -> Sheet[CatalogItem]:
    """Read a catalog file; errors as `read_sheet`."""
    amount = cells.whole(AMOUNT_MINOR_MAX)
    columns = {
        "sku": Column(cells.name),
        "title": Column(cells.name, ""),
        "price_minor": Column(amount, None),
        "currency": Column(cells.currency, ""),
        "cost_minor": Column(amount, None),
        "weight_g": Column(cells.whole(_WEIGHT_G_MAX), None),
        "tax_category": Column(cells.name, ""),
        "external": Column(cells.externals, ()),
    }
    return read_sheet(file, columns, CatalogItem, _unique)


def _unique(item: CatalogItem) -> dict[str, object]:
    """Return what no other row may have: the SKU, and each channel's name for it."""
    names: dict[str, Any] = {f"external {s}:{ref}": True for s, ref in item.external}
    return {"this sku": item.sku, **names}


def _warn_of_unknown_sources(instance: Instance, sheet: Sheet[CatalogItem]) -> None:
    """Say which channels are not configured: their ids are kept, but nothing asks for them yet."""
    known = {source.id for source in instance.settings.sources}
    named = {source for item in sheet.rows for source, _ in item.external}
    if known and (unknown := sorted(named - known)):
        names = ", ".join(unknown)
        click.echo(f"imv: no source is called {names}; their item ids wait for one", err=True)
