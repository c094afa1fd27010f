"""Square's order document as a snapshot in canonical form, with what its fulfilments have reached.

Shape: square/connect-api-specification, the Orders API's RetrieveOrder answer `{"order": {…}}`.
"""

from datetime import datetime
from typing import Literal

import msgspec

from config.money import bounded, currency_code
from handlers.commands import (
    Command,
    Delivery,
    LineAsked,
    LineQuantity,
    OrderKey,
    PlaceOrder,
    ReportFulfilment,
)
from handlers.sources.channel import Decoded, read_json
from handlers.sources.times import Moment, utc
from handlers.sources.translation import (
    clipped,
    decoded,
    ignored,
    label_of,
    per_unit,
    suspected,
    whole,
)

_NO_CURRENCY = "XXX"
_State = Literal["open", "ready", "handed_off", "in_transit", "delivered", "collected", "cancelled"]
# PROPOSED and RESERVED are what the order itself already says.
_REACHED: dict[tuple[str, bool], _State] = {
    ("PREPARED", True): "ready",
    ("PREPARED", False): "open",
    ("COMPLETED", True): "collected",
    ("COMPLETED", False): "handed_off",
    ("CANCELED", True): "cancelled",
    ("CANCELED", False): "cancelled",
    ("FAILED", True): "cancelled",
    ("FAILED", False): "cancelled",
}


class SquareMoney(msgspec.Struct, frozen=True):
    """Minor units; the currency is absent where there is no money at all."""

    amount: int = 0
    currency: str = _NO_CURRENCY


_NOTHING = SquareMoney()


class _Line(msgspec.Struct, frozen=True):
    quantity: str
    uid: str | None = None
    catalog_object_id: str | None = None
    name: str | None = None
    base_price_money: SquareMoney = _NOTHING
    gross_sales_money: SquareMoney | None = None
    total_tax_money: SquareMoney = _NOTHING
    total_discount_money: SquareMoney = _NOTHING


class _Address(msgspec.Struct, frozen=True):
    postal_code: str | None = None
    country: str | None = None


class _Recipient(msgspec.Struct, frozen=True):
    display_name: str | None = None
    address: _Address = _Address()


class _Details(msgspec.Struct, frozen=True):
    recipient: _Recipient = _Recipient()
    pickup_at: Moment | None = None
    tracking_number: str | None = None


class _Entry(msgspec.Struct, frozen=True):
    line_item_uid: str
    quantity: str


class _Fulfilment(msgspec.Struct, frozen=True):
    uid: str
    type: str = ""
    state: str = ""
    entries: tuple[_Entry, ...] = ()
    pickup_details: _Details | None = None
    shipment_details: _Details | None = None
    delivery_details: _Details | None = None

    def details(self) -> _Details:
        """Return the details of its own type."""
        return self.pickup_details or self.shipment_details or self.delivery_details or _Details()


class _Tax(msgspec.Struct, frozen=True):
    type: str = ""


class _Return(msgspec.Struct, frozen=True):
    """Goods or money that came back; the refund and the counts tell what it means."""


class _Order(msgspec.Struct, frozen=True):
    id: str
    location_id: str
    version: int
    created_at: Moment
    closed_at: Moment | None = None
    state: str = "OPEN"
    line_items: tuple[_Line, ...] = ()
    returns: tuple[_Return, ...] = ()
    taxes: tuple[_Tax, ...] = ()
    fulfillments: tuple[_Fulfilment, ...] = ()
    total_money: SquareMoney = _NOTHING
    total_tax_money: SquareMoney = _NOTHING
    reference_id: str | None = None


class _Document(msgspec.Struct, frozen=True):
    order: _Order


def decode_document(document: bytes, source_id: str) -> Decoded:
    """Translate a fetched order; its version is Square's own integer, as in the notification."""
    order = read_json(document, _Document).order
    key = f"order:{order.id}:{order.version}"
    found = decoded(key, "order.retrieved", *_commands(order, source_id))
    return msgspec.structs.replace(found, version=order.version)


