"""How long a decision may take, from a glance, so that a caller keeps its event loop free."""

from typing import Final

from config.ids import LocationId
from config.limits import ROUTE_WORK_MAX
from routing.sourcing.problem import Problem
from routing.sourcing.sheet import totals_of

# Milliseconds on one core of a small shared machine (Python 3.11); about the 99th percentile of
# synthetic orders with 1 to 20 lines on 10 to 400 locations.
_BASE_MS: Final = 0.5
_SINGLE_CELL_MS: Final = 0.00125
_SPLIT_CELL_MS: Final = 0.004
_SKU_MS: Final = 0.015
_SUBSET_MS: Final = 0.003
_WORK_MS: Final = 0.004
_DOUBLINGS_MAX: Final = 30
_BULKY_SHARE: Final = 4
Row = dict[LocationId, int]


def estimate_ms(problem: Problem) -> float:
    """Return an upper estimate of `solve(problem)` in milliseconds; it takes microseconds itself.

    Work grows with the cells (SKUs times locations). When no location holds the whole order it also
    doubles with each SKU; where most holders of a SKU have less than is wanted, nothing is known
    but the number of subsets and the limit of the search. Not a promise: about one order in a
    hundred takes longer.
    """
    wants = totals_of(problem)
    cells = len(wants) * len(problem.locations)
    rows = [(problem.available.get(sku, {}), units) for sku, units in wants.items()]
    subsets = 1 << min(_DOUBLINGS_MAX, len(problem.locations))
    search = min(subsets * _SUBSET_MS, ROUTE_WORK_MAX * _WORK_MS)
    if not any(_bulky(row, units) for row, units in rows):
        if not rows or _somebody_covers(rows):
            return _BASE_MS + cells * _SINGLE_CELL_MS
        search = min(search, (1 << min(_DOUBLINGS_MAX, len(rows))) * _SKU_MS)
    return _BASE_MS + cells * _SPLIT_CELL_MS + search


def _somebody_covers(rows: list[tuple[Row, int]]) -> bool:
    """Tell whether one location holds all units of every SKU; the rarest SKU is asked first."""
    rows = sorted(rows, key=lambda pair: len(pair[0]))
    rarest, units = rows[0]
    places = [place for place, held in rarest.items() if held >= units]
    for row, wanted in rows[1:]:
        places = [place for place in places if row.get(place, 0) >= wanted]
    return bool(places)


def _bulky(row: Row, units: int) -> bool:
    """Tell whether less than a quarter of the holders have all the units (more than one) wanted."""
    able = sum([held >= units for held in row.values()]) if units > 1 else len(row)
    return able * _BULKY_SHARE < len(row)
