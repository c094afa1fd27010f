"""Shopify's smaller documents: refunds, transactions, fulfilments and stock levels.

Shapes: shopify.dev, REST Admin API, the Refund, Transaction, TenderTransaction, Fulfillment and
InventoryLevel resources, whose webhooks carry the same.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from config.errors import Unreadable
from config.money import currency_code
from handlers.commands import (
    Command,
    Count,
    CountStock,
    LineQuantity,
    OrderKey,
    RecordPayment,
    RecordRefund,
    RefundLine,
    ReportFulfilment,
)
from handlers.sources.channel import read_json
from handlers.sources.shopify_order import MoneySet
from handlers.sources.times import Moment, version_of
from handlers.sources.translation import WholeId, clipped, ignored, minor, suspected

_RESTOCK: dict[str, Literal["none", "cancel", "return"]] = {
    "no_restock": "none",
    "cancel": "cancel",
    "return": "return",
    "legacy_restock": "return",
}
_PAYMENT: dict[str, Literal["authorised", "captured", "voided"]] = {
    "authorization": "authorised",
    "emv_authorization": "authorised",
    "sale": "captured",
    "capture": "captured",
    "void": "voided",
}
_NO_PAYMENT = {
    "refund": "the refund arrives whole as refunds/create",
    "change": "change given at a counter; the sale is told net of it",
}
_State = Literal["open", "ready", "handed_off", "in_transit", "delivered", "collected", "cancelled"]
# A label is not a handoff; `picked_up` is the customer's collection, a carrier's has its own word.
_SHIPMENT: dict[str | None, _State] = {
    None: "handed_off",
    "label_printed": "open",
    "label_purchased": "open",
    "confirmed": "open",
    "ready_for_pickup": "ready",
    "picked_up": "collected",
    "carrier_picked_up": "handed_off",
    "in_transit": "in_transit",
    "out_for_delivery": "in_transit",
    "attempted_delivery": "in_transit",
    "delayed": "in_transit",
    "failure": "in_transit",
    "delivered": "delivered",
}
# A request that a warehouse service refused has moved nothing, so its goods are still open.
_FULFILMENT: dict[str, _State] = {
    "pending": "open",
    "open": "open",
    "error": "open",
    "failure": "open",
    "cancelled": "cancelled",
}


class _Transaction(msgspec.Struct, frozen=True):
    id: WholeId
    kind: str
    amount: Decimal
    currency: str
    status: str | None = None
    order_id: WholeId | None = None
    parent_id: WholeId | None = None
    processed_at: Moment | None = None
    created_at: Moment | None = None


class _Tender(msgspec.Struct, frozen=True):
    id: WholeId
    amount: Decimal
    currency: str
    order_id: WholeId | None = None
    processed_at: Moment | None = None


class _RefundLine(msgspec.Struct, frozen=True):
    line_item_id: WholeId
    quantity: int
    restock_type: str = "no_restock"
    subtotal: Decimal | None = None
    total_tax: Decimal | None = None
    subtotal_set: MoneySet | None = None


class _Refund(msgspec.Struct, frozen=True):
    id: WholeId
    order_id: WholeId
    created_at: Moment
    refund_line_items: tuple[_RefundLine, ...] = ()
    transactions: tuple[_Transaction, ...] | None = None
    total_duties_set: MoneySet | None = None


class _FulfilledLine(msgspec.Struct, frozen=True):
    id: WholeId
    quantity: int


class _Fulfilment(msgspec.Struct, frozen=True):
    id: WholeId
    order_id: WholeId
    status: str
    updated_at: Moment
    shipment_status: str | None = None
    location_id: WholeId | None = None
    tracking_number: str | None = None
    line_items: tuple[_FulfilledLine, ...] = ()


class _Level(msgspec.Struct, frozen=True):
    inventory_item_id: WholeId
    location_id: WholeId
    updated_at: Moment
    available: int | None = None


def refund(body: bytes, source_id: str) -> tuple[str, Command]:
    """Translate refunds/create; the money is what its transactions moved.

    No transaction at all means that no money moved (goods were taken off an unpaid order). A body
    in which the list itself is missing is one that the subscription trimmed: then the lines'
    subtotals, which Shopify writes as JSON numbers, tell the amount, and nothing proves it sent.
    """
    form = read_json(body, _Refund)
    moved = [t for t in form.transactions or () if t.kind == "refund"]
    kept = [t for t in moved if t.status not in ("failure", "error")] or moved
    currency = _refund_currency(form, kept)
    if currency is None:
        return str(form.id), ignored("a refund with neither money nor a currency")
    command = RecordRefund(
        refund_ref=str(form.id),
        order=OrderKey(source=source_id, ref=str(form.order_id)),
        state=_refund_state(form, kept),
        amount_minor=_refund_amount(form, kept, currency),
        currency=currency,
        version=version_of(form.created_at),
        lines=tuple(_refund_line(line) for line in form.refund_line_items),
    )
    return str(form.id), command


def _refund_currency(form: _Refund, moved: list[_Transaction]) -> str | None:
    named = {currency_code(transaction.currency) for transaction in moved}
    if len(named) > 1:
        raise Unreadable("a refund in more than one currency")
    sets = [form.total_duties_set, *(line.subtotal_set for line in form.refund_line_items)]
    shown = [money.shop_money for money in sets if money and money.shop_money]
    return named.pop() if named else currency_code(shown[0].currency_code) if shown else None


def _refund_amount(form: _Refund, moved: list[_Transaction], currency: str) -> int:
    if form.transactions is not None:
        return sum(minor(transaction.amount, currency) for transaction in moved)
    lines = form.refund_line_items
    return sum(minor(part, currency) for line in lines for part in (line.subtotal, line.total_tax))


def _refund_state(
    form: _Refund, moved: list[_Transaction]
) -> Literal["pending", "succeeded", "failed"]:
    states = {transaction.status for transaction in moved}
    if form.transactions is None or "pending" in states:
        return "pending"
    return "failed" if states & {"failure", "error"} else "succeeded"


def _refund_line(line: _RefundLine) -> RefundLine:
    restock = _RESTOCK.get(line.restock_type)
    if restock is None:
        raise Unreadable(f"restock_type {clipped(line.restock_type, 40)!r} is unknown")
    return RefundLine(line_ref=str(line.line_item_id), quantity=line.quantity, restock=restock)


def order_transaction(body: bytes, source_id: str) -> tuple[str, Command]:
    """Translate order_transactions/create.

    A capture or void names its authorisation as `parent_id`, which stays the payment's one name.
    Where a shop captures in parts, each tells only itself, so it is told as a part.
    """
    form = read_json(body, _Transaction)
    record = str(form.id)
    state = _PAYMENT.get(form.kind)
    if state is None and form.kind in _NO_PAYMENT:
        return record, ignored(_NO_PAYMENT[form.kind])
    if state is None or form.status not in ("success", "pending", "failure", "error"):
        return record, suspected(f"transaction of kind {form.kind}, status {form.status}")
    if form.status == "pending":
        return record, ignored("not decided yet; Shopify tells when it is")
    if form.status != "success" and state == "voided":
        return record, ignored("a void that failed changes nothing")
    moment = form.processed_at or form.created_at
    command = RecordPayment(
        state=state if form.status == "success" else "failed",
        payment_ref=str(form.parent_id or form.id),
        order=_key(source_id, form.order_id),
        amount_minor=minor(form.amount, currency_code(form.currency)),
        currency=currency_code(form.currency),
        version=version_of(moment) if moment else 0,
        part_ref=record if form.kind == "capture" and form.parent_id else "",
    )
    return record, command


def tender_transaction(body: bytes, source_id: str) -> tuple[str, Command]:
    """Translate tender_transactions/create: money that has moved; below zero it is a refund's."""
    form = read_json(body, _Tender)
    currency = currency_code(form.currency)
    amount = minor(form.amount, currency)
    if amount < 0:
        return str(form.id), ignored(_NO_PAYMENT["refund"])
    command = RecordPayment(
        state="captured",
        payment_ref=str(form.id),
        order=_key(source_id, form.order_id),
        amount_minor=amount,
        currency=currency,
        version=version_of(form.processed_at) if form.processed_at else 0,
    )
    return str(form.id), command


