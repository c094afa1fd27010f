"""Shopify's order document as a snapshot in canonical form.

Shapes and rules: shopify.dev, REST Admin API, the Order resource (its webhooks carry the same).
"""

from decimal import Decimal
from typing import Literal

import msgspec

from config.errors import Unreadable
from config.money import currency_code
from handlers.commands import Delivery, LineAsked, OrderKey, PlaceOrder, Suspect
from handlers.sources.options import ChannelOptions
from handlers.sources.pickup import PickupRule, PickupRules, ShippingLine
from handlers.sources.times import Moment, utc, version_of
from handlers.sources.translation import WholeId, clipped, label, minor, share, suspected

_LATITUDE_MAX = 90.0
_LONGITUDE_MAX = 180.0
_ZERO = Decimal(0)


class ShopifyOptions(ChannelOptions, frozen=True, kw_only=True):
    """`[sources.options]` of a Shopify shop."""

    pickup_match: tuple[PickupRule, ...] = ()
    pickup_attribute: str = ""
    """The name of a note attribute whose value is the place, as some pickup apps write it."""
    payments_from: Literal["any", "order_transactions", "tender_transactions"] = "any"
    """Both topics tell the same money under other ids: a shop that subscribes both names one."""


class ShopMoney(msgspec.Struct, frozen=True):
    """An amount in one currency."""

    amount: Decimal
    currency_code: str


class MoneySet(msgspec.Struct, frozen=True):
    """The shop's and the buyer's currency side by side; we keep the shop's books."""

    shop_money: ShopMoney | None = None


class _Tax(msgspec.Struct, frozen=True):
    price: Decimal = _ZERO
    price_set: MoneySet | None = None


class _Allocation(msgspec.Struct, frozen=True):
    amount: Decimal = _ZERO
    amount_set: MoneySet | None = None


class _Line(msgspec.Struct, frozen=True):
    id: WholeId
    quantity: int
    current_quantity: int | None = None
    variant_id: WholeId | None = None
    product_id: WholeId | None = None
    sku: str | None = None
    title: str | None = None
    price: Decimal = _ZERO
    price_set: MoneySet | None = None
    requires_shipping: bool | None = None
    tax_lines: tuple[_Tax, ...] = ()
    discount_allocations: tuple[_Allocation, ...] = ()


class _Shipping(ShippingLine, frozen=True):
    price: Decimal = _ZERO
    price_set: MoneySet | None = None


class _Address(msgspec.Struct, frozen=True):
    first_name: str | None = None
    last_name: str | None = None
    country_code: str | None = None
    zip: str | None = None
    latitude: float | None = None
    longitude: float | None = None


class _Person(msgspec.Struct, frozen=True):
    first_name: str | None = None
    last_name: str | None = None


class _Attribute(msgspec.Struct, frozen=True):
    name: str | None = None
    value: str | int | float | bool | None = None


class _Units(msgspec.Struct, frozen=True):
    id: WholeId
    quantity: int = 0


class _Fulfilled(msgspec.Struct, frozen=True):
    location_id: WholeId | None = None
    status: str | None = None
    line_items: tuple[_Units, ...] = ()


class _RefundedUnits(msgspec.Struct, frozen=True):
    line_item_id: WholeId
    quantity: int = 0
    restock_type: str | None = None


class _Refunded(msgspec.Struct, frozen=True):
    refund_line_items: tuple[_RefundedUnits, ...] = ()


class ShopifyOrder(msgspec.Struct, frozen=True):
    """What we read of the Order resource; all else is tolerated."""

    id: WholeId
    created_at: Moment
    updated_at: Moment
    currency: str
    line_items: tuple[_Line, ...]
    name: str | None = None
    processed_at: Moment | None = None
    cancelled_at: Moment | None = None
    test: bool | None = None
    total_price: Decimal | None = None
    total_tax: Decimal | None = None
    current_total_price: Decimal | None = None
    current_total_tax: Decimal | None = None
    total_shipping_price_set: MoneySet | None = None
    taxes_included: bool | None = None
    source_name: str | None = None
    fulfillment_status: str | None = None
    location_id: WholeId | None = None
    fulfillments: tuple[_Fulfilled, ...] = ()
    refunds: tuple[_Refunded, ...] = ()
    shipping_lines: tuple[_Shipping, ...] = ()
    note_attributes: tuple[_Attribute, ...] = ()
    shipping_address: _Address | None = None
    customer: _Person | None = None


