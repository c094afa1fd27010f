"""P7: the routing decision alone, on orders and networks of three sizes."""

from random import Random
from time import process_time
from typing import Final

import msgspec

from config.ids import LocationId, MarketId, Sku
from routing.network import Location, Market
from routing.sourcing.problem import Demand, Problem
from routing.sourcing.solve import solve
from tests.bench.books import check
from tests.bench.plan import Plan
from tests.bench.report import Finding, judged
from tests.bench.rounds import percentile

_MARKET: Final = Market(id=MarketId("uk"), currency="GBP")


class _Size(msgspec.Struct, frozen=True):
    lines: int
    places: int
    part: float
    limit_ms: float | None
    gap_max: float | None
    word: str
    held: float = 0.6
    """The part of all things that lies at each place: thin stock is much more work."""


_SIZES: Final = (
    _Size(5, 100, 0.5, 0.3, 0.0, "median"),
    _Size(12, 300, 0.99, 5.0, 0.0, "p99"),
    _Size(20, 400, 0.99, 150.0, None, "p99"),
    _Size(5, 100, 0.5, None, None, "median, thin stock", 1 / 3),
)


def run(plan: Plan) -> list[Finding]:
    """Solve many different orders of each size; thin stock is reported, without a target."""
    return [_measure(plan, size) for size in _SIZES]


def _measure(plan: Plan, size: _Size) -> Finding:
    chance = Random(7)  # noqa: S311 - every run solves the same
    locations = _locations(size.places, chance)
    times: list[float] = []
    gaps: list[float] = []
    for number in range(plan.size(400, 10)):
        problem = _problem(size, locations, chance)
        started = process_time()
        found = solve(problem)
        if number >= plan.size(20, 2):  # the first ones warm up
            times.append((process_time() - started) * 1000)
            gaps.append(found.gap)
        given = sum(one.quantity for one in found.assignments)
        given += sum(one.quantity for one in found.unfilled)
        check(what="units", expected=sum(one.quantity for one in problem.demands), found=given)
    figure, gap = percentile(times, size.part), max(gaps)
    wanted = _wanted(size)
    proven = sum(one == 0.0 for one in gaps) / len(gaps)
    told = f"proven optimal {proven:.1%}, largest gap {gap:.2%}, slowest {max(times):.1f} ms"
    finding = Finding(
        benchmark="routing",
        target="P7",
        measure=f"routing {size.lines} lines x {size.places} places, {size.word}",
        figure=figure,
        unit="ms",
        wanted=wanted,
        notes=(f"each place holds {size.held:.0%}; {told}; processor time",),
        rounds={"ms": times},
    )
    if size.limit_ms is None:
        return finding
    good = size.gap_max is None or gap <= size.gap_max
    return judged(finding, met=figure <= size.limit_ms and good, quick=plan.quick)


def _wanted(size: _Size) -> str:
    if size.limit_ms is None:
        return ""
    return f"<= {size.limit_ms:g} ms" + (", gap 0" if size.gap_max == 0.0 else "")


def _locations(count: int, chance: Random) -> tuple[Location, ...]:
    return tuple(
        Location(
            id=LocationId(f"L-{number:03d}"),
            kind="store",
            market=_MARKET.id,
            name=f"Place {number}",
            latitude=chance.uniform(50.0, 58.0),
            longitude=chance.uniform(-5.0, 1.5),
            parcel_cost_minor=chance.choice((310, 350, 400, 420, 450)),
            parcel_cost_per_km_minor=0.5,
            pick_cost_minor=chance.choice((35, 50, 80)),
            reject_probability=chance.choice((0.0, 0.02)),
            scarcity_cost_minor=chance.choice((0, 100, 200)),
        )
        for number in range(count)
    )


def _problem(size: _Size, locations: tuple[Location, ...], chance: Random) -> Problem:
    """Return an order for things that lie at a part of the places each, a few or many of them."""
    skus = [Sku(f"SKU-{number}") for number in range(size.lines)]
    return Problem(
        market=_MARKET,
        locations=locations,
        available={
            sku: {
                place.id: chance.choice((1, 2, 5, 20))
                for place in locations
                if chance.random() < size.held
            }
            for sku in skus
        },
        demands=tuple(
            Demand(line_id=str(n), sku=sku, quantity=chance.choice((1, 1, 1, 2)))
            for n, sku in enumerate(skus)
        ),
        destination=(chance.uniform(50.0, 58.0), chance.uniform(-5.0, 1.5)),
    )
