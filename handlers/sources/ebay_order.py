"""eBay's order document as a snapshot in canonical form.

Shape: the Sell Fulfillment API's getOrder, developer.ebay.com/api-docs/sell/fulfillment.
"""

from decimal import Decimal

import msgspec

from config.errors import Unreadable
from config.money import currency_code
from handlers.commands import (
    Command,
    Delivery,
    LineAsked,
    LineQuantity,
    OrderKey,
    PlaceOrder,
    RecordPayment,
    ReportFulfilment,
)
from handlers.sources.channel import Decoded, read_json
from handlers.sources.times import Moment, utc, version_of
from handlers.sources.translation import clipped, decoded, label_of, minor, per_unit

# What was given back later had been paid.
_PAID = frozenset({"PAID", "PARTIALLY_REFUNDED", "FULLY_REFUNDED"})


class _Amount(msgspec.Struct, frozen=True):
    value: Decimal
    currency: str


class _Tax(msgspec.Struct, frozen=True):
    amount: _Amount | None = None


class _Line(msgspec.Struct, frozen=True, rename="camel"):
    line_item_id: str
    quantity: int
    line_item_cost: _Amount
    legacy_item_id: str | None = None
    sku: str | None = None
    title: str | None = None
    discounted_line_item_cost: _Amount | None = None
    taxes: tuple[_Tax, ...] = ()
    line_item_fulfillment_status: str | None = None


class _Address(msgspec.Struct, frozen=True, rename="camel"):
    postal_code: str | None = None
    country_code: str | None = None


class _ShipTo(msgspec.Struct, frozen=True, rename="camel"):
    full_name: str | None = None
    contact_address: _Address | None = None


class _ShippingStep(msgspec.Struct, frozen=True, rename="camel"):
    ship_to: _ShipTo | None = None


class _PickupStep(msgspec.Struct, frozen=True, rename="camel"):
    merchant_location_key: str | None = None


class _Instruction(msgspec.Struct, frozen=True, rename="camel"):
    fulfillment_instructions_type: str | None = None
    shipping_step: _ShippingStep | None = None
    pickup_step: _PickupStep | None = None

    def ship_to(self) -> _ShipTo:
        """Return the receiver; empty where there is none."""
        return (self.shipping_step and self.shipping_step.ship_to) or _ShipTo()


class _Pricing(msgspec.Struct, frozen=True, rename="camel"):
    total: _Amount
    tax: _Amount | None = None
    delivery_cost: _Amount | None = None


class _CancelStatus(msgspec.Struct, frozen=True, rename="camel"):
    cancel_state: str | None = None


class _Order(msgspec.Struct, frozen=True, rename="camel"):
    order_id: str
    creation_date: Moment
    last_modified_date: Moment
    line_items: tuple[_Line, ...]
    pricing_summary: _Pricing
    order_payment_status: str | None = None
    cancel_status: _CancelStatus | None = None
    fulfillment_start_instructions: tuple[_Instruction, ...] = ()


def decode_document(document: bytes, source_id: str) -> Decoded:
    """Translate a fetched order, its payment (eBay has no topic for it) and what has been sent."""
    order = read_json(document, _Order)
    version = version_of(order.last_modified_date)
    commands: list[Command] = [_snapshot(order, source_id, version)]
    if order.order_payment_status in _PAID:
        commands.append(_paid(order, source_id, version))
    if sent := [li for li in order.line_items if li.line_item_fulfillment_status == "FULFILLED"]:
        commands.append(_sent(order, sent, source_id, version))
    return decoded(f"order:{order.order_id}:{version}", "order.retrieved", *commands)


def _snapshot(order: _Order, source_id: str, version: int) -> PlaceOrder:
    """Return the whole order; a cancellation that was only asked for is none."""
    pricing, currency = order.pricing_summary, currency_code(order.pricing_summary.total.currency)
    first = next(iter(order.fulfillment_start_instructions), _Instruction())
    return PlaceOrder(
        order=OrderKey(source=source_id, ref=order.order_id),
        version=version,
        number=clipped(order.order_id),
        placed_at=utc(order.creation_date),
        currency=currency,
        lines=tuple(_line(line, currency) for line in order.line_items),
        delivery=_delivery(first),
        total_minor=_minor(pricing.total, currency),
        tax_minor=_minor(pricing.tax, currency),
        shipping_minor=_minor(pricing.delivery_cost, currency),
        cancelled=bool(order.cancel_status and order.cancel_status.cancel_state == "CANCELED"),
        customer_label=label_of(first.ship_to().full_name),
    )


def _line(line: _Line, currency: str) -> LineAsked:
    """Return a line; `lineItemCost` is for all its units, so it is split exactly (`per_unit`).

    Taxes that eBay collects and remits itself stand in another list, and are not ours.
    """
    cost = _minor(line.line_item_cost, currency)
    unit, rounding = per_unit(cost, line.quantity)
    promoted = line.discounted_line_item_cost
    discount = cost - _minor(promoted, currency) if promoted else 0
    return LineAsked(
        line_ref=line.line_item_id,
        item=clipped(line.legacy_item_id),
        sku=clipped(line.sku),
        title=clipped(line.title),
        quantity=line.quantity,
        unit_price_minor=unit,
        tax_minor=sum(_minor(tax.amount, currency) for tax in line.taxes),
        discount_minor=rounding + discount,
    )


def _delivery(instruction: _Instruction) -> Delivery:
    match instruction.fulfillment_instructions_type:
        case "PREPARE_FOR_PICKUP" if instruction.pickup_step:
            place = clipped(instruction.pickup_step.merchant_location_key)
            return Delivery(method="pickup", place=place)
        case "DIGITAL":
            return Delivery(method="digital")
        case _:
            address = instruction.ship_to().contact_address or _Address()
            country, postcode = clipped(address.country_code), clipped(address.postal_code)
            return Delivery(method="ship", country=country, postcode=postcode)


def _paid(order: _Order, source_id: str, version: int) -> RecordPayment:
    """Return the payment that eBay holds for the order; it has no name but the order's."""
    total = order.pricing_summary.total
    currency = currency_code(total.currency)
    return RecordPayment(
        state="captured",
        payment_ref=order.order_id,
        order=OrderKey(source=source_id, ref=order.order_id),
        amount_minor=_minor(total, currency),
        currency=currency,
        version=version,
    )


def _sent(order: _Order, lines: list[_Line], source_id: str, version: int) -> ReportFulfilment:
    """Return which lines have left; eBay says so as soon as any unit of a line has."""
    return ReportFulfilment(
        order=OrderKey(source=source_id, ref=order.order_id),
        fulfilment_ref=f"{order.order_id}:sent",
        state="handed_off",
        version=version,
        lines=tuple(
            LineQuantity(line_ref=line.line_item_id, quantity=line.quantity) for line in lines
        ),
    )


def _minor(amount: _Amount | None, currency: str) -> int:
    if amount is None:
        return 0
    if currency_code(amount.currency) != currency:
        raise Unreadable("the order's amounts are in more than one currency")
    return minor(amount.value, currency)
