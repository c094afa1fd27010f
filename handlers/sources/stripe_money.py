"""Stripe's objects that move money: payment intents, charges, refunds and disputes.

Shapes: stripe/openapi and docs.stripe.com/api; the body depends on the endpoint's `api_version`.
"""

from typing import Literal

import msgspec

from config.errors import Unreadable
from config.money import bounded, currency_code
from handlers.commands import Command, OrderKey, RecordPayment, RecordRefund
from handlers.sources.channel import read_json
from handlers.sources.times import version_of_seconds
from handlers.sources.translation import ignored, suspected

_PaymentState = Literal["authorised", "captured", "failed", "voided", "disputed"]
_RefundState = Literal["pending", "succeeded", "failed"]

# Stripe's times are whole seconds, so the rank of a state fills the microseconds: a capture in the
# second of its authorisation is the newer of the two, whichever arrives first.
_PAYMENT_RANK: dict[_PaymentState, int] = {
    "failed": 1,
    "authorised": 2,
    "captured": 3,
    "voided": 4,
    "disputed": 5,
}
_DISPUTE_OVER_RANK = 6
_REFUND_RANK: dict[_RefundState, int] = {"pending": 1, "succeeded": 2, "failed": 3}
_REFUND_STATE: dict[str | None, _RefundState] = {
    None: "succeeded",
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
# docs.stripe.com/currencies, special cases: Stripe writes these with two decimals although ISO 4217
# has none, and the ariary with none although ISO 4217 has two. Elsewhere both agree, three-decimal
# currencies included, so Stripe's integers are ours.
_TWO_DECIMALS_AT_STRIPE = frozenset({"ISK", "UGX"})
_NO_DECIMALS_AT_STRIPE = frozenset({"MGA"})
_HUNDRED = 100
_INTENT: dict[str, tuple[_PaymentState, str]] = {
    "payment_intent.succeeded": ("captured", "amount_received"),
    "payment_intent.amount_capturable_updated": ("authorised", "amount_capturable"),
    "payment_intent.payment_failed": ("failed", "amount"),
    "payment_intent.canceled": ("voided", "amount"),
}
_CHARGE: dict[str, _PaymentState] = {
    "charge.succeeded": "captured",
    "charge.captured": "captured",
    "charge.failed": "failed",
    "charge.expired": "voided",
}


class StripeData(msgspec.Struct, frozen=True):
    """The object that the event is about, in the state that it then had."""

    object: msgspec.Raw


class StripeEvent(msgspec.Struct, frozen=True):
    """A snapshot event."""

    type: str
    created: int
    data: StripeData


class _Intent(msgspec.Struct, frozen=True):
    id: str
    amount: int
    currency: str
    amount_capturable: int = 0
    amount_received: int = 0


class _Refund(msgspec.Struct, frozen=True):
    id: str
    amount: int
    currency: str
    status: str | None = None
    charge: str | None = None
    payment_intent: str | None = None


class _RefundList(msgspec.Struct, frozen=True):
    data: tuple[_Refund, ...] = ()


class _Charge(msgspec.Struct, frozen=True):
    id: str
    amount: int
    currency: str
    captured: bool = True
    amount_captured: int | None = None
    payment_intent: str | None = None
    refunds: _RefundList | None = None


class _Dispute(msgspec.Struct, frozen=True):
    amount: int
    currency: str
    status: str
    charge: str | None = None
    payment_intent: str | None = None


class _Money(msgspec.Struct, frozen=True):
    """A payment's name and amount, as Stripe writes them."""

    ref: str
    amount: int
    currency: str


def commands_of(event: StripeEvent, order: OrderKey | None) -> tuple[Command, ...]:
    """Translate an event that moves money; empty when its type does not."""
    raw = bytes(event.data.object)
    if event.type in _INTENT:
        return (_intent(event, read_json(raw, _Intent), order),)
    if event.type in _CHARGE:
        return (_charge(event, read_json(raw, _Charge), order),)
    return _gone_back(event, raw, order)


def _gone_back(event: StripeEvent, raw: bytes, order: OrderKey | None) -> tuple[Command, ...]:
    if event.type == "charge.refunded":
        return _refunded(event, read_json(raw, _Charge), order)
    if event.type.startswith(("refund.", "charge.refund.")):
        return (_refund(event, read_json(raw, _Refund), order),)
    if event.type.startswith("charge.dispute."):
        return (_dispute(event, read_json(raw, _Dispute), order),)
    return ()


def _intent(event: StripeEvent, intent: _Intent, order: OrderKey | None) -> Command:
    state, member = _INTENT[event.type]
    amount: int = getattr(intent, member)
    if member == "amount_capturable" and amount == 0:
        return ignored("nothing is left to capture; what was captured is told by itself")
    return _payment(event, state, _Money(intent.id, amount, intent.currency), order=order)


def _charge(event: StripeEvent, charge: _Charge, order: OrderKey | None) -> Command:
    """Translate a charge under its intent's id, where it has one: one payment keeps one name."""
    state = _CHARGE[event.type]
    if event.type == "charge.succeeded" and not charge.captured:
        state = "authorised"
    amount = charge.amount
    if state == "captured" and charge.amount_captured is not None:
        amount = charge.amount_captured
    money = _Money(charge.payment_intent or charge.id, amount, charge.currency)
    return _payment(event, state, money, order=order)


def _refunded(event: StripeEvent, charge: _Charge, order: OrderKey | None) -> tuple[Command, ...]:
    """Translate the list of refunds that older API versions put into the charge.

    Newer ones leave it out, and the charge alone knows only a sum, under no refund's id: booking it
    would count each refund twice beside its own event, so a person has to see to the subscription.
    """
    if charge.refunds is None or not charge.refunds.data:
        return (suspected("the charge lists no refunds; subscribe to refund.created and updated"),)
    return tuple(
        _refund(event, refund, order, parent=charge.payment_intent)
        for refund in charge.refunds.data
    )


def _refund(
    event: StripeEvent, refund: _Refund, order: OrderKey | None, *, parent: str | None = None
) -> Command:
    if refund.status not in _REFUND_STATE:
        return suspected(f"refund status {refund.status}")
    state = _REFUND_STATE[refund.status]
    currency = currency_code(refund.currency)
    return RecordRefund(
        refund_ref=refund.id,
        payment_ref=refund.payment_intent or parent or refund.charge or "",
        order=order,
        state=state,
        amount_minor=_minor(refund.amount, currency),
        currency=currency,
        version=version_of_seconds(event.created, _REFUND_RANK[state]),
    )


def _dispute(event: StripeEvent, dispute: _Dispute, order: OrderKey | None) -> Command:
    """Translate a dispute, an inquiry too: the payment is disputed until the case is won or closed.

    Then it is captured again, at the disputed amount: Stripe tells only that one here. A lost case
    stays disputed, as its money is gone.
    """
    ref = dispute.payment_intent or dispute.charge
    if not ref:
        raise Unreadable("a dispute that names neither charge nor payment intent")
    money = _Money(ref, dispute.amount, dispute.currency)
    if dispute.status in ("won", "warning_closed", "prevented"):
        return _payment(event, "captured", money, order=order, rank=_DISPUTE_OVER_RANK)
    return _payment(event, "disputed", money, order=order)


def _payment(
    event: StripeEvent,
    state: _PaymentState,
    money: _Money,
    *,
    order: OrderKey | None,
    rank: int | None = None,
) -> RecordPayment:
    currency = currency_code(money.currency)
    return RecordPayment(
        state=state,
        payment_ref=money.ref,
        order=order,
        amount_minor=_minor(money.amount, currency),
        currency=currency,
        version=version_of_seconds(event.created, rank or _PAYMENT_RANK[state]),
    )


def _minor(amount: int, currency: str) -> int:
    """Return Stripe's integer in the smallest unit that ISO 4217 gives the currency."""
    if currency in _NO_DECIMALS_AT_STRIPE:
        return bounded(amount * _HUNDRED)
    if currency in _TWO_DECIMALS_AT_STRIPE:
        whole, rest = divmod(amount, _HUNDRED)
        if rest:
            raise Unreadable(f"an amount is finer than the smallest unit of {currency}")
        return bounded(whole)
    return bounded(amount)