def _commands(order: _Order, source_id: str) -> tuple[Command, ...]:
    """Return the snapshot, and what fulfilments have reached: their notifications are thin too."""
    if reason := _no_order_yet(order):
        return (ignored(reason),)
    if order.state not in ("OPEN", "COMPLETED", "CANCELED"):
        return (suspected(f"order state {order.state}"),)
    if order.total_money.currency == _NO_CURRENCY:
        return (suspected("an order without a currency"),)
    snapshot = _snapshot(order, source_id)
    if snapshot.cancelled:
        return (snapshot,)
    reports = (_report(order, part, source_id) for part in order.fulfillments)
    return (snapshot, *(report for report in reports if report))


def _no_order_yet(order: _Order) -> str:
    """Say why a document promises nothing, '' where it is an order.

    A ticket that is still open at the till changes with every item; its sale comes COMPLETED.
    """
    if order.returns and not order.line_items:
        return "an order of returns; the money is told by the refund of its payment"
    if order.state == "DRAFT" or (order.state == "OPEN" and not order.fulfillments):
        return "an open ticket; nothing is promised until it is completed"
    return ""


def _snapshot(order: _Order, source_id: str) -> PlaceOrder:
    people = [part.details().recipient.display_name for part in order.fulfillments]
    return PlaceOrder(
        order=OrderKey(source=source_id, ref=order.id),
        version=order.version,
        number=clipped(order.reference_id),
        placed_at=utc(_placed_at(order)),
        currency=currency_code(order.total_money.currency),
        lines=tuple(_line(line, index) for index, line in enumerate(order.line_items)),
        delivery=_delivery(order),
        total_minor=bounded(order.total_money.amount),
        tax_minor=bounded(order.total_tax_money.amount),
        tax_included=_tax_included(order),
        cancelled=order.state == "CANCELED",
        customer_label=label_of(next((name for name in people if name), None)),
    )


def _placed_at(order: _Order) -> datetime:
    """Return when it was ordered; a counter sale when it was paid, not when the ticket was opened."""
    return order.created_at if order.fulfillments else order.closed_at or order.created_at


def _tax_included(order: _Order) -> bool:
    """Tell whether every tax of the order stands in its prices already."""
    return bool(order.taxes) and all(tax.type == "INCLUSIVE" for tax in order.taxes)


def _line(line: _Line, index: int) -> LineAsked:
    """Return one line; its gross sales hold the modifiers' prices too, its base price not."""
    quantity = whole(line.quantity)
    unit, rounding = line.base_price_money.amount, 0
    if line.gross_sales_money is not None:
        unit, rounding = per_unit(bounded(line.gross_sales_money.amount), quantity)
    return LineAsked(
        line_ref=line.uid or str(index),
        item=clipped(line.catalog_object_id),
        title=clipped(line.name),
        quantity=quantity,
        unit_price_minor=unit,
        tax_minor=line.total_tax_money.amount,
        discount_minor=line.total_discount_money.amount + rounding,
    )


def _delivery(order: _Order) -> Delivery:
    """Return what was promised: a completed order without fulfilments was sold over the counter."""
    if not order.fulfillments:
        return Delivery(method="handed_over", place=order.location_id)
    first = order.fulfillments[0]
    details = first.details()
    match first.type:
        case "PICKUP":
            latest = utc(details.pickup_at) if details.pickup_at else None
            return Delivery(method="pickup", place=order.location_id, latest=latest)
        case "DIGITAL":
            return Delivery(method="digital")
        case "IN_STORE" | "SIMPLE":
            return Delivery(method="handed_over", place=order.location_id)
        case _:
            address = details.recipient.address
            country, postcode = clipped(address.country), clipped(address.postal_code)
            return Delivery(method="ship", country=country, postcode=postcode)


def _report(order: _Order, part: _Fulfilment, source_id: str) -> ReportFulfilment | None:
    state = _REACHED.get((part.state, part.type == "PICKUP"))
    if state is None:
        return None
    return ReportFulfilment(
        order=OrderKey(source=source_id, ref=order.id),
        fulfilment_ref=part.uid,
        state=state,
        version=order.version,
        place=order.location_id,
        lines=tuple(
            LineQuantity(line_ref=entry.line_item_uid, quantity=whole(entry.quantity))
            for entry in part.entries
        ),
        tracking=clipped(part.details().tracking_number),
    )
