"""Each step of the ladder and each named case, on orders small enough to check by hand."""

import msgspec

from config.ids import LocationId, MarketId
from config.limits import ROUTE_LOOP_MS_MAX
from routing.network import Market, MarketNetwork, document_of, network_of
from routing.sourcing.estimate import estimate_ms
from routing.sourcing.explain import LOSERS_MAX, explain
from routing.sourcing.opening import wait_hours, week_of
from routing.sourcing.problem import Explanation, Problem, Rejected, RoutePlan
from routing.sourcing.solve import solve
from tests.unit.routing.problems import MARKET, line, order, place, stock


def opened(plan: RoutePlan) -> list[str]:
    return sorted({part.location for part in plan.assignments})


def why(problem: Problem) -> dict[str, str]:
    return {name: loser.reason for loser in rejected(problem) for name in loser.locations}


def rejected(problem: Problem) -> tuple[Rejected, ...]:
    return explained(problem).rejected


def explained(problem: Problem) -> Explanation:
    """Explain the plan of a problem as it is stored and read again."""
    network = network_of(problem.market, problem.locations)
    plan = msgspec.json.decode(msgspec.json.encode(solve(problem)), type=RoutePlan)
    return explain(plan, msgspec.json.decode(document_of(network), type=MarketNetwork))


def costs(plan: RoutePlan) -> dict[str, int]:
    return {term.name: term.amount_minor for term in plan.terms}


def scattered(count: int) -> Problem:
    """Each SKU is at few of many equal places, so that several parcels are needed."""
    places = [place(f"p{i:02}", latitude=40.0 + i / 7, longitude=i % 5) for i in range(count)]
    held = {f"s{k}": {f"p{i:02}": 3 for i in range(count) if i % 7 == k} for k in range(7)}
    return order(places, stock(**held), *[line(f"s{k}", 2) for k in range(7)])


def test_one_near_location_that_holds_all_is_proven_best() -> None:
    far, near = place("far", latitude=52.0), place("near")
    problem = order([far, near], stock(a={"far": 5, "near": 5}), line("a"))
    plan = solve(problem)
    assert opened(plan) == ["near"]
    assert (plan.gap, plan.exact_within, plan.bound_minor) == (0.0, 3, 550)
    assert costs(plan) == {"parcel": 500, "pick": 50}
    assert why(problem) == {"far": "dearer"}
    assert rejected(problem)[0].total_minor == 550 + 178


def test_two_locations_together_are_found_by_enumeration() -> None:
    places = [place("p1"), place("p2"), place("p3", latitude=50.0)]
    held = stock(a={"p1": 1, "p3": 1}, b={"p2": 1, "p3": 0})
    problem = order(places, held, line("a"), line("b"))
    plan = solve(problem)
    assert opened(plan) == ["p1", "p2"]
    assert costs(plan)["split"] == 150
    assert why(problem) == {"p3": "partial_stock"}
    assert (plan.gap, plan.exact_within) == (0.0, 3)


def test_more_parcels_than_sets_of_three_are_proven_by_sets_of_any_size() -> None:
    plan = solve(scattered(21))
    assert len(opened(plan)) == 7
    assert plan.gap == 0.0
    assert plan.exact_within > 3


def test_without_work_the_incumbent_comes_with_its_gap() -> None:
    plan = solve(scattered(21), work_max=0)
    assert not plan.unfilled
    assert plan.exact_within == 0
    assert plan.gap > 0
    assert "the search stopped at its limit; another plan might cost less" in plan.reasons


def test_work_for_small_sets_only_says_within_how_many_locations_it_is_best() -> None:
    problem = scattered(21)
    plans = [solve(problem, sets_max=1, work_max=work) for work in range(0, 200, 5)]
    partial = [plan for plan in plans if plan.exact_within == 1 and plan.gap > 0]
    assert partial
    assert "best of all plans with up to 1 locations; more might cost less" in partial[0].reasons


