"""What the benchmarks' shop sells and where it lies: 200 items on 10 places, or on 100."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import msgspec

SHOP, PAYMENTS = "shop-main", "pay-1"
SHOP_SECRET, PAYMENTS_SECRET = "bench-shop", "whsec_bench"
MARKET, CURRENCY = "uk", "GBP"
UNITS: Final = 1_000_000
"""What lies in every cell: more than any run sells, so that nothing but routing decides."""
_CITIES: Final = (
    ("S-001", "London", 51.514, -0.138),
    ("S-002", "Bristol", 51.451, -2.597),
    ("S-003", "Birmingham", 52.478, -1.899),
    ("S-004", "Manchester", 53.481, -2.238),
    ("S-005", "Leeds", 53.796, -1.543),
    ("S-006", "Edinburgh", 55.951, -3.188),
    ("W-001", "Daventry", 52.271, -1.173),
    ("W-002", "Warrington", 53.406, -2.601),
    ("W-003", "Thurrock", 51.489, 0.287),
    ("W-004", "Livingston", 55.883, -3.516),
)
PLACES: Final = tuple(name for name, *_ in _CITIES)
MORE: Final = tuple(f"S-{number}" for number in range(101, 191))
"""The stores of the wide network beside those; an item lies in three fifths of all."""
STORES: Final = tuple(name for name in PLACES if name.startswith("S"))


class Item(msgspec.Struct, frozen=True):
    """One thing for sale, where it lies, and what the shop calls it."""

    sku: str
    variant: int
    title: str
    price_minor: int
    places: tuple[str, ...]


def _items(count: int = 200) -> tuple[Item, ...]:
    chance = Random(20261123)  # noqa: S311 - every run sells the same
    return tuple(
        Item(
            sku=f"SKU-{number:04d}",
            variant=810_000_000_000 + number,
            title=f"Article {number}, as it stands on the shelf",
            price_minor=chance.randrange(299, 9999),
            places=tuple(sorted(chance.sample(PLACES, 7))),
        )
        for number in range(1, count + 1)
    )


ITEMS: Final = _items()


def network_toml(*, wide: bool = False) -> str:
    """Return the network file."""
    market = f'[[markets]]\nid = "{MARKET}"\ncurrency = "{CURRENCY}"\ntimezone = "Europe/London"\n'
    return market + "".join(_place(*city) for city in (*_CITIES, *(_around() if wide else ())))


def _around() -> Iterator[tuple[str, str, float, float]]:
    """Yield the stores of the wide network, around the cities."""
    chance = Random(20261127)  # noqa: S311 - every run has the same
    for number, name in enumerate(MORE):
        _, city, latitude, longitude = _CITIES[number % len(_CITIES)]
        north, east = chance.uniform(-0.4, 0.4), chance.uniform(-0.4, 0.4)
        yield name, city, round(latitude + north, 3), round(longitude + east, 3)


def _place(name: str, city: str, latitude: float, longitude: float) -> str:
    store = name.startswith("S")
    costs = (420, 85, 0.4, 0.02, 200) if store else (310, 35, 0.5, 0.005, 0)
    parcel, pick, per_km, reject, scarcity = costs
    return f"""[[locations]]
id = "{name}"
kind = "{"store" if store else "warehouse"}"
market = "{MARKET}"
name = "{city}"
latitude = {latitude}
longitude = {longitude}
pickup = {str(store).lower()}
parcel_cost_minor = {parcel}
parcel_cost_per_km_minor = {per_km}
pick_cost_minor = {pick}
reject_probability = {reject}
scarcity_cost_minor = {scarcity}
cut_off = "16:00"
external = {{ "{SHOP}" = "{name}" }}
"""


def configuration(network: str, engines: dict[str, Any]) -> str:
    """Return `imv.toml`: the network, one shop, one payment provider, engines where given."""
    lines = "".join(f"{n} = {msgspec.json.encode(v).decode()}\n" for n, v in engines.items())
    return f"""[engines]
{lines}[network]
file = "{network}"
[[sources]]
id = "{SHOP}"
provider = "shopify"
market = "{MARKET}"
secrets = ["plain:{SHOP_SECRET}"]
[[sources.options.pickup_match]]
field = "code"
pattern = "pickup-(?P<place>.+)"
place = "{{place}}"
[[sources]]
id = "{PAYMENTS}"
provider = "stripe"
market = "{MARKET}"
secrets = ["plain:{PAYMENTS_SECRET}"]
[sources.options]
order_source = "{SHOP}"
"""


def catalog_rows() -> list[dict[str, Any]]:
    """Return the body of a catalog import."""
    return [
        {
            "sku": item.sku,
            "title": item.title,
            "price_minor": item.price_minor,
            "currency": CURRENCY,
            "cost_minor": item.price_minor // 2,
            "weight_g": 400,
            "tax_category": "standard",
            "external": [[SHOP, str(item.variant)]],
        }
        for item in ITEMS
    ]


def stock_rows(*, wide: bool = False) -> list[dict[str, Any]]:
    """Return the body of a stock import."""
    chance = Random(20261127)  # noqa: S311 - every run has the same
    return [
        {"sku": item.sku, "location": place, "on_hand": UNITS, "safety_stock": 2}
        for item in ITEMS
        for place in (*item.places, *(chance.sample(MORE, 53) if wide else ()))
    ]
