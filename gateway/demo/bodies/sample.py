"""What a sample webhook is, and what all of them share."""

from typing import Final

import msgspec

from config.ids import SourceId
from gateway.demo.purchases import Purchase

SHOP: Final = SourceId("shop-main")
TILL: Final = SourceId("pos-1")
PAYMENTS: Final = SourceId("pay-1")
MARKETPLACE: Final = SourceId("market-1")
PARTNER: Final = SourceId("partner-1")
CURRENCY: Final = "GBP"
_SHIPPING_MINOR: Final = 395
encode: Final = msgspec.json.encode


class Document(msgspec.Struct, frozen=True):
    """What the platform answers when the order behind a thin notification is read."""

    provider: str
    ref: str
    content: bytes


class Sample(msgspec.Struct, frozen=True):
    """One webhook before it is signed."""

    source: SourceId
    topic: str
    body: bytes
    document: Document | None = None


def shipping_minor(purchase: Purchase) -> int:
    """Return what sending costs the buyer."""
    return 0 if purchase.place else _SHIPPING_MINOR


def decimal(minor: int) -> str:
    """Return an amount as a decimal text."""
    return f"{minor // 100}.{minor % 100:02d}"
