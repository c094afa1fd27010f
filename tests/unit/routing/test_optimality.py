"""The plan against every possible assignment, on problems small enough to try them all."""

from collections import Counter
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.ids import LocationId, Sku
from routing.network import network_of
from routing.sourcing.board import Board, Members
from routing.sourcing.explain import explain
from routing.sourcing.incumbent import LOCAL_WORK_MAX, Incumbent, greedy, local_search
from routing.sourcing.problem import Problem, RoutePlan
from routing.sourcing.sheet import Sheet
from routing.sourcing.solve import solve
from tests.unit.routing.problems import crowded, line, order, place, problems, stock
from tests.unit.routing.reference import best_key, best_key_by_sets, metres, price

slow = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def taken(plan: RoutePlan) -> dict[tuple[Sku, LocationId], int]:
    units: Counter[tuple[Sku, LocationId]] = Counter()
    for part in plan.assignments:
        units[part.sku, part.location] += part.quantity
    return dict(units)


def key(problem: Problem, plan: RoutePlan) -> tuple[int, int, int, tuple[str, ...]]:
    opened = sorted({part.location for part in plan.assignments})
    far = {location.id: metres(problem, location) for location in problem.locations}
    return plan.total_minor, len(opened), sum(far[x] for x in opened), tuple(opened)


@slow
@given(problems())
def test_the_plan_is_the_best_of_all_by_cost_parcels_metres_and_id(problem: Problem) -> None:
    plan = solve(problem)
    assert key(problem, plan) == best_key(problem)
    assert (plan.gap, plan.bound_minor) == (0.0, plan.total_minor)


@slow
@given(crowded(), st.integers(0, 3))
def test_ties_are_broken_alike_however_small_the_first_sets_are(
    problem: Problem, sets_max: int
) -> None:
    plan = solve(problem, sets_max=sets_max)
    assert key(problem, plan) == best_key_by_sets(problem)
    assert plan.gap == 0.0


@slow
@given(problems(), st.integers(0, 3), st.integers(0, 12))
def test_with_little_work_the_bound_the_gap_and_the_claim_stay_true(
    problem: Problem, sets_max: int, work_max: int
) -> None:
    plan = solve(problem, sets_max=sets_max, work_max=work_max)
    optimum = best_key(problem)[0]
    assert 0 <= plan.bound_minor <= optimum <= plan.total_minor
    difference = plan.total_minor - plan.bound_minor
    assert plan.gap == (difference / plan.total_minor if difference else 0.0)
    if plan.exact_within:
        assert plan.total_minor <= best_key(problem, plan.exact_within)[0]


@slow
@given(problems(locations_max=8, stock_max=4))
def test_the_plan_costs_what_its_terms_and_its_assignments_say(problem: Problem) -> None:
    plan = solve(problem)
    assert plan.total_minor == sum(term.amount_minor for term in plan.terms)
    assert plan.total_minor == price(problem, taken(plan))


@slow
@given(problems(locations_max=8))
def test_nothing_is_taken_that_is_not_there_and_nothing_wanted_is_lost(problem: Problem) -> None:
    plan = solve(problem)
    for (sku, where), units in taken(plan).items():
        assert 0 < units <= problem.available[sku][where]
    given_units: Counter[str] = Counter()
    for part in plan.assignments:
        given_units[part.line_id] += part.quantity
    for missing in plan.unfilled:
        given_units[missing.line_id] += missing.quantity
    assert given_units == {x.line_id: x.quantity for x in problem.demands}


@slow
@given(problems(locations_max=6), st.randoms(use_true_random=False))
def test_the_order_of_locations_does_not_matter(problem: Problem, chance: Random) -> None:
    mixed = list(problem.locations)
    chance.shuffle(mixed)
    available = {sku: dict(reversed(row.items())) for sku, row in problem.available.items()}
    other = Problem(
        market=problem.market,
        locations=tuple(mixed),
        available=dict(reversed(available.items())),
        demands=problem.demands,
        method=problem.method,
        destination=problem.destination,
        only=problem.only[::-1],
        excluded=problem.excluded[::-1],
        hours_left=problem.hours_left,
        moment=problem.moment,
    )
    assert solve(other) == solve(problem)


@slow
@given(problems(locations_max=6))
def test_each_loser_is_named_once_and_priced_by_its_terms(problem: Problem) -> None:
    plan = solve(problem)
    network = network_of(problem.market, problem.locations)
    rejected = explain(plan, network).rejected
    losers = [name for loser in rejected for name in loser.locations]
    winners = {part.location for part in plan.assignments}
    if any(demand.quantity for demand in problem.demands):
        assert sorted((*losers, *winners)) == sorted(x.id for x in problem.locations)
    for loser in rejected:
        if loser.total_minor is not None:
            assert loser.total_minor == sum(term.amount_minor for term in loser.terms)
            assert loser.total_minor >= plan.total_minor


def plain_greedy(best: Incumbent) -> None:
    """Look at every location each time; the lowest cost per missing unit, then the first, is next."""
    board = best.board
    members: Members = ()
    short = list(board.wants)
    while True:
        costs = []
        for n, held in enumerate(board.stock):
            units = sum(map(min, held, short))
            if units and n not in members:
                opening = board.fixed[n] + (board.split if members else 0)
                costs.append((opening / units + board.sites[n].tariff.unit, n))
        if not costs or min(costs)[0] >= board.ceiling:
            return
        n = min(costs)[1]
        members = (*members, n)
        best.take(members)
        short = [max(0, s - units) for s, units in zip(short, board.stock[n], strict=True)]


@slow
@given(crowded())
def test_the_quick_greedy_opens_what_the_plain_one_opens(problem: Problem) -> None:
    plain, quick = Incumbent(Board(Sheet(problem))), Incumbent(Board(Sheet(problem)))
    plain_greedy(plain)
    greedy(quick)
    assert quick.key == plain.key


class Counting(Board):
    """Counts the cells that plans are priced from."""

    priced = 0

    def total(self, members: Members) -> int:
        self.priced += len(members) * len(self.wants)
        return super().total(members)


def test_a_basket_of_hundreds_of_lines_is_improved_within_the_same_effort() -> None:
    places = [place(f"p{i:02}", latitude=40.0 + i / 7) for i in range(60)]
    skus = {f"s{k:03}": {f"p{(k * 7) % 60:02}": 1, f"p{(k * 11) % 60:02}": 1} for k in range(500)}
    board = Counting(Sheet(order(places, stock(**skus), *[line(sku) for sku in skus])))
    best = Incumbent(board)
    greedy(best)
    before, board.priced = best.total, 0
    local_search(best, range(len(board.fixed)))
    assert best.total <= before
    assert 0 < board.priced <= 8 * LOCAL_WORK_MAX + len(skus) * len(places)
