"""The network: markets and the locations that hold stock, as `network.toml` describes them."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from config.errors import Misconfigured
from config.ids import LocationId, MarketId

Kind = Literal["store", "warehouse", "vendor", "virtual"]
Minor = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class Market(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one currency, one time zone and one stock gate hold; orders never cross markets."""

    id: MarketId
    currency: str
    timezone: str = "UTC"
    unfilled_penalty_minor: Minor = 20_000
    """Cost of one unit that no location can fill; above any sensible way to fill it."""
    split_penalty_minor: Minor = 150
    """Cost of each parcel after the first."""
    late_penalty_minor: Minor = 1_000


class Location(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place that can hold stock. Costs in minor units of the market's currency; distance in km."""

    id: LocationId
    kind: Kind
    market: MarketId
    name: str
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    pickup: bool = False
    ship: bool = True
    transfer_to: tuple[LocationId, ...] = ()
    capacity_units_per_hour: Annotated[int, msgspec.Meta(ge=0)] | None = None
    opening_hours: dict[Day, tuple[TimeOfDay, TimeOfDay]] = {}
    """Work on orders begins while open, in the market's time; none given: always open."""
    cut_off: TimeOfDay | None = None
    """Work on a parcel that is ordered later begins at the next opening."""
    handling_hours: Annotated[float, msgspec.Meta(ge=0)] = 4.0
    transit_km_per_day: Annotated[float, msgspec.Meta(gt=0)] = 500.0
    parcel_cost_minor: Minor = 500
    parcel_cost_per_km_minor: Annotated[float, msgspec.Meta(ge=0)] = 0.4
    pick_cost_minor: Minor = 50
    reject_probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    reject_cost_minor: Minor = 600
    scarcity_cost_minor: Minor = 0
    """Opportunity cost of taking the last unit; fades as what stays behind grows."""
    scarcity_units: Annotated[int, msgspec.Meta(ge=1)] = 5
    return_risk_cost_minor: Minor = 0
    external: dict[str, str] = {}
    """What each source calls this place: source id to the channel's own id."""


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All markets and locations; ids are unique and references resolve (see `parse`)."""

    markets: tuple[Market, ...] = ()
    locations: tuple[Location, ...] = ()


_canonical = msgspec.json.Encoder(order="deterministic")


class MarketNetwork(msgspec.Struct, frozen=True):
    """One market with its locations in the order of their ids, as decisions refer to it."""

    market: Market
    locations: tuple[Location, ...]


def network_of(market: Market, locations: Iterable[Location]) -> MarketNetwork:
    """Return a market's network in its canonical form."""
    return MarketNetwork(market, tuple(sorted(locations, key=lambda location: location.id)))


def document_of(network: MarketNetwork) -> bytes:
    """Return a market's network as canonical JSON."""
    return _canonical.encode(network)


def digest_of(network: MarketNetwork) -> str:
    """Return SHA-256 over a market's network; the same costs and places have the same digest."""
    return hashlib.sha256(document_of(network)).hexdigest()


def parse(text: str) -> Network:
    """Decode `network.toml` strictly and check that it fits together.

    Raises:
        Misconfigured: not TOML, an unknown key, an id used twice, or a reference to nothing.
    """
    try:
        network = msgspec.toml.decode(text, type=Network)
    except msgspec.DecodeError as error:
        raise Misconfigured(f"network file: {error}") from error
    markets = {market.id for market in network.markets}
    places = [location.id for location in network.locations]
    if len(markets) < len(network.markets) or len(set(places)) < len(places):
        raise Misconfigured("network file: a market or location id is used twice")
    names: set[tuple[str, str]] = set()
    for location in network.locations:
        if location.market not in markets:
            raise Misconfigured(f"network file: {location.id} names no market {location.market!r}")
        if missing := set(location.transfer_to) - set(places):
            raise Misconfigured(f"network file: {location.id} transfers to unknown {missing}")
        if taken := names & set(location.external.items()):
            raise Misconfigured(f"network file: {taken} stands for two locations")
        names |= set(location.external.items())
    return network
