"""The records that the store keeps: frozen values, whole when they travel.

What stands in these records is published to consumers and screens: no personal data beyond
`customer_label` (first name and initial).
"""

from datetime import datetime
from typing import Literal

import msgspec

from config.ids import (
    ExceptionId,
    FulfilmentId,
    HoldId,
    LineId,
    LocationId,
    MarketId,
    MessageId,
    OperationId,
    OrderId,
    Sku,
    SourceId,
)
from routing.sourcing.problem import RoutePlan

OrderState = Literal[
    "captured",
    "validating",
    "accepted",
    "held",
    "rejected",
    "routed",
    "in_fulfilment",
    "partly_fulfilled",
    "fulfilled",
    "cancelled",
    "closing",
    "closed",
    "reopened",
]
FulfilmentState = Literal[
    "assigned",
    "acknowledged",
    "picking",
    "picked",
    "staged",
    "ready",
    "collected",
    "packed",
    "handed_off",
    "in_transit",
    "delivered",
    "rejected",
    "cancelled",
]
Method = Literal["ship", "pickup", "handed_over", "digital"]


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every record shares: immutable and strict."""


class OrderLine(_Record, frozen=True, kw_only=True):
    """One line with its quantity ledger (design: domain 2.1); `sku` is empty while unmapped."""

    id: LineId
    line_ref: str
    item: str
    channel_sku: str = ""
    sku: Sku
    title: str = ""
    unit_price_minor: int = 0
    tax_minor: int = 0
    discount_minor: int = 0
    requires_shipping: bool = True
    ordered: int
    cancelled: int = 0
    allocated: int = 0
    picked: int = 0
    handed_off: int = 0
    delivered: int = 0
    short: int = 0
    refunded: int = 0

    @property
    def unassigned(self) -> int:
        """Return the units that no location provides yet."""
        return self.ordered - self.cancelled - self.allocated - self.handed_off - self.short

    @property
    def open(self) -> int:
        """Return the units that are neither cancelled nor with the customer."""
        return self.ordered - self.cancelled - self.handed_off


class Tender(_Record, frozen=True, kw_only=True):
    """One instrument's part of the payment; amounts in minor units."""

    id: str
    source: SourceId
    payment_ref: str
    order_id: OrderId
    state: str
    currency: str
    authorised_minor: int = 0
    captured_minor: int = 0
    parts: tuple[tuple[str, int], ...] = ()
    """Captures that were told one by one: the id and the amount of each."""
    version: int = 0
    source_version: int = 0


class Refund(_Record, frozen=True, kw_only=True):
    """Money that went back, or is on its way; amounts in minor units."""

    id: str
    source: SourceId
    refund_ref: str
    payment_ref: str = ""
    order_id: OrderId
    state: str
    amount_minor: int
    currency: str
    version: int = 0
    source_version: int = 0


class Cut(_Record, frozen=True):
    """Units cancelled by a fact apart from the order: versions of it that are older still have them."""

    version: int
    line_ref: str
    units: int


class Order(_Record, frozen=True, kw_only=True):
    """One record for every channel. `version` counts its published events."""

    id: OrderId
    source: SourceId
    external_id: str
    number: str
    market: MarketId
    state: OrderState
    version: int
    source_version: int
    currency: str
    placed_at: datetime
    captured_at: datetime
    updated_at: datetime
    method: Method
    location: LocationId | None = None
    """Where the customer collects or bought; None for shipped orders."""
    country: str = ""
    destination: tuple[float, float] | None = None
    promise_latest: datetime | None = None
    lines: tuple[OrderLine, ...]
    tenders: tuple[Tender, ...] = ()
    refunds: tuple[Refund, ...] = ()
    cuts: tuple[Cut, ...] = ()
    """Those that are newer than `source_version`."""
    total_minor: int = 0
    tax_minor: int = 0
    shipping_minor: int = 0
    tax_included: bool = False
    customer_label: str = ""
    hold_reasons: tuple[str, ...] = ()
    reservation: OperationId | None = None
    hold_id: HoldId | None = None


class HistoryEntry(_Record, frozen=True):
    """One step of an order's life, for its timeline."""

    at: datetime
    event: str
    by: str
    version: int
    detail: str = ""


class FulfilmentLine(_Record, frozen=True, kw_only=True):
    """Units of one order line in one group."""

    line_id: LineId
    sku: Sku
    title: str = ""
    quantity: int
    short: int = 0