def fulfilment(body: bytes, source_id: str) -> tuple[str, Command]:
    """Translate fulfillments/create and /update; `success` is refined by the carrier's word."""
    form = read_json(body, _Fulfilment)
    state = _FULFILMENT.get(form.status)
    if form.status == "success":
        state = _SHIPMENT.get(form.shipment_status)
    if state is None:
        words = f"fulfilment status {form.status}, shipment status {form.shipment_status}"
        return str(form.id), suspected(words)
    lines = (LineQuantity(line_ref=str(li.id), quantity=li.quantity) for li in form.line_items)
    command = ReportFulfilment(
        order=OrderKey(source=source_id, ref=str(form.order_id)),
        fulfilment_ref=str(form.id),
        state=state,
        version=version_of(form.updated_at),
        place=str(form.location_id or ""),
        lines=tuple(lines),
        tracking=clipped(form.tracking_number),
    )
    return str(form.id), command


def inventory_level(body: bytes, _source_id: str) -> tuple[str, Command]:
    """Translate a stock level; `item` is the inventory item's id, a namespace beside variants'."""
    form = read_json(body, _Level)
    record = f"{form.inventory_item_id}@{form.location_id}"
    if form.available is None:
        return record, ignored("stock is not tracked there")
    count = Count(
        item=str(form.inventory_item_id),
        place=str(form.location_id),
        meaning="available",
        quantity=form.available,
        version=version_of(form.updated_at),
    )
    return record, CountStock(counts=(count,))


def _key(source_id: str, order_id: int | None) -> OrderKey | None:
    return OrderKey(source=source_id, ref=str(order_id)) if order_id else None
