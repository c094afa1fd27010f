"""The common case: one location provides everything, and a crude bound proves that nothing beats it."""

from typing import NamedTuple

from routing.sourcing.costs import Tariff, offer
from routing.sourcing.eligibility import Site
from routing.sourcing.sheet import Sheet


class Share(NamedTuple):
    """What one opened location costs and gives: its opening, units, and their surcharges."""

    site: Site
    metres: int
    fixed: int
    units: int
    scarcity: int


def sole(sheet: Sheet) -> Share | None:
    """Return the location that is proven to provide the order alone at the lowest cost, or None.

    None says nothing: the complete search looks at everything. What is found is what it would find.
    """
    units = sum(sheet.wants.values())
    key = _cheapest(sheet, units)
    if key is None or not _is_proven(sheet, key[0], units):
        return None
    total, metres, i = key
    site, fixed = sheet.roster.sites[i], sheet.costs[i]
    return Share(site, metres, fixed, units, total - fixed - site.tariff.unit * units)


def _cheapest(sheet: Sheet, units: int) -> tuple[int, int, int] | None:
    """Return (total, metres, place) of the cheapest place that provides every unit, first by metres."""
    best: tuple[int, int, int] | None = None
    for i in _able(sheet):
        tariff = sheet.roster.sites[i].tariff
        total = sheet.costs[i] + tariff.unit * units
        if best is not None and total > best[0]:
            continue
        surcharge = _surcharge(sheet, i, tariff)
        if surcharge is None:
            continue
        key = (total + surcharge, sheet.metres[i], i)
        best = key if best is None else min(best, key)
    return best


def _able(sheet: Sheet) -> list[int]:
    """Return the places that hold every unit wanted; without any wish there are none."""
    ids, able = sheet.roster.ids, list(range(len(sheet.costs))) if sheet.wants else []
    for sku, wanted in sheet.wants.items():
        column = sheet.columns[sku]
        able = [i for i in able if column[i] >= wanted]
    return [i for i in able if ids[i] not in sheet.out] if sheet.out else able


def _surcharge(sheet: Sheet, i: int, tariff: Tariff) -> int | None:
    """Return what scarcity adds to all units; None where leaving one out costs less than it."""
    surcharge, fade = 0, tariff.fade_units
    if tariff.unit > tariff.ceiling:
        return None
    for sku, wanted in sheet.wants.items():
        stock = sheet.columns[sku][i]
        if stock < wanted + fade:
            cell = offer(stock, wanted, tariff)
            if cell.units < wanted:
                return None
            surcharge += cell.alone - tariff.unit * wanted
    return surcharge


def _is_proven(sheet: Sheet, total: int, units: int) -> bool:
    """Tell whether every other plan costs more, or as much with more parcels.

    It leaves everything out, or a unit from one place, or opens two places or more; each at the lowest
    costs on the sheet.
    """
    market, roster, costs = sheet.problem.market, sheet.roster, sheet.costs
    ceiling, rows = market.unfilled_penalty_minor, zip(*sheet.columns.values(), strict=True)
    holders = [i for i, row in enumerate(rows) if any(row)]
    if sheet.out:
        holders = [i for i in holders if roster.ids[i] not in sheet.out]
    lowest = min([ceiling, *[roster.units[i] for i in holders]])
    openings = sorted([costs[i] for i in holders])[:2]
    if total >= ceiling * units or total >= openings[0] + lowest * (units - 1) + ceiling:
        return False
    return (
        len(openings) == 1 or total <= sum(openings) + market.split_penalty_minor + lowest * units
    )