def test_two_lines_of_one_sku_share_the_stock() -> None:
    plan = solve(
        order([place("p")], stock(a={"p": 3}), line("a", 2, "first"), line("a", 2, "second"))
    )
    assert [(x.line_id, x.quantity) for x in plan.assignments] == [("first", 2), ("second", 1)]
    assert [(x.line_id, x.quantity) for x in plan.unfilled] == [("second", 1)]


def test_more_than_there_is_takes_all_and_leaves_the_rest_unfilled() -> None:
    plan = solve(order([place("p1"), place("p2")], stock(a={"p1": 4, "p2": 3}), line("a", 10)))
    assert sum(x.quantity for x in plan.assignments) == 7
    assert plan.unfilled[0].quantity == 3
    assert costs(plan)["unfilled"] == 3 * MARKET.unfilled_penalty_minor
    assert plan.gap == 0.0


def test_a_huge_quantity_costs_no_more_time_than_a_small_one() -> None:
    there = place("p", scarcity_cost_minor=10**6, scarcity_units=10**9)
    plan = solve(order([there], stock(a={"p": 10**9}), line("a", 10**9)))
    assert plan.total_minor == sum(term.amount_minor for term in plan.terms)


def test_zero_and_negative_stock_are_no_stock() -> None:
    problem = order([place("p1"), place("p2")], stock(a={"p1": 0, "p2": -4}), line("a"))
    plan = solve(problem)
    assert plan.assignments == ()
    assert why(problem) == {"p1": "no_stock", "p2": "no_stock"}
    assert plan.total_minor == plan.bound_minor == MARKET.unfilled_penalty_minor


def test_an_unknown_destination_counts_no_distance_and_says_so() -> None:
    places = [place("p2", latitude=52.0), place("p1", latitude=-33.0)]
    plan = solve(order(places, stock(a={"p1": 1, "p2": 1}), line("a"), destination=None))
    assert opened(plan) == ["p1"]
    assert "distance" not in costs(plan)
    assert plan.reasons[0] == "destination unknown: every distance counted as 0"


def test_pickup_at_a_store_without_stock_stays_unfilled() -> None:
    places = [place("store"), place("depot", pickup=False)]
    held = stock(a={"depot": 5})
    only = (LocationId("store"),)
    problem = order(places, held, line("a"), method="pickup", only=only)
    plan = solve(problem)
    assert plan.assignments == ()
    assert plan.unfilled[0].quantity == 1
    assert why(problem) == {"store": "no_stock", "depot": "not_eligible"}


def test_pickup_pays_no_parcel_and_no_distance() -> None:
    there = place("store", latitude=40.0)
    plan = solve(order([there], stock(a={"store": 1}), line("a"), method="pickup"))
    assert costs(plan) == {"pick": 50}


def test_excluded_and_unlisted_locations_are_left_out_with_their_reason() -> None:
    places = [place(x) for x in ("p1", "p2", "p3")]
    only = (LocationId("p1"), LocationId("p2"))
    excluded = (LocationId("p1"),)
    held = stock(a=dict.fromkeys(("p1", "p2", "p3"), 9))
    problem = order(places, held, line("a"), only=only, excluded=excluded)
    plan = solve(problem)
    assert opened(plan) == ["p2"]
    assert why(problem) == {"p1": "excluded", "p3": "not_eligible"}


def test_another_market_another_method_and_no_capacity_are_not_eligible() -> None:
    places = [
        place("market"),
        place("method", ship=False),
        place("idle", capacity_units_per_hour=0),
    ]
    held = stock(a=dict.fromkeys(("market", "method", "idle"), 9))
    other = Market(id=MarketId("us"), currency="USD")
    problem = order(places[1:], held, line("a"))
    assert why(problem) == {"idle": "not_eligible", "method": "not_eligible"}
    assert why(order(places[:1], held, line("a"), market=other)) == {"market": "not_eligible"}


def test_a_tie_goes_to_the_smaller_id_and_the_other_is_called_tied() -> None:
    problem = order([place("b"), place("a")], stock(x={"a": 1, "b": 1}), line("x"))
    plan = solve(problem)
    assert opened(plan) == ["a"]
    assert why(problem) == {"b": "tied"}


