"""Step 1: which locations may take part, and who is left out for which reason."""

from functools import lru_cache

import msgspec

from config.ids import LocationId, MarketId
from routing.network import Location, Market, digest_of, network_of
from routing.sourcing.costs import Spot, Tariff, rounded, spot_of
from routing.sourcing.opening import Week, week_of
from routing.sourcing.problem import Method, Problem


class Site(msgspec.Struct, frozen=True):
    """An eligible location with everything that does not change from order to order."""

    location: Location
    spot: Spot
    opening: int
    reject_risk: int
    metre_price: float
    tariff: Tariff
    week: Week


class Roster(msgspec.Struct, frozen=True):
    """The locations that a market and a method allow, in the order of their ids, column by column.

    `digest` is that of the market with all its locations, eligible or not. `openings` are parcel and
    reject risk, `units` the price of a unit without scarcity.
    """

    sites: tuple[Site, ...]
    ids: tuple[LocationId, ...]
    spots: tuple[Spot, ...]
    openings: tuple[int, ...]
    units: tuple[int, ...]
    metre_prices: tuple[float, ...]
    ineligible: tuple[LocationId, ...]
    digest: str


class _Same:
    """A key that is equal only to itself: the very same tuple of locations."""

    __slots__ = ("locations",)

    def __init__(self, locations: tuple[Location, ...]) -> None:
        self.locations = locations

    def __hash__(self) -> int:
        return id(self.locations)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.locations is other.locations


def roster_of(problem: Problem) -> Roster:
    """Return the roster; the same tuple of locations (the network's own) is surveyed only once."""
    return _surveyed(_Same(problem.locations), problem.market, problem.method)


def barred(problem: Problem) -> frozenset[LocationId]:
    """Return the locations that this order rules out: they said no, or are not in `only`."""
    outside = (x.id for x in problem.locations if x.id not in problem.only) if problem.only else ()
    return frozenset((*problem.excluded, *outside))


@lru_cache(maxsize=16)
def _surveyed(key: _Same, market: Market, method: Method) -> Roster:
    network = network_of(market, key.locations)
    locations = network.locations
    able = [x for x in locations if may_serve(x, market.id, method)]
    ceiling = market.unfilled_penalty_minor
    sites = tuple(_site(location, method, ceiling) for location in able)
    return Roster(
        sites=sites,
        ids=tuple(location.id for location in able),
        spots=tuple(site.spot for site in sites),
        openings=tuple(site.opening + site.reject_risk for site in sites),
        units=tuple(site.tariff.unit for site in sites),
        metre_prices=tuple(site.metre_price for site in sites),
        ineligible=tuple(x.id for x in locations if not may_serve(x, market.id, method)),
        digest=digest_of(network),
    )


def may_serve(location: Location, market: MarketId, method: str) -> bool:
    """Tell whether a location takes orders of a market by a method at all."""
    does = location.pickup if method == "pickup" else location.ship
    return does and location.market == market and location.capacity_units_per_hour != 0


def _site(location: Location, method: str, ceiling: int) -> Site:
    """Fix the prices; a customer who collects needs no parcel and no distance."""
    ships = method == "ship"
    return Site(
        location=location,
        spot=spot_of(location.latitude, location.longitude),
        opening=location.parcel_cost_minor if ships else 0,
        reject_risk=rounded(location.reject_probability * location.reject_cost_minor),
        metre_price=location.parcel_cost_per_km_minor / 1000 if ships else 0.0,
        week=week_of(location, method),
        tariff=Tariff(
            unit=location.pick_cost_minor + location.return_risk_cost_minor,
            scarcity=location.scarcity_cost_minor,
            fade_units=location.scarcity_units if location.scarcity_cost_minor else 0,
            ceiling=ceiling,
        ),
    )
