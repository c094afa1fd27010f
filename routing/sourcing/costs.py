"""What opening a location costs and what each unit from it costs, in whole minor units.

Per location opened (fixed): `parcel`, `distance` (great circle, km times price), `late` (opening
hours, cut-off, handling and transit break the promise) or `capacity` (picking at the hourly capacity
breaks it), `reject_risk` (a location refuses a parcel as a whole, so the expected re-route is paid
once). Per unit: `pick`, `return_risk` and `scarcity`. Per plan: `split` for each parcel after the
first, `unfilled` for each unit not provided. Every term is rounded by itself, half up (`rounded`), so
that a total is exactly the sum of its terms.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import asin, cos, dist, radians, sin
from typing import Final, NamedTuple

from routing.network import Location

EARTH_DIAMETER_M: Final = 2 * 6_371_008.8
_HALF: Final = 0.5 - 1e-13
"""Half a chord, a hair less, so that antipodes never leave the domain of asin."""
HOURS_PER_DAY: Final = 24.0
SCARCITY_BANDS_MAX: Final = 16
Spot = tuple[float, float, float]
Step = tuple[int, int]


class Tariff(NamedTuple):
    """Prices of units from one location, in minor units.

    `unit` is paid for each; `scarcity` is the surcharge of the last unit, which fades over
    `fade_units` left behind (0 without scarcity). Above `ceiling` a unit is better left unfilled.
    """

    unit: int
    scarcity: int
    fade_units: int
    ceiling: int


class Offer(NamedTuple):
    """What one location can do about one SKU: units and their prices in minor units.

    `steps` are (price of a unit, units) with rising prices, `units` their sum, at most the units
    wanted. `first` is the lowest price (the ceiling without stock), `alone` the cost of the whole
    wish with the ceiling paid for what is missing, `whole` whether one price covers all of it.
    """

    units: int
    first: int
    last: int
    alone: int
    whole: bool
    steps: tuple[Step, ...]


def rounded(amount: float) -> int:
    """Round an amount that is not negative half up to a whole number."""
    return int(amount + 0.5)


def spot_of(latitude: float, longitude: float) -> Spot:
    """Return the point on the unit sphere; degrees in."""
    phi, theta = radians(latitude), radians(longitude)
    return cos(phi) * cos(theta), cos(phi) * sin(theta), sin(phi)


def metres_from(here: Spot, spots: Iterable[Spot]) -> list[int]:
    """Return the great-circle distances in metres, from the chord (stable for near points)."""
    return [int(EARTH_DIAMETER_M * asin(_HALF * dist(here, there)) + 0.5) for there in spots]


def lateness(
    location: Location, metres: int, *, units: int, hours_left: float | None, wait: float = 0.0
) -> str:
    """Return the name of the term that breaks the promise: late, capacity, or empty for in time.

    A location is timed as if it picked the whole order, so that the price of opening it does not
    depend on what else is opened. `wait` are the hours until work can begin.
    """
    if hours_left is None:
        return ""
    transit = metres / 1000 / location.transit_km_per_day * HOURS_PER_DAY
    ready = wait + location.handling_hours + transit
    if ready > hours_left:
        return "late"
    rate = location.capacity_units_per_hour
    return "capacity" if rate is not None and ready + units / rate > hours_left else ""


def scarcity_steps(stock: int, cost: int, fade_units: int) -> list[Step]:
    """Return (surcharge, units) for taking all the stock, in the order in which it is taken.

    The unit that leaves r behind costs `cost` at r = 0, fading evenly to nothing at `fade_units`,
    in steps of one unit, or in 16 equal bands where `fade_units` is larger.
    """
    bands = min(fade_units, SCARCITY_BANDS_MAX)
    steps: list[Step] = [(0, stock - fade_units)] if stock > fade_units else []
    for band in range(bands - 1, -1, -1):
        low = -(-band * fade_units // bands)
        high = min(stock, -(-(band + 1) * fade_units // bands))
        if high > low:
            steps.append(((2 * cost * (bands - band) + bands) // (2 * bands), high - low))
    return steps


@lru_cache(maxsize=16_384)
def offer(stock: int, wanted: int, tariff: Tariff) -> Offer:
    """Return the offer of one cell.

    Units dearer than the ceiling (the price of leaving a unit unfilled) are not offered. The prices
    rise with the quantity, so taking the cheapest units first is an optimal fill.
    """
    unit, cost, fade_units, ceiling = tariff
    surcharges = scarcity_steps(stock, cost, fade_units) if cost else [(0, stock)]
    left, steps = wanted, []
    for surcharge, units in surcharges:
        taken = min(left, units)
        if taken > 0 and unit + surcharge <= ceiling:
            steps.append((unit + surcharge, taken))
            left -= taken
    units = wanted - left
    alone = sum(price * count for price, count in steps) + left * ceiling
    first, last = (steps[0][0], steps[-1][0]) if steps else (ceiling, ceiling)
    return Offer(units, first, last, alone, len(steps) == 1 and left == 0, tuple(steps))