def test_a_tie_in_cost_goes_to_fewer_metres() -> None:
    far = place("a", latitude=49.0, parcel_cost_per_km_minor=0.0)
    plan = solve(order([far, place("b")], stock(x={"a": 1, "b": 1}), line("x")))
    assert opened(plan) == ["b"]


def test_no_locations_and_no_lines_give_an_empty_plan() -> None:
    nowhere = solve(order([], {}, line("a", 2)))
    assert (nowhere.total_minor, nowhere.gap) == (2 * MARKET.unfilled_penalty_minor, 0.0)
    nothing = solve(order([place("p")], stock(a={"p": 1})))
    assert (nothing.total_minor, nothing.gap, nothing.assignments) == (0, 0.0, ())


def test_a_broken_promise_is_late_and_slow_picking_is_capacity() -> None:
    held = stock(a={"p": 9})
    late = solve(order([place("p")], held, line("a", 2), hours_left=3.0))
    assert costs(late)["late"] == MARKET.late_penalty_minor
    slow = place("p", capacity_units_per_hour=1)
    busy = solve(order([slow], held, line("a", 2), hours_left=5.0))
    assert costs(busy)["capacity"] == MARKET.late_penalty_minor
    assert "late" not in costs(busy)
    in_time = solve(order([slow], held, line("a", 2), hours_left=6.0))
    assert not {"late", "capacity"} & set(costs(in_time))


def test_the_last_units_cost_more_the_fewer_stay_behind() -> None:
    there = place("p", scarcity_cost_minor=101, scarcity_units=4)
    plan = solve(order([there], stock(a={"p": 6}), line("a", 5)))
    assert costs(plan)["scarcity"] == 25 + 51 + 76  # 3, 2 and 1 left behind; half up


def test_risks_are_priced_per_parcel_and_per_unit() -> None:
    there = place("p", reject_probability=0.25, reject_cost_minor=602, return_risk_cost_minor=7)
    plan = solve(order([there], stock(a={"p": 6}), line("a", 3)))
    assert costs(plan) == {"parcel": 500, "reject_risk": 151, "pick": 150, "return_risk": 21}


def test_every_loser_is_named_and_the_first_ones_are_priced() -> None:
    places = [place(f"p{i:02}", latitude=48 + i / 10) for i in range(40)]
    held = stock(a={f"p{i:02}": 1 + i % 2 for i in range(35)})
    problem = order(places[:30], held, line("a", 2))
    priced = [loser.locations for loser in rejected(problem) if loser.terms]
    assert len(priced) == LOSERS_MAX
    rest = {loser.reason: loser.locations for loser in rejected(problem) if not loser.terms}
    assert rest == {
        "partial_stock": ("p22",),
        "dearer": ("p21", "p23", "p24", "p25", "p26", "p27", "p28", "p29"),
    }
    more = order(places, held, line("a", 2))
    wider = solve(more)
    assert ("no_stock", tuple(f"p{i}" for i in range(35, 40))) in [
        (loser.reason, loser.locations) for loser in rejected(more)
    ]
    named = [name for loser in rejected(more) for name in loser.locations]
    assert sorted([*named, *opened(wider)]) == [one.id for one in places]


def test_the_hash_changes_with_what_matters_and_survives_the_wire() -> None:
    problem = order([place("p1"), place("p2")], stock(a={"p1": 1, "p2": 0}), line("a"))
    same = msgspec.json.decode(msgspec.json.encode(problem), type=Problem)
    assert explained(same).inputs_hash == explained(problem).inputs_hash
    other = msgspec.structs.replace(problem, available=stock(a={"p1": 2}))
    assert explained(other).inputs_hash != explained(problem).inputs_hash
    dearer = place("p2", pick_cost_minor=51)
    moved = msgspec.structs.replace(problem, locations=(problem.locations[0], dearer))
    assert explained(moved).inputs_hash != explained(problem).inputs_hash


