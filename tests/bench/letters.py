"""Letters: whole HTTP requests, signed as the channel signs, made before the clock starts."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, Literal

import msgspec

from config.clock import Clock
from handlers.sources.channel import Account, Channel
from handlers.sources.registry import open_channel
from tests.bench import bodies, goods
from tests.bench.bodies import Body

PAYMENT_EVERY: Final = 5
"""In a mixed deck one letter in so many is a payment."""
PAYMENT_LAG: Final = 600
"""An order's payment comes at least so many letters later: by then the order was answered."""
_AGENTS: Final = {goods.SHOP: "Shopify-Captain-Hook", goods.PAYMENTS: "Stripe/1.0"}
_PICKUP: Final = {"field": "code", "pattern": "pickup-(?P<place>.+)", "place": "{place}"}


class Letter(msgspec.Struct, frozen=True, gc=False):
    """What is written to a connection, and what its answer belongs to."""

    ref: str
    units: int
    wire: bytes


class Deck(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters to make; those of one deck differ from those of every other `first`."""

    first: int
    count: int
    kind: Literal["orders", "mixed", "single"] = "orders"
    sku: str = ""
    variant: int = 0


def channels() -> dict[str, Channel]:
    """Open both senders' channels, as the gateway under test has them."""
    market, options = goods.MARKET, {"pickup_match": [_PICKUP]}
    shop = Account(goods.SHOP, market, (goods.SHOP_SECRET.encode(),), options)
    secrets = (goods.PAYMENTS_SECRET.encode(),)
    payments = Account(goods.PAYMENTS, market, secrets, {"order_source": goods.SHOP})
    return {
        goods.SHOP: open_channel("shopify", shop),
        goods.PAYMENTS: open_channel("stripe", payments),
    }


def make(deck: Deck, clock: Clock) -> list[Letter]:
    """Make and sign all letters of a deck."""
    opened = channels()
    return [
        _letter(source, opened[source], body, clock) for source, body in _bodies(deck, clock.now())
    ]


def _bodies(deck: Deck, at: datetime) -> Iterable[tuple[str, Body]]:
    if deck.kind == "mixed":
        return _mixed(deck, at)
    if deck.kind == "single":
        found = bodies.single(deck.first, deck.count, at, deck.sku, deck.variant)
    else:
        found = bodies.orders(deck.first, deck.count, at)
    return ((goods.SHOP, body) for body in found)


def _mixed(deck: Deck, at: datetime) -> Iterator[tuple[str, Body]]:
    """Yield orders, and among them payments of orders well before."""
    placed = bodies.orders(deck.first, deck.count, at)
    paid = deck.first
    for index in range(deck.count):
        if index >= PAYMENT_LAG and index % PAYMENT_EVERY == 0:
            yield goods.PAYMENTS, bodies.payment(paid, at)
            paid += 1
        else:
            yield goods.SHOP, next(placed)


def _letter(source: str, channel: Channel, body: Body, clock: Clock) -> Letter:
    signed = channel.sign(body.content, body.topic, clock.now())
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    head = (
        f"POST /webhooks/{source} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: {_AGENTS[source]}\r\n"
        f"accept: */*\r\naccept-encoding: gzip\r\n{lines}content-length: {len(body.content)}\r\n\r\n"
    )
    return Letter(body.ref, body.units, head.encode() + body.content)
