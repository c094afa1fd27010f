"""The shortcuts against the complete way: one place that is enough, and pairs before all larger sets."""

from itertools import combinations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.limits import ROUTE_AT_ONCE_CELLS_MAX
from routing.sourcing.board import Board
from routing.sourcing.incumbent import Incumbent, best_single, floor_of
from routing.sourcing.pairs import best_pair
from routing.sourcing.problem import Problem, RoutePlan
from routing.sourcing.sheet import Sheet
from routing.sourcing.sole import sole
from routing.sourcing.solve import search, solve, solve_at_once
from tests.unit.routing.problems import MARKET, crowded, line, order, place, problems, stock

slow = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ample = problems(locations_max=8, stock_max=9)


def opened(plan: RoutePlan | None) -> set[str]:
    return {part.location for part in plan.assignments} if plan else set()


@slow
@given(st.one_of(ample, problems(), crowded()))
def test_the_quick_way_writes_the_very_plan_of_the_complete_one(problem: Problem) -> None:
    complete = search(Sheet(problem))
    assert solve(problem) == complete
    at_once = solve_at_once(problem)
    assert at_once is None or at_once == complete


@slow
@given(st.one_of(ample, crowded()))
def test_no_pair_that_holds_everything_comes_before_the_one_that_is_kept(problem: Problem) -> None:
    best = Incumbent(Board(Sheet(problem)))
    board, floor = best.board, floor_of(best.board)
    best_single(best, floor)
    assert best_pair(best, floor)
    for a, b in combinations(range(len(board.fixed)), 2):
        held = [sum(pair) for pair in zip(board.stock[a], board.stock[b], strict=True)]
        if all(units >= wanted for units, wanted in zip(held, board.wants, strict=True)):
            assert best.key <= board.key((a, b), board.total((a, b)))


def test_a_place_with_everything_is_chosen_without_a_search_where_a_second_parcel_costs_more() -> (
    None
):
    places = [place("near", scarcity_cost_minor=10), place("far", latitude=50.0)]
    held = stock(a={"near": 2, "far": 9}, b={"near": 3, "far": 9})
    problem = order(places, held, line("a", 2), line("b"))
    assert opened(solve_at_once(problem)) == {"near"}


def test_a_search_is_made_where_two_places_may_cost_less_than_one() -> None:
    places = [place("all", latitude=75.0), place("p1"), place("p2")]
    held = stock(a={"all": 5, "p1": 5}, b={"all": 5, "p2": 5})
    problem = order(places, held, line("a"), line("b"))
    assert solve_at_once(problem) is None
    assert opened(solve(problem)) == {"p1", "p2"}


def test_a_search_is_made_where_nobody_holds_everything_or_the_order_rules_the_holder_out() -> None:
    held = stock(a={"p": 1, "q": 2})
    problem = order([place("p"), place("q")], held, line("a", 2))
    assert opened(solve_at_once(problem)) == {"q"}
    without = order([place("p"), place("q")], held, line("a", 2), excluded=("q",))
    assert sole(Sheet(without)) is None
    assert solve(without).unfilled[0].quantity == 1


def test_an_order_of_very_many_cells_is_never_tried_at_once() -> None:
    places = [place(f"p{i:03}") for i in range(100)]
    held = stock(**{f"s{k}": {"p000": 1} for k in range(ROUTE_AT_ONCE_CELLS_MAX // 100 + 1)})
    lines = [line(sku) for sku in held]
    assert solve_at_once(order(places, held, *lines[:-1])) is not None
    assert solve_at_once(order(places, held, *lines)) is None


@pytest.mark.parametrize(("parcel", "chosen"), [(1150, {"all"}), (1151, {"p1", "p2"})])
def test_one_parcel_wins_as_long_as_it_costs_no_more_than_two(
    parcel: int, chosen: set[str]
) -> None:
    places = [place("all", parcel_cost_minor=parcel), place("p1"), place("p2")]
    held = stock(a={"all": 5, "p1": 5}, b={"all": 5, "p2": 5})
    problem = order(places, held, line("a"), line("b"))
    assert opened(solve(problem)) == chosen
    assert (solve_at_once(problem) is None) == (len(chosen) > 1)


@pytest.mark.parametrize(("parcel", "chosen"), [(349, "all"), (351, "part")])
def test_a_unit_is_left_out_where_that_costs_less_than_the_place_with_everything(
    parcel: int, chosen: str
) -> None:
    places = [place("all", parcel_cost_minor=parcel), place("part", parcel_cost_minor=100)]
    market = msgspec.structs.replace(MARKET, unfilled_penalty_minor=300)
    held = stock(a={"all": 5, "part": 5}, b={"all": 5})
    problem = order(places, held, line("a"), line("b"), market=market)
    assert opened(solve(problem)) == {chosen}