def test_a_plan_survives_the_wire() -> None:
    plan = solve(scattered(14))
    assert msgspec.json.decode(msgspec.json.encode(plan), type=RoutePlan) == plan


def test_small_orders_stay_on_the_event_loop_and_hard_ones_do_not() -> None:
    small = order([place(f"p{i}") for i in range(10)], stock(a={"p1": 4}), line("a"))
    assert estimate_ms(small) < ROUTE_LOOP_MS_MAX
    assert estimate_ms(scattered(400)) > ROUTE_LOOP_MS_MAX
    assert estimate_ms(order([], {})) < ROUTE_LOOP_MS_MAX


def test_a_tie_beyond_the_sets_enumerated_first_still_goes_to_the_smaller_ids() -> None:
    places = [
        place("p0", parcel_cost_minor=200, pick_cost_minor=0),
        place("p1", parcel_cost_minor=100, pick_cost_minor=0),
        place(
            "p4",
            parcel_cost_minor=100,
            pick_cost_minor=0,
            scarcity_cost_minor=200,
            scarcity_units=2,
        ),
    ]
    market = msgspec.structs.replace(MARKET, split_penalty_minor=100)
    held = stock(a={"p0": 1, "p1": 2, "p4": 2})
    plan = solve(order(places, held, line("a", 3), market=market), sets_max=1)
    assert opened(plan) == ["p0", "p1"]


def test_equal_places_with_rising_prices_are_used_together_when_that_costs_less() -> None:
    fields = {"parcel_cost_minor": 100, "pick_cost_minor": 0, "scarcity_cost_minor": 200}
    places = [place(name, scarcity_units=2, **fields) for name in ("p0", "p1")]
    market = msgspec.structs.replace(MARKET, split_penalty_minor=0)
    plan = solve(order(places, stock(a={"p0": 3, "p1": 3}), line("a", 3), market=market))
    assert opened(plan) == ["p0", "p1"]
    assert plan.total_minor == 300


def test_after_the_cut_off_a_parcel_is_late_where_a_pickup_is_not() -> None:
    hours = {"mon": ("09:00", "19:00"), "tue": ("09:00", "19:00")}
    there = place("p", opening_hours=hours, cut_off="16:00", handling_hours=2.0)
    problem = order([there], stock(a={"p": 9}), line("a"), hours_left=4.0)
    for moment, method, late in (
        ((0, 15 * 60 + 59), "ship", False),
        ((0, 16 * 60), "ship", True),
        ((0, 16 * 60), "pickup", False),
        ((0, 19 * 60), "pickup", True),
        ((1, 8 * 60), "pickup", False),
        ((2, 8 * 60), "pickup", True),
    ):
        asked = msgspec.structs.replace(problem, moment=moment, method=method)
        assert ("late" in costs(solve(asked))) is late, (moment, method)


def test_a_place_that_is_open_is_better_than_a_nearer_one_that_opens_too_late() -> None:
    closed = place("near", opening_hours={"sat": ("09:00", "12:00")})
    places = [closed, place("far", latitude=48.5)]
    held = stock(a={"near": 1, "far": 1})
    problem = order(places, held, line("a"), hours_left=24.0, moment=(0, 600))
    assert opened(solve(problem)) == ["far"]
    assert opened(solve(msgspec.structs.replace(problem, moment=(5, 600)))) == ["near"]


def test_hours_past_midnight_go_on_in_the_morning() -> None:
    week = week_of(place("p", opening_hours={"sun": ("22:00", "02:00")}), "pickup")
    assert [wait_hours(week, at) for at in ((6, 21 * 60), (6, 23 * 60), (0, 60), (0, 120))] == [
        1.0,
        0.0,
        0.0,
        6 * 24 + 20.0,
    ]
    never = week_of(place("p", opening_hours={"sun": ("22:00", "23:00")}, cut_off="12:00"), "ship")
    assert wait_hours(never, (0, 0)) == 7 * 24.0