class Fulfilment(_Record, frozen=True, kw_only=True):
    """Lines of one order at one location by one method; a row of the pickup screen."""

    id: FulfilmentId
    order_id: OrderId
    order_number: str
    source: SourceId
    market: MarketId
    location: LocationId
    method: Method
    state: FulfilmentState
    version: int
    lines: tuple[FulfilmentLine, ...]
    created_at: datetime
    updated_at: datetime
    promise_latest: datetime | None = None
    customer_label: str = ""
    tracking: str = ""
    reported_as: str = ""
    """What a channel or carrier calls these goods, once it has told of them: its source and id."""
    reason: str = ""


CLOSED_STATES: frozenset[str] = frozenset(
    {"collected", "handed_off", "in_transit", "delivered", "rejected", "cancelled"}
)


class HoldLine(_Record, frozen=True):
    """Units held at a location."""

    sku: Sku
    location: LocationId
    quantity: int


class Hold(_Record, frozen=True, kw_only=True):
    """Stock kept for somebody until it expires, or until an order confirms it."""

    id: HoldId
    market: MarketId
    state: Literal["held", "confirmed", "released", "expired"]
    owner: str
    lines: tuple[HoldLine, ...]
    created_at: datetime
    expires_at: datetime
    epoch: str
    order_id: OrderId | None = None
    plan: RoutePlan | None = None
    """Why its stock is kept where it is; an order that confirms the hold takes it over."""


class ExceptionRecord(_Record, frozen=True, kw_only=True):
    """A work item: what happened (facts), since when, and who owns the next step."""

    id: ExceptionId
    code: str
    subject: str
    state: Literal["open", "assigned", "resolved", "superseded"]
    owner: str
    version: int
    opened_at: datetime
    updated_at: datetime
    what: dict[str, str | int | list[str]]
    order_id: OrderId | None = None
    location: LocationId | None = None


class MessageNotice(_Record, frozen=True, kw_only=True):
    """What happened to a message itself, without its content."""

    id: MessageId
    version: int
    source: SourceId
    key: str
    topic: str
    reason: str


class InventoryLevel(_Record, frozen=True, kw_only=True):
    """The stock of one SKU at one location after a change, in units, and why it has changed.

    `version` counts the events about this level. `reason`: a `count` by the source that owns the
    location's stock, an `import`, a `short_pick`; of an oversold level, in what way it is that.
    """

    id: str
    version: int
    sku: Sku
    location: LocationId
    market: MarketId
    on_hand: int
    unavailable: int
    safety: int
    held: int
    allocated: int
    available: int
    """What may still be promised; negative when more was promised than is there."""
    reason: Literal["count", "import", "short_pick", "oversold", "negative_on_hand"]
    source: str
    updated_at: datetime


class AvailableUnits(_Record, frozen=True):
    """What may still be promised at a location; negative when more was promised than is there."""

    location: LocationId
    available: int


class Availability(_Record, frozen=True, kw_only=True):
    """What may still be promised of a SKU at every location of a market that stocks it.

    `version` counts the events about this SKU's availability in this market.
    """

    id: str
    version: int
    sku: Sku
    market: MarketId
    locations: tuple[AvailableUnits, ...]
    updated_at: datetime


class Restoration(_Record, frozen=True, kw_only=True):
    """The database went back to a backup: versions that were seen before may come again."""

    id: str
    version: int
    at: datetime


class CatalogItem(_Record, frozen=True, kw_only=True):
    """One sellable item; money in minor units, weight in grams."""

    sku: Sku
    title: str = ""
    price_minor: int | None = None
    currency: str = ""
    cost_minor: int | None = None
    weight_g: int | None = None
    tax_category: str = ""
    external: tuple[tuple[str, str], ...] = ()


class Level(_Record, frozen=True, kw_only=True):
    """The stock of one SKU at one location, in units."""

    sku: Sku
    location: LocationId
    on_hand: int = 0
    unavailable: int = 0
    safety: int = 0
    held: int = 0
    allocated: int = 0
    incoming: int = 0
    counted_version: int = 0

    @property
    def available(self) -> int:
        """Return what may still be promised; negative when more was promised than is there."""
        return self.on_hand - self.unavailable - self.safety - self.held - self.allocated
