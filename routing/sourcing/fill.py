"""The optimal fill of one SKU, or of lines, from a fixed set of locations.

Unit prices of a cell rise with its quantity (`costs.offer`), SKUs do not compete, and lines of one
SKU are one wish: so the cheapest units first is optimal (marginal allocation; Federgruen and
Groenevelt 1986, "The greedy procedure for resource allocation problems").
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter

from config.ids import LocationId, Sku
from routing.sourcing.costs import Offer
from routing.sourcing.problem import Assignment, Demand

_first = attrgetter("first")
Taken = tuple[LocationId, int]


def cheapest(offers: Iterable[Offer], wanted: int, ceiling: int) -> tuple[int, int, int]:
    """Return (cost, units filled, price of the last unit filled) of the cheapest fill.

    The cost pays the ceiling for what is missing; without any unit the last price is the ceiling.
    """
    cost, left, last = 0, wanted, ceiling
    for price, units in sorted(step for one in offers for step in one.steps):
        taken = min(left, units)
        cost, left, last = cost + price * taken, left - taken, price
        if not left:
            break
    return cost + left * ceiling, wanted - left, last


def fill_cost(offers: Sequence[Offer], wanted: int, ceiling: int) -> int:
    """Return the cost of the cheapest fill; a single price that covers all needs no sorting."""
    best = min(offers, key=_first)
    return best.alone if best.whole else cheapest(offers, wanted, ceiling)[0]


def units_taken(offers: Sequence[Offer], wanted: int) -> list[int]:
    """Return the units from each offer in the cheapest fill; the earlier offer wins a tie."""
    steps = [(price, index, units) for index, x in enumerate(offers) for price, units in x.steps]
    taken = [0] * len(offers)
    for _, index, units in sorted(steps):
        part = min(wanted, units)
        taken[index] += part
        wanted -= part
    return taken


def spread(
    demands: Sequence[Demand], taken: dict[Sku, list[Taken]]
) -> tuple[tuple[Assignment, ...], tuple[Demand, ...]]:
    """Hand the units of each SKU to its lines, first line first; returns (given, missing)."""
    given: list[Assignment] = []
    missing: list[Demand] = []
    pools: defaultdict[Sku, list[Taken]] = defaultdict(list)
    for sku, parts in taken.items():
        pools[sku] = [part for part in reversed(parts) if part[1]]
    for demand in demands:
        left = _serve(demand, pools[demand.sku], given)
        if left:
            missing.append(Demand(demand.line_id, demand.sku, left, demand.value_minor))
    return tuple(given), tuple(missing)


def _serve(demand: Demand, pool: list[Taken], given: list[Assignment]) -> int:
    """Move units from the end of the pool to the line; return what is still missing."""
    left = max(0, demand.quantity)
    while left and pool:
        place, units = pool.pop()
        part = min(left, units)
        given.append(Assignment(demand.line_id, demand.sku, place, part))
        left -= part
        if units > part:
            pool.append((place, units - part))
    return left
