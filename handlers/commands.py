"""Canonical commands: what any channel or person can ask of the order spine.

A channel's adapter turns its own message into these; Standard Webhooks carry them as they are.
Fields named `*_ref`, `item` and `place` hold the sender's own ids, which the use cases map to ours.
Amounts are integers in minor units; versions rise with time at one source (microseconds since the
epoch for channels that have only a time).
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from config.errors import Unreadable
from config.limits import AMOUNT_MINOR_MAX, ORDER_LINES_MAX, QUANTITY_MAX

Ref = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Text = Annotated[str, msgspec.Meta(max_length=500)]
Amount = Annotated[int, msgspec.Meta(ge=-AMOUNT_MINOR_MAX, le=AMOUNT_MINOR_MAX)]
Quantity = Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]
Signed = Annotated[int, msgspec.Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]
Version = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$")]


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all parts of a command share: immutable and strict."""


class OrderKey(_Value, frozen=True, kw_only=True):
    """How a message names an order: the source that owns the order, and that source's id for it."""

    source: Ref
    ref: Ref


class LineAsked(_Value, frozen=True, kw_only=True):
    """One line as the channel sold it; `item` and `sku` are the channel's, either may be empty."""

    line_ref: Ref
    item: Text = ""
    sku: Text = ""
    title: Text = ""
    quantity: Quantity
    unit_price_minor: Amount = 0
    tax_minor: Amount = 0
    discount_minor: Amount = 0
    requires_shipping: bool = True


class Delivery(_Value, frozen=True, kw_only=True):
    """What was promised: `handed_over` is a counter sale that is already in the customer's hands."""

    method: Literal["ship", "pickup", "handed_over", "digital"] = "ship"
    place: Text = ""
    """The channel's id of the place, or a location id of ours; pickup and handed_over need it."""
    country: Text = ""
    postcode: Text = ""
    latitude: float | None = None
    longitude: float | None = None
    latest: datetime | None = None


class LineQuantity(_Value, frozen=True, kw_only=True):
    """So many units of one line."""

    line_ref: Ref
    quantity: Quantity


class PlaceOrder(_Value, tag_field="command", tag="order.placed", frozen=True, kw_only=True):
    """The whole order as the channel knows it now; newer versions of it amend the record."""

    order: OrderKey
    version: Version
    number: Text = ""
    placed_at: datetime
    currency: Currency
    lines: Annotated[tuple[LineAsked, ...], msgspec.Meta(max_length=ORDER_LINES_MAX)]
    delivery: Delivery = Delivery()
    total_minor: Amount = 0
    tax_minor: Amount = 0
    shipping_minor: Amount = 0
    tax_included: bool = False
    cancelled: bool = False
    customer_label: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """First name and initial at most; shown on staff screens."""
    hold_id: Text = ""
    """A hold of ours (`POST /v1/holds`) that this order confirms."""

    def __post_init__(self) -> None:
        """Refuse two lines under one reference: nobody could say which one a change is about.

        Raises:
            Unreadable: a `line_ref` stands twice.
        """
        if len({line.line_ref for line in self.lines}) < len(self.lines):
            raise Unreadable("two lines have the same line_ref; give each line its own")


class CancelOrder(_Value, tag_field="command", tag="order.cancelled", frozen=True, kw_only=True):
    """Cancel these units, or everything that is still open when `lines` is empty."""

    order: OrderKey
    version: Version = 0
    reason: Text = ""
    lines: tuple[LineQuantity, ...] = ()


class RecordPayment(_Value, tag_field="command", tag="payment", frozen=True, kw_only=True):
    """What a payment became. `order` may be absent: then `payment_ref` joins it to what is known."""

    state: Literal["authorised", "captured", "failed", "voided", "disputed"]
    payment_ref: Ref
    order: OrderKey | None = None
    amount_minor: Amount
    """The total so far in this state, not the change."""
    currency: Currency
    version: Version = 0
    part_ref: Text = ""
    """One of several captures that add up, by its own id: the amount is then this part's alone."""


class RefundLine(_Value, frozen=True, kw_only=True):
    """Units of a line that a refund covers; `cancel` units were never shipped and go back on sale."""

    line_ref: Ref
    quantity: Quantity
    restock: Literal["none", "cancel", "return"] = "none"


class RecordRefund(_Value, tag_field="command", tag="refund.issued", frozen=True, kw_only=True):
    """Money went back (or is on its way)."""

    refund_ref: Ref
    payment_ref: Text = ""
    order: OrderKey | None = None
    state: Literal["pending", "succeeded", "failed"] = "succeeded"
    amount_minor: Amount
    currency: Currency
    version: Version = 0
    lines: tuple[RefundLine, ...] = ()


class Count(_Value, frozen=True, kw_only=True):
    """One level. `available` is what the channel would still sell; `on_hand` is what is there."""

    item: Text = ""
    sku: Text = ""
    place: Ref
    meaning: Literal["available", "on_hand"] = "on_hand"
    quantity: Signed
    version: Version


class CountStock(_Value, tag_field="command", tag="stock.counted", frozen=True, kw_only=True):
    """Absolute stock levels as a source sees them."""

    counts: Annotated[tuple[Count, ...], msgspec.Meta(max_length=1000)]


class ReportFulfilment(
    _Value, tag_field="command", tag="fulfilment.changed", frozen=True, kw_only=True
):
    """A channel or carrier says what happened to goods; empty `lines` means the whole order."""

    order: OrderKey
    fulfilment_ref: Ref
    state: Literal[
        "open", "ready", "handed_off", "in_transit", "delivered", "collected", "cancelled"
    ]
    version: Version = 0
    place: Text = ""
    lines: tuple[LineQuantity, ...] = ()
    tracking: Text = ""


class FetchOrder(_Value, tag_field="command", tag="order.fetch", frozen=True, kw_only=True):
    """A thin notification: the order must be read from the platform (see the `OrderSource` port)."""

    order: OrderKey
    version: Version = 0
    """The order's version that it tells of, as the order itself has it; 0 where it tells none."""


class Ignore(_Value, tag_field="command", tag="ignore", frozen=True, kw_only=True):
    """Understood, and nothing for us in it; the reason is for people."""

    reason: Text


class Suspect(_Value, tag_field="command", tag="suspect", frozen=True, kw_only=True):
    """Genuine, but not understood; kept in quarantine with its reason."""

    reason: Text


Command = (
    PlaceOrder
    | CancelOrder
    | RecordPayment
    | RecordRefund
    | CountStock
    | ReportFulfilment
    | FetchOrder
    | Ignore
    | Suspect
)
