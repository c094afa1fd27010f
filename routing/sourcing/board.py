"""One order laid out for the search: the candidates, what opening them costs, and their offers."""

from itertools import count
from operator import ge

from config.ids import LocationId
from routing.sourcing.costs import Offer, offer
from routing.sourcing.eligibility import Site
from routing.sourcing.fill import fill_cost
from routing.sourcing.sheet import Sheet

Members = tuple[int, ...]
Key = tuple[int, int, int, tuple[LocationId, ...]]


class Board:
    """Candidates (places with stock) by number, ascending in (opening cost, metres, id).

    Costs are minor units. `wants` are units per SKU, the rarest SKU first. `fixed[n]` is what opening
    candidate n costs, `stock[n]` its units per SKU. Offers are worked out when first asked for.
    """

    __slots__ = (
        "_offers",
        "ceiling",
        "fixed",
        "ids",
        "metres",
        "sheet",
        "sites",
        "skus",
        "split",
        "stock",
        "wants",
    )

    def __init__(self, sheet: Sheet) -> None:
        """Lay out the order; its sheet is not changed."""
        market, columns = sheet.problem.market, sheet.columns
        self.sheet = sheet
        self.ceiling = market.unfilled_penalty_minor
        self.split = market.split_penalty_minor
        self.skus = sorted(columns, key=lambda sku: (-columns[sku].count(0), sku))
        self.wants = tuple([sheet.wants[sku] for sku in self.skus])
        self._place(list(zip(*(columns[sku] for sku in self.skus), strict=True)))

    def _place(self, stock: list[tuple[int, ...]]) -> None:
        """Sort the places that have any stock by (opening cost, metres, id)."""
        roster, out = self.sheet.roster, self.sheet.out
        ids = roster.ids
        # Not strict: an order that asks for nothing has no rows, so nobody is a candidate.
        places = zip(self.sheet.costs, self.sheet.metres, count(), stock, strict=False)
        order = [(cost, far, i) for cost, far, i, row in places if any(row)]
        order = [key for key in order if ids[key[2]] not in out] if out else order
        order.sort()
        self.fixed = [cost for cost, _, _ in order]
        self.metres = [far for _, far, _ in order]
        self.ids: list[LocationId] = [ids[i] for _, _, i in order]
        self.sites: list[Site] = [roster.sites[i] for _, _, i in order]
        self.stock = [stock[i] for _, _, i in order]
        self._offers: list[tuple[Offer, ...] | None] = [None] * len(order)

    def idle(self) -> list[tuple[LocationId, str]]:
        """Return the places that are no candidates: (id, no_stock, excluded or not_eligible)."""
        roster, out = self.sheet.roster, self.sheet.out
        refused, held = frozenset(self.sheet.problem.excluded), frozenset(self.ids)
        empty = [(i, "no_stock") for i in roster.ids if i not in held and i not in out]
        ruled = [(i, "not_eligible") for i in roster.ids if i in out - refused]
        gone = [(i, "excluded") for i in roster.ids if i in refused]
        return empty + gone + ruled + [(i, "not_eligible") for i in roster.ineligible]

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
