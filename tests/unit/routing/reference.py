"""The objective stated slowly and plainly: every assignment, every unit priced by itself."""

from collections.abc import Iterator
from itertools import combinations, product
from math import asin, cos, radians, sin, sqrt

from config.ids import LocationId, Sku
from routing.network import Day, Location
from routing.sourcing.problem import Problem

Taken = dict[tuple[Sku, LocationId], int]


def half_up(amount: float) -> int:
    return int(amount + 0.5)


def haversine_m(here: tuple[float, float], there: tuple[float, float]) -> int:
    (lat1, lon1), (lat2, lon2) = (map(radians, x) for x in (here, there))
    a = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return half_up(2 * 6_371_008.8 * asin(min(1.0, sqrt(a))))


def metres(problem: Problem, location: Location) -> int:
    if problem.destination is None or problem.method == "pickup":
        return 0
    return haversine_m(problem.destination, (location.latitude, location.longitude))


def totals(problem: Problem) -> dict[Sku, int]:
    wanted: dict[Sku, int] = {}
    for demand in problem.demands:
        wanted[demand.sku] = wanted.get(demand.sku, 0) + demand.quantity
    return wanted


def may_serve(problem: Problem, location: Location) -> bool:
    does = location.ship if problem.method == "ship" else location.pickup
    listed = not problem.only or location.id in problem.only
    able = does and location.market == problem.market.id and location.capacity_units_per_hour != 0
    return able and listed and location.id not in problem.excluded


def opening(problem: Problem, location: Location) -> int:
    far = metres(problem, location)
    cost = half_up(location.reject_probability * location.reject_cost_minor)
    if problem.method == "ship":
        cost += location.parcel_cost_minor
        cost += half_up(far * (location.parcel_cost_per_km_minor / 1000))
    if problem.hours_left is not None:
        hours = waiting(problem, location)
        hours += location.handling_hours + far / 1000 / location.transit_km_per_day * 24
        if location.capacity_units_per_hour:
            hours += sum(totals(problem).values()) / location.capacity_units_per_hour
        cost += problem.market.late_penalty_minor if hours > problem.hours_left else 0
    return cost


def waiting(problem: Problem, location: Location) -> float:
    """Return the hours until work begins, looking at one minute after the other."""
    if problem.moment is None:
        return 0.0
    day, minute = problem.moment
    for ahead in range(8 * 24 * 60):
        days, at = divmod(minute + ahead, 24 * 60)
        if begins(problem, location, (day + days) % 7, at):
            return ahead / 60
    return 7 * 24.0


def begins(problem: Problem, location: Location, day: int, minute: int) -> bool:
    time = f"{minute // 60:02}:{minute % 60:02}"
    if problem.method == "ship" and location.cut_off and time >= location.cut_off:
        return False
    names: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    hours = location.opening_hours
    return not hours or (
        names[day] in hours and hours[names[day]][0] <= time < hours[names[day]][1]
    )


def unit(location: Location, left_behind: int) -> int:
    """Price of the unit that leaves so many behind, for at most 16 scarcity units."""
    cost = location.pick_cost_minor + location.return_risk_cost_minor
    fade = location.scarcity_units
    if left_behind < fade:
        fraction = (fade - left_behind) / fade
        cost += half_up(location.scarcity_cost_minor * fraction)
    return cost


def price(problem: Problem, taken: Taken) -> int:
    """Return the objective for units per SKU and location."""
    places = {location.id: location for location in problem.locations}
    opened = {place for (_, place), units in taken.items() if units}
    total = sum(opening(problem, places[place]) for place in opened)
    total += problem.market.split_penalty_minor * max(0, len(opened) - 1)
    for (sku, place), units in taken.items():
        stock = problem.available[sku][place]
        total += sum(unit(places[place], stock - k) for k in range(1, units + 1))
    missing = sum(totals(problem).values()) - sum(taken.values())
    return total + problem.market.unfilled_penalty_minor * missing


def every_assignment(problem: Problem) -> Iterator[Taken]:
    wanted = totals(problem)
    cells = [
        (sku, x.id, max(0, problem.available.get(sku, {}).get(x.id, 0)))
        for sku in wanted
        for x in problem.locations
        if may_serve(problem, x)
    ]
    for units in product(*(range(min(stock, wanted[sku]) + 1) for sku, _, stock in cells)):
        taken = {(sku, place): n for (sku, place, _), n in zip(cells, units, strict=True) if n}
        used = dict.fromkeys(wanted, 0)
        for (sku, _), n in taken.items():
            used[sku] += n
        if all(used[sku] <= wanted[sku] for sku in wanted):
            yield taken


def best_key(problem: Problem, parcels_max: int = 99) -> tuple[int, int, int, tuple[str, ...]]:
    """Return the (cost, parcels, metres, ids) of the best plan with so many parcels at most."""
    far = {location.id: metres(problem, location) for location in problem.locations}
    keys = []
    for taken in every_assignment(problem):
        opened = {place for _, place in taken}
        if len(opened) <= parcels_max:
            parts = price(problem, taken), len(opened), sum(far[x] for x in opened)
            keys.append((*parts, tuple(sorted(opened))))
    return min(keys)


def best_key_by_sets(problem: Problem) -> tuple[int, int, int, tuple[str, ...]]:
    """Return the same as `best_key` for more locations: in each set the cheapest units first."""
    able = [x for x in problem.locations if may_serve(problem, x)]
    sets = (chosen for k in range(len(able) + 1) for chosen in combinations(able, k))
    return min(_set_key(problem, chosen) for chosen in sets)


def _set_key(
    problem: Problem, chosen: tuple[Location, ...]
) -> tuple[int, int, int, tuple[str, ...]]:
    total = sum(opening(problem, x) for x in chosen)
    total += problem.market.split_penalty_minor * max(0, len(chosen) - 1)
    ceiling = problem.market.unfilled_penalty_minor
    for sku, wanted in totals(problem).items():
        held = [(x, problem.available.get(sku, {}).get(x.id, 0)) for x in chosen]
        units = [unit(x, stock - k) for x, stock in held for k in range(1, stock + 1)]
        total += sum(sorted([*units, *[ceiling] * wanted])[:wanted])
    far = sum(metres(problem, x) for x in chosen)
    return total, len(chosen), far, tuple(sorted(x.id for x in chosen))
