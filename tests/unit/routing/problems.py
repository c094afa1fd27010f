"""Problems for the routing tests: by hand, and by Hypothesis."""

from typing import Any

from hypothesis import strategies as st

from config.ids import LocationId, MarketId, Sku
from routing.network import Location, Market
from routing.sourcing.problem import Demand, Problem

MARKET = Market(id=MarketId("eu"), currency="EUR")


def place(name: str, **fields: Any) -> Location:
    defaults: dict[str, Any] = {"latitude": 48.0, "longitude": 11.0, "pickup": True}
    return Location(
        id=LocationId(name), kind="store", market=MARKET.id, name=name, **{**defaults, **fields}
    )


def line(sku: str, quantity: int = 1, line_id: str = "") -> Demand:
    return Demand(line_id=line_id or f"line-{sku}", sku=Sku(sku), quantity=quantity)


def stock(**skus: dict[str, int]) -> dict[Sku, dict[LocationId, int]]:
    return {
        Sku(sku): {LocationId(name): units for name, units in held.items()}
        for sku, held in skus.items()
    }


def order(
    locations: list[Location],
    available: dict[Sku, dict[LocationId, int]],
    *demands: Demand,
    **fields: Any,
) -> Problem:
    defaults: dict[str, Any] = {"market": MARKET, "destination": (48.0, 11.0)}
    return Problem(
        locations=tuple(locations),
        available=available,
        demands=demands,
        **{**defaults, **fields},
    )


_money = st.sampled_from([0, 10, 50, 70, 300, 500, 501, 900])


@st.composite
def _location(draw: st.DrawFn, name: str) -> Location:
    return place(
        name,
        latitude=draw(st.sampled_from([47.0, 48.0, 48.5, 52.0])),
        longitude=draw(st.sampled_from([11.0, 13.0])),
        pickup=draw(st.sampled_from([True, True, False])),
        ship=draw(st.sampled_from([True, True, True, False])),
        parcel_cost_minor=draw(_money),
        pick_cost_minor=draw(_money),
        reject_probability=draw(st.sampled_from([0.0, 0.1, 0.25])),
        scarcity_cost_minor=draw(_money),
        scarcity_units=draw(st.integers(1, 4)),
        return_risk_cost_minor=draw(st.sampled_from([0, 0, 7])),
        handling_hours=draw(st.sampled_from([1.0, 30.0])),
        capacity_units_per_hour=draw(st.sampled_from([None, None, 2, 0])),
        opening_hours=draw(st.sampled_from([{}, {}, {"tue": ("09:00", "17:00")}])),
        cut_off=draw(st.sampled_from([None, None, "12:00"])),
    )


@st.composite
def problems(draw: st.DrawFn, locations_max: int = 4, stock_max: int = 3) -> Problem:
    """Tiny problems in which every rule can matter: up to 3 lines of up to 2 SKUs."""
    names = [f"p{i}" for i in range(draw(st.integers(0, locations_max)))]
    locations = [draw(_location(name)) for name in draw(st.permutations(names))]
    skus = [Sku("a"), Sku("b")]
    units = st.integers(-1, stock_max)
    cells = st.dictionaries(st.sampled_from(names), units) if names else st.just({})
    demands = draw(
        st.lists(st.tuples(st.sampled_from(skus), st.integers(1, 2)), min_size=0, max_size=3)
    )
    market = Market(
        id=MARKET.id,
        currency="EUR",
        unfilled_penalty_minor=draw(st.sampled_from([0, 60, 600, 20_000])),
        split_penalty_minor=draw(st.sampled_from([0, 150])),
    )
    some = st.lists(st.sampled_from(names), max_size=2) if names else st.just([])
    return Problem(
        market=market,
        locations=tuple(locations),
        available={sku: {LocationId(k): v for k, v in draw(cells).items()} for sku in skus},
        demands=tuple(Demand(f"line{i}", sku, n) for i, (sku, n) in enumerate(demands)),
        method=draw(st.sampled_from(["ship", "ship", "pickup"])),
        destination=draw(st.sampled_from([None, (48.0, 11.0), (50.0, 12.0)])),
        only=tuple(LocationId(x) for x in draw(st.one_of(st.just([]), some))),
        excluded=tuple(LocationId(x) for x in draw(st.one_of(st.just([]), some))),
        hours_left=draw(st.sampled_from([None, None, 2.0, 24.0])),
        moment=draw(st.sampled_from([None, (0, 600), (1, 8 * 60 + 30), (1, 12 * 60), (1, 1_439)])),
    )


@st.composite
def crowded(draw: st.DrawFn) -> Problem:
    """Up to 7 places with few different prices and thin stock: many ties and several parcels."""
    names = [f"p{i}" for i in range(draw(st.integers(1, 7)))]
    prices = st.sampled_from([0, 100, 100, 200])
    locations = [
        place(
            name,
            latitude=draw(st.sampled_from([48.0, 48.0, 49.0])),
            parcel_cost_minor=draw(prices),
            pick_cost_minor=draw(prices),
            scarcity_cost_minor=draw(prices),
            scarcity_units=2,
        )
        for name in draw(st.permutations(names))
    ]
    skus = [Sku(sku) for sku in "abcd"[: draw(st.integers(1, 4))]]
    holders = st.dictionaries(
        st.sampled_from([LocationId(name) for name in names]), st.integers(1, 3), max_size=4
    )
    market = Market(
        id=MARKET.id,
        currency="EUR",
        unfilled_penalty_minor=draw(st.sampled_from([350, 20_000])),
        split_penalty_minor=draw(st.sampled_from([0, 100])),
    )
    return Problem(
        market=market,
        locations=tuple(locations),
        available={sku: draw(holders) for sku in skus},
        demands=tuple(line(sku, draw(st.sampled_from([1, 1, 2, 4]))) for sku in skus),
        destination=draw(st.sampled_from([None, (48.0, 11.0)])),
    )