class OrderTranslator:
    """Turns orders of one shop into snapshots."""

    def __init__(self, source_id: str, options: ShopifyOptions) -> None:
        """Compile the pickup rules; Misconfigured names a wrong one."""
        self._source_id = source_id
        self._rules = PickupRules(source_id, options.pickup_match)
        self._attribute = options.pickup_attribute

    def snapshot(self, order: ShopifyOrder, *, cancelled: bool) -> PlaceOrder | Suspect:
        """Return the whole order as Shopify knows it now, versioned by its `updated_at`.

        Totals are the current ones (after edits), as the lines' quantities are.
        """
        delivery = self._delivery(order)
        if delivery is None:
            return suspected("a counter sale that names no location; it cannot be booked anywhere")
        currency = currency_code(order.currency)
        person = order.customer or order.shipping_address or _Person()
        return PlaceOrder(
            order=OrderKey(source=self._source_id, ref=str(order.id)),
            version=version_of(order.updated_at),
            number=clipped(order.name),
            placed_at=utc(order.processed_at or order.created_at),
            currency=currency,
            lines=tuple(_line(line, order, currency) for line in order.line_items),
            delivery=delivery,
            total_minor=minor(_either(order.current_total_price, order.total_price), currency),
            tax_minor=minor(_either(order.current_total_tax, order.total_tax), currency),
            shipping_minor=_shipping(order, currency),
            tax_included=bool(order.taxes_included),
            cancelled=cancelled,
            customer_label=label(person.first_name, person.last_name),
        )

    def _delivery(self, order: ShopifyOrder) -> Delivery | None:
        """Return what was promised; None for a counter sale without a location."""
        if order.source_name == "pos" and order.fulfillment_status == "fulfilled":
            place = _counter(order)
            return Delivery(method="handed_over", place=place) if place else None
        if place := self._pickup_place(order):
            return Delivery(method="pickup", place=place)
        open_lines = [line for line in order.line_items if line.requires_shipping is not False]
        if order.line_items and not open_lines:
            return Delivery(method="digital")
        return _shipped(order.shipping_address or _Address())

    def _pickup_place(self, order: ShopifyOrder) -> str:
        if place := self._rules.place(order.shipping_lines):
            return place
        for attribute in order.note_attributes:
            if self._attribute and attribute.name == self._attribute:
                return str(attribute.value or "").strip()
        return ""


def shop_amount(money: MoneySet | None, plain: Decimal | None, currency: str) -> int:
    """Return the shop's own amount: from the set where there is one, else the plain field.

    Raises:
        Unreadable: the set speaks of another currency than the document.
    """
    if money is None or money.shop_money is None:
        return minor(plain, currency)
    if currency_code(money.shop_money.currency_code) != currency:
        raise Unreadable("the shop's amounts are in more than one currency")
    return minor(money.shop_money.amount, currency)


def _line(line: _Line, order: ShopifyOrder, currency: str) -> LineAsked:
    """Return a line at the quantity still sold; tax and discounts are told for the original one."""
    current = _still_sold(line, order)
    tax = sum(shop_amount(part.price_set, part.price, currency) for part in line.tax_lines)
    discount = sum(
        shop_amount(part.amount_set, part.amount, currency) for part in line.discount_allocations
    )
    return LineAsked(
        line_ref=str(line.id),
        item=str(line.variant_id or line.product_id or line.id),
        sku=clipped(line.sku),
        title=clipped(line.title),
        quantity=current,
        unit_price_minor=shop_amount(line.price_set, line.price, currency),
        tax_minor=share(tax, current, line.quantity),
        discount_minor=share(discount, current, line.quantity),
        requires_shipping=line.requires_shipping is not False,
    )


def _still_sold(line: _Line, order: ShopifyOrder) -> int:
    """Return the units that were not cancelled.

    `current_quantity` also falls when the customer brings units back (`restock_type` is `return`, or
    `no_restock` of units that were fulfilled); those were sold, and their way back is the return's.
    """
    if line.current_quantity is None:
        return line.quantity
    back = {"return": 0, "no_restock": 0}
    for refund in order.refunds:
        for units in refund.refund_line_items:
            if units.line_item_id == line.id and units.restock_type in back:
                back[units.restock_type] += units.quantity
    fulfilled = sum(
        units.quantity
        for part in order.fulfillments
        for units in part.line_items
        if units.id == line.id and part.status == "success"
    )
    returned = back["return"] + min(back["no_restock"], max(0, fulfilled - back["return"]))
    return min(line.quantity, line.current_quantity + returned)


def _shipping(order: ShopifyOrder, currency: str) -> int:
    if order.total_shipping_price_set is not None:
        return shop_amount(order.total_shipping_price_set, None, currency)
    kept = [line for line in order.shipping_lines if not line.is_removed]
    return sum(shop_amount(line.price_set, line.price, currency) for line in kept)


def _counter(order: ShopifyOrder) -> str:
    """Return the location of a counter sale: the order's own, or the one that fulfilled it all."""
    places = {part.location_id for part in order.fulfillments if part.location_id}
    place = order.location_id or (places.pop() if len(places) == 1 else None)
    return str(place) if place else ""


def _shipped(address: _Address) -> Delivery:
    return Delivery(
        method="ship",
        country=clipped(address.country_code),
        postcode=clipped(address.zip),
        latitude=_within(address.latitude, _LATITUDE_MAX),
        longitude=_within(address.longitude, _LONGITUDE_MAX),
    )


def _within(angle: float | None, limit: float) -> float | None:
    return angle if angle is not None and abs(angle) <= limit else None


def _either(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    return second if first is None else first
