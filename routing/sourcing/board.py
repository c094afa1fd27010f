"""One order laid out for the search: the candidates, what opening them costs, and their offers."""

from collections.abc import Sequence
from itertools import count, repeat
from operator import ge

from config.ids import LocationId, Sku
from routing.sourcing.costs import Offer, lateness, metres_from, offer, spot_of
from routing.sourcing.eligibility import Site, barred, roster_of
from routing.sourcing.fill import fill_cost
from routing.sourcing.opening import wait_hours
from routing.sourcing.problem import Inputs, Problem

Members = tuple[int, ...]
Key = tuple[int, int, int, tuple[LocationId, ...]]


class Board:
    """Candidates (places with stock) by number, ascending in (opening cost, metres, id).

    Costs are minor units. `wants` are units per SKU, the rarest SKU first; `columns` the stock of each
    SKU over all eligible places, as it is stored. `fixed[n]` is what opening candidate n costs,
    `stock[n]` its units per SKU, `out` the places that the order rules out. Offers are worked out when
    first asked for.
    """

    __slots__ = (
        "_offers",
        "_roster",
        "ceiling",
        "columns",
        "fixed",
        "ids",
        "metres",
        "out",
        "problem",
        "sites",
        "skus",
        "split",
        "stock",
        "wants",
    )

    def __init__(self, problem: Problem) -> None:
        """Lay out the problem; it is not changed."""
        self.problem = problem
        self.ceiling = problem.market.unfilled_penalty_minor
        self.split = problem.market.split_penalty_minor
        self._roster = roster_of(problem)
        totals = totals_of(problem)
        columns = {sku: _column(problem, self._roster.ids, sku) for sku in sorted(totals)}
        self.columns = columns
        self.skus = sorted(totals, key=lambda sku: (-columns[sku].count(0), sku))
        self.wants = tuple(totals[sku] for sku in self.skus)
        self.out = barred(problem) if problem.only or problem.excluded else frozenset()
        self._place(list(zip(*(columns[sku] for sku in self.skus), strict=True)))

    def _place(self, stock: list[tuple[int, ...]]) -> None:
        """Sort the places that have any stock by (opening cost, metres, id)."""
        roster, ids, out = self._roster, self._roster.ids, self.out
        metres, costs = self._openings()
        # Not strict: an order that asks for nothing has no rows, so nobody is a candidate.
        places = zip(costs, metres, count(), stock, strict=False)
        order = [(cost, far, i) for cost, far, i, row in places if any(row)]
        order = [key for key in order if ids[key[2]] not in out] if out else order
        order.sort()
        self.fixed = [cost for cost, _, _ in order]
        self.metres = [far for _, far, _ in order]
        self.ids: list[LocationId] = [ids[i] for _, _, i in order]
        self.sites: list[Site] = [roster.sites[i] for _, _, i in order]
        self.stock = [stock[i] for _, _, i in order]
        self._offers: list[tuple[Offer, ...] | None] = [None] * len(order)

    def _openings(self) -> tuple[Sequence[int], Sequence[int]]:
        """Return metres to the destination and cost of opening for each place of the roster."""
        problem, roster = self.problem, self._roster
        metres: Sequence[int] = (0,) * len(roster.ids)
        if problem.destination is not None and problem.method == "ship":
            metres = metres_from(spot_of(*problem.destination), roster.spots)
        prices = zip(roster.openings, metres, roster.metre_prices, strict=True)
        costs = [opening + int(far * price + 0.5) for opening, far, price in prices]
        if problem.hours_left is not None:
            costs = [
                cost + (problem.market.late_penalty_minor if self.late(site, far) else 0)
                for cost, site, far in zip(costs, roster.sites, metres, strict=True)
            ]
        return metres, costs

    def inputs(self) -> Inputs:
        """Return what this decision is made from, to be stored with it."""
        problem = self.problem
        return Inputs(
            self._roster.digest,
            problem.demands,
            self.columns,
            problem.destination,
            tuple(sorted(problem.only)),
            tuple(sorted(problem.excluded)),
            problem.hours_left,
            problem.moment,
        )

    def idle(self) -> list[tuple[LocationId, str]]:
        """Return the places that are no candidates: (id, no_stock, excluded or not_eligible)."""
        refused, held = frozenset(self.problem.excluded), frozenset(self.ids)
        empty = [(i, "no_stock") for i in self._roster.ids if i not in held and i not in self.out]
        ruled = [(i, "not_eligible") for i in self._roster.ids if i in self.out - refused]
        gone = [(i, "excluded") for i in self._roster.ids if i in refused]
        return empty + gone + ruled + [(i, "not_eligible") for i in self._roster.ineligible]

    def late(self, site: Site, metres: int) -> str:
        """Return the term that breaks the promise from this place, or empty."""
        left, moment = self.problem.hours_left, self.problem.moment
        wait = wait_hours(site.week, moment) if moment and left is not None else 0.0
        return lateness(site.location, metres, units=sum(self.wants), hours_left=left, wait=wait)

    def row(self, n: int) -> tuple[Offer, ...]:
        """Return the offers of candidate n, one per SKU."""
        row = self._offers[n]
        if row is None:
            tariff = self.sites[n].tariff
            fade = tariff.fade_units
            row = self._offers[n] = tuple(
                [
                    offer(min(units, wanted + fade), wanted, tariff)
                    for units, wanted in zip(self.stock[n], self.wants, strict=True)
                ]
            )
        return row

    def covers(self, n: int) -> bool:
        """Tell whether candidate n holds every unit wanted."""
        return all(map(ge, self.stock[n], self.wants))

    def alone(self, n: int) -> int:
        """Return the total of the plan that opens only candidate n."""
        return self.fixed[n] + sum([cell.alone for cell in self.row(n)])

    def nothing(self) -> int:
        """Return the total of the plan that opens no location."""
        return self.ceiling * sum(self.wants)

    def total(self, members: Members) -> int:
        """Return the total of the cheapest plan that opens exactly these (at least one)."""
        if len(members) == 1:
            return self.alone(members[0])
        rows = [self.row(n) for n in members]
        total = sum([self.fixed[n] for n in members]) + self.split * (len(members) - 1)
        for offers, wanted in zip(zip(*rows, strict=True), self.wants, strict=True):
            total += fill_cost(offers, wanted, self.ceiling)
        return total

    def key(self, members: Members, total: int) -> Key:
        """Return the order among plans: cost, parcels, metres, ids."""
        ids = tuple(sorted([self.ids[n] for n in members]))
        return total, len(members), sum([self.metres[n] for n in members]), ids


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
