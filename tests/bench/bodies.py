"""Realistic webhooks: Shopify orders of 1 to 5 lines, and Stripe payments of them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from random import Random
from typing import Any, Final

import msgspec

from config.clock import iso
from tests.bench.goods import CURRENCY, ITEMS, STORES, Item

_LINES: Final = tuple(accumulate((30, 28, 22, 12, 8)))
_TOWNS: Final = (
    ("SW11 4AA", 51.465, -0.163),
    ("BS3 1BB", 51.438, -2.605),
    ("OX4 2CC", 51.732, -1.220),
    ("B13 8DD", 52.438, -1.888),
    ("M20 3EE", 53.427, -2.230),
    ("LS6 2FF", 53.820, -1.567),
    ("NE2 1GG", 54.990, -1.605),
    ("EH6 7HH", 55.970, -3.172),
)
_NAMES: Final = ("Sam", "Alex", "Robin", "Kim", "Jo", "Noor", "Ash", "Lee", "Mika", "Quinn")
_PICKUP_PART: Final = 0.1
Bought = tuple[Item, int]


class Body(msgspec.Struct, frozen=True):
    """A webhook before it is signed; `units` is what an order asks for."""

    topic: str
    ref: str
    units: int
    content: bytes


def orders(first: int, count: int, at: datetime, items: Sequence[Item] = ITEMS) -> Iterator[Body]:
    """Yield different orders; the same numbers are the same orders in every run."""
    chance = Random(first)  # noqa: S311 - a benchmark repeats itself
    for number in range(first, first + count):
        lines = chance.choices((1, 2, 3, 4, 5), cum_weights=_LINES)[0]
        bought = [
            (item, chance.choice((1, 1, 1, 2)))
            for item in chance.sample(items, min(lines, len(items)))
        ]
        units = sum(quantity for _, quantity in bought)
        content = msgspec.json.encode(_order(number, bought, at, chance))
        yield Body("orders/create", str(number), units, content)


def single(first: int, count: int, at: datetime, sku: str, variant: int) -> Iterator[Body]:
    """Yield orders that all want one unit of the same thing."""
    chance = Random(first)  # noqa: S311 - a benchmark repeats itself
    item = Item(sku, variant, "The one that everybody wants", 4999, ())
    for number in range(first, first + count):
        content = msgspec.json.encode(_order(number, [(item, 1)], at, chance))
        yield Body("orders/create", str(number), 1, content)


def payment(number: int, at: datetime) -> Body:
    """Return Stripe's word that an order was paid, in the shape of its API."""
    intent = {
        "id": f"pi_{number}",
        "object": "payment_intent",
        "amount": 4999,
        "amount_capturable": 0,
        "amount_received": 4999,
        "capture_method": "automatic_async",
        "client_secret": f"pi_{number}_secret_bench",
        "confirmation_method": "automatic",
        "created": int(at.timestamp()),
        "currency": CURRENCY.lower(),
        "latest_charge": f"ch_{number}",
        "livemode": False,
        "metadata": {"order_id": str(number)},
        "payment_method_types": ["card"],
        "status": "succeeded",
    }
    event = {
        "id": f"evt_{number}",
        "object": "event",
        "api_version": "2026-02-25",
        "type": "payment_intent.succeeded",
        "created": int(at.timestamp()),
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": intent},
    }
    return Body("payment_intent.succeeded", f"pi_{number}", 0, msgspec.json.encode(event))


def _order(number: int, bought: Sequence[Bought], at: datetime, chance: Random) -> dict[str, Any]:
    goods = sum(item.price_minor * quantity for item, quantity in bought)
    holding = [store for store in STORES if all(store in item.places for item, _ in bought)]
    pickup = bool(holding) and chance.random() < _PICKUP_PART
    name = chance.choice(_NAMES)
    code = f"pickup-{chance.choice(holding)}" if pickup else "standard"
    return {
        "id": number,
        "admin_graphql_api_id": f"gid://shopify/Order/{number}",
        "name": f"#{number % 10_000_000}",
        "created_at": iso(at),
        "updated_at": iso(at),
        "processed_at": iso(at),
        "cancelled_at": None,
        "currency": CURRENCY,
        "presentment_currency": CURRENCY,
        "financial_status": "paid",
        "fulfillment_status": None,
        "location_id": None,
        "source_name": "web",
        "tags": "",
        "test": False,
        "taxes_included": True,
        "subtotal_price": _decimal(goods),
        "total_discounts": "0.00",
        "total_price": _decimal(goods + 395),
        "current_total_price": _decimal(goods + 395),
        "total_tax": _decimal(goods // 6),
        "current_total_tax": _decimal(goods // 6),
        "note_attributes": [],
        "customer": {"id": number + 7, "first_name": name, "last_name": "B.", "state": "enabled"},
        "shipping_address": None if pickup else _address(name, chance),
        "shipping_lines": [
            {"id": number + 9, "code": code, "title": code, "source": "shopify", "price": "3.95"}
        ],
        "line_items": [_line(number, n, *one) for n, one in enumerate(bought)],
    }


def _address(name: str, chance: Random) -> dict[str, Any]:
    postcode, latitude, longitude = chance.choice(_TOWNS)
    return {
        "first_name": name,
        "last_name": "B.",
        "country_code": "GB",
        "zip": postcode,
        "latitude": latitude,
        "longitude": longitude,
    }


def _line(number: int, index: int, item: Item, quantity: int) -> dict[str, Any]:
    tax = _decimal(item.price_minor * quantity // 6)
    return {
        "id": number * 10 + index,
        "variant_id": item.variant,
        "product_id": item.variant - 1_000_000_000,
        "sku": item.sku,
        "title": item.title,
        "quantity": quantity,
        "current_quantity": quantity,
        "fulfillable_quantity": quantity,
        "grams": 400,
        "price": _decimal(item.price_minor),
        "price_set": {
            "shop_money": {"amount": _decimal(item.price_minor), "currency_code": CURRENCY}
        },
        "requires_shipping": True,
        "taxable": True,
        "total_discount": "0.00",
        "tax_lines": [{"title": "VAT", "price": tax, "rate": 0.2}],
        "discount_allocations": [],
    }


def _decimal(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"
