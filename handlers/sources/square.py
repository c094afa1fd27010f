"""Square: HMAC over the notification URL and the body; orders are thin and fetched.

Rules: developer.squareup.com (webhooks: validate notifications, event types) and Square's own SDKs.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from config.errors import Unreadable
from config.money import currency_code
from handlers.commands import (
    Command,
    Count,
    CountStock,
    FetchOrder,
    OrderKey,
    RecordPayment,
    RecordRefund,
    Ref,
)
from handlers.sources.channel import Account, Answer, Decoded, Request, read_json, read_options
from handlers.sources.options import ChannelOptions
from handlers.sources.signatures import (
    from_base64,
    header,
    hmac_sha256,
    require_match,
    secrets_of,
    to_base64,
)
from handlers.sources.square_order import SquareMoney, decode_document
from handlers.sources.times import Moment, version_of
from handlers.sources.translation import decoded, ignored, suspected, whole

_PAYMENT: dict[str, Literal["authorised", "captured", "failed", "voided"]] = {
    "APPROVED": "authorised",
    "COMPLETED": "captured",
    "CANCELED": "voided",
    "FAILED": "failed",
}
_REFUND: dict[str, Literal["pending", "succeeded", "failed"]] = {
    "PENDING": "pending",
    "COMPLETED": "succeeded",
    "REJECTED": "failed",
    "FAILED": "failed",
}
_FIRST_VERSION = 1
_IGNORED = {
    "webhooks.test_notification": "Square's own test; nothing happened",
    "catalog.": "says only that the catalogue changed; it is imported, not followed",
    "customer.": "customers are not kept",
    "dispute.": "the bank's case; its money is settled with the payout",
    "gift_card": "gift cards are not kept",
    "invoice.": "the invoice's order and payments arrive by their own topics",
    "labor.": "staff hours",
    "location.": "places are configured in the network file",
    "loyalty.": "loyalty is not kept",
    "payout.": "payouts are matched from settlement reports",
    "team_member": "staff",
    "terminal.": "the payment itself arrives as payment.updated",
}


class SquareOptions(ChannelOptions, frozen=True, kw_only=True):
    """`[sources.options]` of a Square seller."""

    notification_url: Annotated[str, msgspec.Meta(pattern=r"^https?://\S+$", max_length=2000)]
    """The URL exactly as the subscription has it; it is part of what is signed."""
    order_source: Ref | None = None
    """The source that owns the orders which payments name; this one when absent."""


class _Data(msgspec.Struct, frozen=True):
    id: str = ""
    object: msgspec.Raw = msgspec.Raw(b"{}")


class _Event(msgspec.Struct, frozen=True):
    type: str
    event_id: Annotated[str, msgspec.Meta(min_length=1)]
    data: _Data = _Data()


class _Thin(msgspec.Struct, frozen=True):
    order_id: str
    version: int


class _ThinObject(msgspec.Struct, frozen=True):
    order_created: _Thin | None = None
    order_updated: _Thin | None = None
    order_fulfillment_updated: _Thin | None = None


class _Payment(msgspec.Struct, frozen=True):
    id: str
    status: str
    amount_money: SquareMoney
    total_money: SquareMoney | None = None
    order_id: str | None = None
    updated_at: Moment | None = None


class _PaymentObject(msgspec.Struct, frozen=True):
    payment: _Payment


class _Refund(msgspec.Struct, frozen=True):
    id: str
    status: str
    amount_money: SquareMoney
    payment_id: str | None = None
    order_id: str | None = None
    updated_at: Moment | None = None


class _RefundObject(msgspec.Struct, frozen=True):
    refund: _Refund


class _Level(msgspec.Struct, frozen=True):
    catalog_object_id: str
    location_id: str
    state: str
    quantity: str
    calculated_at: Moment


class _Counts(msgspec.Struct, frozen=True):
    inventory_counts: tuple[_Level, ...]


class SquareChannel:
    """One seller's webhooks."""

    def __init__(self, account: Account, options: SquareOptions) -> None:
        """Hold the account."""
        self._id = account.id
        self._secrets = secrets_of(account)
        self._url = options.notification_url.encode()
        self._order_source = options.order_source or account.id

    async def verify(self, request: Request) -> None:
        """Check base64 HMAC-SHA256 of the configured URL and the body, with every live key."""
        offered = from_base64(header(request, "x-square-hmacsha256-signature"))
        require_match(hmac_sha256(self._secrets, self._url + request.body), [offered])

    def decode(self, request: Request) -> Decoded:
        """Translate by type; the key is Square's event id."""
        event = read_json(request.body, _Event)
        return decoded(event.event_id, event.type, *self._commands(event))

    def _commands(self, event: _Event) -> tuple[Command, ...]:
        match event.type:
            case "order.created" | "order.updated" | "order.fulfillment.updated":
                return (self._fetch(event),)
            case "payment.created" | "payment.updated":
                return self._with_its_order(self._payment(event))
            case "refund.created" | "refund.updated":
                return (self._refund(event),)
            case "inventory.count.updated":
                return (_counted(event),)
            case _:
                return (_unused(event.type),)

    def _fetch(self, event: _Event) -> Command:
        """Translate a thin notification, wrapped in a member of its own type's name."""
        name = event.type.replace(".", "_")
        thin = getattr(read_json(bytes(event.data.object), _ThinObject), name)
        if thin is None:
            raise Unreadable(f"data.object.{name} is missing")
        key = OrderKey(source=self._id, ref=thin.order_id)
        return FetchOrder(order=key, version=thin.version)

    def _payment(self, event: _Event) -> Command:
        """Translate a payment; the total is told, which includes a tip."""
        payment = read_json(bytes(event.data.object), _PaymentObject).payment
        if payment.status == "PENDING":
            return ignored("not approved yet")
        if payment.status not in _PAYMENT:
            return suspected(f"payment status {payment.status}")
        money = payment.total_money or payment.amount_money
        return RecordPayment(
            state=_PAYMENT[payment.status],
            payment_ref=payment.id,
            order=self._key(payment.order_id),
            amount_minor=money.amount,
            currency=currency_code(money.currency),
            version=version_of(payment.updated_at) if payment.updated_at else 0,
        )

    def _with_its_order(self, payment: Command) -> tuple[Command, ...]:
        """Have the order read of a payment that is complete, where it is not known yet.

        Square's forum says that sales at its own till raise payment events, and not always order
        events: the payment must then bring the sale. Any version of it will do, so the first.
        """
        if not isinstance(payment, RecordPayment) or payment.state != "captured":
            return (payment,)
        if payment.order is None or payment.order.source != self._id:
            return (payment,)
        return (payment, FetchOrder(order=payment.order, version=_FIRST_VERSION))

    def _refund(self, event: _Event) -> Command:
        """Translate a refund, which joins by its payment.

        Its `order_id` is not the sale's: Square makes an order of its own for what came back
        (orders-api/order-returns-exchanges). It is used where a refund names no payment.
        """
        refund = read_json(bytes(event.data.object), _RefundObject).refund
        if refund.status not in _REFUND:
            return suspected(f"refund status {refund.status}")
        return RecordRefund(
            refund_ref=refund.id,
            payment_ref=refund.payment_id or "",
            order=None if refund.payment_id else self._key(refund.order_id),
            state=_REFUND[refund.status],
            amount_minor=refund.amount_money.amount,
            currency=currency_code(refund.amount_money.currency),
            version=version_of(refund.updated_at) if refund.updated_at else 0,
        )

    def _key(self, order_id: str | None) -> OrderKey | None:
        return OrderKey(source=self._order_source, ref=order_id) if order_id else None

    def handshake(self, _request: Request) -> Answer | None:
        """Square has none."""
        return None

    def decode_order(self, document: bytes) -> Decoded:
        """Translate the Orders API's answer."""
        return decode_document(document, self._id)

    def sign(self, body: bytes, topic: str, now: datetime) -> dict[str, str]:
        """Sign with the first key; type and time stand in the body."""
        del topic, now
        signature = hmac_sha256(self._secrets[:1], self._url + body)[0]
        return {
            "content-type": "application/json",
            "x-square-hmacsha256-signature": to_base64(signature),
        }


def open_channel(account: Account) -> SquareChannel:
    """Open a seller; Misconfigured when options or secrets are wrong."""
    return SquareChannel(account, read_options(account, SquareOptions))


def _unused(kind: str) -> Command:
    reasons = [reason for prefix, reason in _IGNORED.items() if kind.startswith(prefix)]
    return ignored(reasons[0]) if reasons else suspected(f"type {kind}")


def _counted(event: _Event) -> Command:
    """Translate counts of sellable stock; Square tells one absolute number per state."""
    levels = read_json(bytes(event.data.object), _Counts).inventory_counts
    counts = tuple(
        Count(
            item=level.catalog_object_id,
            place=level.location_id,
            meaning="on_hand",
            quantity=whole(level.quantity),
            version=version_of(level.calculated_at),
        )
        for level in levels
        if level.state == "IN_STOCK"
    )
    return CountStock(counts=counts) if counts else ignored("no count of stock that can be sold")
