"""`imv stock import`: sets on-hand and safety stock from a file."""

from pathlib import Path
from typing import Final

import click

from config.errors import Misconfigured
from config.limits import QUANTITY_MAX
from gateway.cli import cells
from gateway.cli.csv_file import Column, Sheet, read_sheet
from gateway.cli.demo_parts import find_whole
from gateway.cli.importing import Import, run_import
from gateway.cli.instance import Instance, instance_options
from gateway.cli.live import ask, client, find_running, told
from gateway.cli.output import json_option
from gateway.lifespan import read_network
from handlers.actions import ImportStock, StockRow

_STOCK: Final = Import("stock", "/v1/imports/stock", ImportStock)


@click.group("stock")
def stock() -> None:
    """Stock levels, by hand."""


@stock.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@instance_options
def import_stock(*, file: Path, as_json: bool, data: str | None, config: str | None) -> None:
    """Set levels from a CSV file with the columns sku, location, on_hand and safety_stock.

    Every row is judged first; nothing of a file with a bad row is applied. The instance may run
    or not.
    """
    instance = find_whole(data, config)
    sheet = read_stock(file, _locations(instance))
    run_import(_STOCK, file, instance, sheet, as_json=as_json)


def read_stock(file: Path, locations: frozenset[str]) -> Sheet[StockRow]:
    """Read a stock file whose rows must name these locations; errors as `read_sheet`."""
    units = cells.whole(QUANTITY_MAX)
    columns = {
        "sku": Column(cells.name),
        "location": Column(cells.one_of(locations, "location of the network file")),
        "on_hand": Column(units),
        "safety_stock": Column(units, 0),
    }
    return read_sheet(
        file, columns, StockRow, lambda row: {"this sku at this location": _cell(row)}
    )


def _cell(row: StockRow) -> tuple[str, str]:
    return row.sku, row.location


def _locations(instance: Instance) -> frozenset[str]:
    """Return the places that the instance knows: its own word where it runs."""
    if running := find_running(instance):
        with client(running.http, running.token) as http:
            places = told(ask(http, "GET", "/v1/locations"))["locations"]
        known = frozenset(str(place["id"]) for place in places)
    else:
        known = frozenset(place.id for place in read_network(instance.settings).locations)
    if not known:
        raise Misconfigured("this instance has no locations; name a network file in [network] file")
    return known
