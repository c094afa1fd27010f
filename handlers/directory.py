"""Who is who: sources, markets and locations, looked up by our ids and by the channels'."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from config.errors import Misconfigured
from config.ids import LocationId, MarketId, SourceId
from routing.network import Location, Market, MarketNetwork, Network, network_of


class Source(msgspec.Struct, frozen=True):
    """What the use cases know of a configured source."""

    id: SourceId
    market: MarketId
    stock_owner: frozenset[LocationId] = frozenset()


class Directory:
    """Immutable look-ups over one network and its sources."""

    def __init__(self, network: Network, sources: tuple[Source, ...]) -> None:
        """Index the network.

        Raises:
            Misconfigured: a source names a market or place that is not there, or a market a time zone.
        """
        self.network = network
        self.markets: dict[MarketId, Market] = {m.id: m for m in network.markets}
        self.locations: dict[LocationId, Location] = {p.id: p for p in network.locations}
        self._zones = {market.id: _zone(market) for market in network.markets}
        self._sources = {source.id: source for source in sources}
        self._in_market: dict[MarketId, tuple[Location, ...]] = {
            m.id: tuple(p for p in network.locations if p.market == m.id) for m in network.markets
        }
        self._external = {
            (source, name): place.id
            for place in network.locations
            for source, name in place.external.items()
        }
        for source in sources:
            self._check(source)

    def market_of(self, source: SourceId) -> MarketId:
        """Return the market whose stock a source sells; `assisted:<market>` names its own."""
        known = self._sources.get(source)
        if known:
            return known.market
        _, _, market = source.partition(":")
        return MarketId(market)

    def moment_in(self, market: MarketId, now: datetime) -> tuple[int, int]:
        """Return the day of the week (0 is Monday) and the minute of the day in a market."""
        local = now.astimezone(self._zones[market])
        return local.weekday(), local.hour * 60 + local.minute

    def places_in(self, market: MarketId) -> tuple[Location, ...]:
        """Return the locations of a market, none for an unknown one."""
        return self._in_market.get(market, ())

    def networks(self) -> list[MarketNetwork]:
        """Return each market with its locations, as decisions refer to it."""
        return [network_of(market, self.places_in(key)) for key, market in self.markets.items()]

    def location_of(self, source: SourceId, place: str) -> LocationId | None:
        """Return our location for a channel's place, which may also be our own id for it."""
        known = self._external.get((source, place))
        if known:
            return known
        own = self.locations.get(LocationId(place))
        return own.id if own and own.market == self.market_of(source) else None

    def owns_stock(self, source: SourceId, location: LocationId) -> bool:
        """Tell whether this source's counts are the truth for the location."""
        known = self._sources.get(source)
        return known is not None and location in known.stock_owner

    def _check(self, source: Source) -> None:
        if source.market not in self.markets:
            raise Misconfigured(
                f"source {source.id}: no market {source.market!r} in the network file"
            )
        if missing := source.stock_owner - set(self.locations):
            raise Misconfigured(f"source {source.id}: stock_owner names unknown {sorted(missing)}")


def _zone(market: Market) -> tzinfo:
    if market.timezone == "UTC":
        return UTC  # also where the system has no zones
    try:
        return ZoneInfo(market.timezone)
    except (ValueError, OSError, KeyError) as error:
        raise Misconfigured(
            f"market {market.id}: there is no time zone {market.timezone!r}; "
            "use a name like Europe/London (the system's tzdata has them)"
        ) from error
