"""One order over the places that may serve it: what lies where, how far it is, what opening costs."""

from collections.abc import Sequence
from itertools import repeat

from config.ids import LocationId, Sku
from routing.sourcing.costs import lateness, metres_from, spot_of
from routing.sourcing.eligibility import Roster, Site, barred, roster_of
from routing.sourcing.opening import wait_hours
from routing.sourcing.problem import Inputs, Problem


class Sheet:
    """Columns over the roster's places, in the order of their ids; costs in minor units.

    `wants` are units per SKU, `columns` the stock of each SKU as it is stored with the plan, `metres`
    the distances, `costs` what opening each place costs, `out` the places that the order rules out.
    """

    __slots__ = ("columns", "costs", "metres", "out", "problem", "roster", "wants")

    def __init__(self, problem: Problem) -> None:
        """Read the problem; it is not changed."""
        roster = roster_of(problem)
        self.problem, self.roster = problem, roster
        self.wants = totals_of(problem)
        self.columns = {sku: _column(problem, roster.ids, sku) for sku in sorted(self.wants)}
        self.out = barred(problem) if problem.only or problem.excluded else frozenset()
        self.metres = _metres(problem, roster)
        self.costs = self._costs()

    def _costs(self) -> list[int]:
        """Return what opening each place costs."""
        problem, roster = self.problem, self.roster
        prices = zip(roster.openings, self.metres, roster.metre_prices, strict=True)
        costs = [opening + int(far * price + 0.5) for opening, far, price in prices]
        if problem.hours_left is None:
            return costs
        penalty = problem.market.late_penalty_minor
        places = zip(costs, roster.sites, self.metres, strict=True)
        return [cost + (penalty if self.late(site, far) else 0) for cost, site, far in places]

    def late(self, site: Site, metres: int) -> str:
        """Return the term that breaks the promise from this place, or empty."""
        left, moment = self.problem.hours_left, self.problem.moment
        wait = wait_hours(site.week, moment) if moment and left is not None else 0.0
        units = sum(self.wants.values())
        return lateness(site.location, metres, units=units, hours_left=left, wait=wait)

    def inputs(self) -> Inputs:
        """Return what the decision is made from, to be stored with it."""
        problem = self.problem
        return Inputs(
            self.roster.digest,
            problem.demands,
            self.columns,
            problem.destination,
            tuple(sorted(problem.only)),
            tuple(sorted(problem.excluded)),
            problem.hours_left,
            problem.moment,
        )


def totals_of(problem: Problem) -> dict[Sku, int]:
    """Add up the lines of each SKU; a line without units asks for nothing."""
    totals: dict[Sku, int] = {}
    for demand in problem.demands:
        if demand.quantity > 0:
            totals[demand.sku] = totals.get(demand.sku, 0) + demand.quantity
    return totals


def _column(problem: Problem, ids: tuple[LocationId, ...], sku: Sku) -> list[int]:
    """Return the stock of one SKU place by place; missing and oversold mean none."""
    held = problem.available.get(sku)
    column = list(map(held.get, ids, repeat(0))) if held else [0] * len(ids)
    return [max(0, units) for units in column] if column and min(column) < 0 else column


def _metres(problem: Problem, roster: Roster) -> Sequence[int]:
    """Return the metres to the destination; 0 where it is unknown or the customer comes."""
    if problem.destination is None or problem.method != "ship":
        return (0,) * len(roster.ids)
    return metres_from(spot_of(*problem.destination), roster.spots)
