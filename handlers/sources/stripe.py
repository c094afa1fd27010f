"""Stripe: timed HMAC over the body; payments join their order by a reference in their metadata.

Rules: docs.stripe.com/webhooks (verify manually, event types), docs.stripe.com/currencies, and the
libraries stripe-python and stripe-dotnet, whose vectors the tests verify.
"""

from contextlib import suppress
from datetime import datetime
from typing import Annotated

import msgspec

from config.errors import Unauthenticated, Unreadable
from handlers.commands import Command, OrderKey, Ref
from handlers.sources.channel import Account, Answer, Decoded, Request, read_json, read_options
from handlers.sources.options import ChannelOptions
from handlers.sources.signatures import (
    from_hex,
    header,
    hmac_sha256,
    require_fresh,
    require_match,
    secrets_of,
)
from handlers.sources.stripe_money import StripeEvent, commands_of
from handlers.sources.translation import (
    decoded,
    ignored,
    read_members,
    repeatable,
    suspected,
)

_IGNORED = {
    "account.": "the account's own settings",
    "balance.": "balances are matched from settlement reports",
    "charge.pending": "not decided yet",
    "charge.updated": "no money moved",
    "checkout.session.": "its payment intent carries the money",
    "customer.": "customers are not kept",
    "invoice.": "the invoice's payment arrives as payment_intent or charge",
    "invoiceitem.": "the invoice's payment arrives as payment_intent or charge",
    "mandate.": "payment methods are not kept",
    "payment_intent.created": "nothing is paid yet",
    "payment_intent.processing": "not decided yet",
    "payment_intent.requires_action": "not decided yet",
    "payment_link.": "its payment intent carries the money",
    "payment_method.": "payment methods are not kept",
    "payout.": "payouts are matched from settlement reports",
    "plan.": "the catalogue is not Stripe's",
    "price.": "the catalogue is not Stripe's",
    "product.": "the catalogue is not Stripe's",
    "radar.": "risk is judged before the order",
    "reporting.": "reports are fetched by schedule",
    "setup_intent.": "no money moves",
    "source.": "payment methods are not kept",
    "transfer.": "transfers between accounts are matched from settlement reports",
}


class StripeOptions(ChannelOptions, frozen=True, kw_only=True):
    """`[sources.options]` of a Stripe account."""

    order_source: Ref | None = None
    """The source that owns the orders; without it payments join by their own reference only."""
    order_ref: Annotated[str, msgspec.Meta(pattern=r"^[^.]+(\.[^.]+)*$", max_length=200)] = (
        "metadata.order_id"
    )
    """Where in `data.object` the order's id stands, members joined by dots."""


class _Head(msgspec.Struct, frozen=True):
    """What tells an event from the bare objects of the API and from thin events."""

    object: str
    id: str
    type: str | None = None


class StripeChannel:
    """One endpoint of one Stripe account."""

    def __init__(self, account: Account, options: StripeOptions) -> None:
        """Hold the account."""
        self._id = account.id
        self._secrets = secrets_of(account)
        self._order_source = options.order_source
        self._order_path = options.order_ref.split(".")

    async def verify(self, request: Request) -> None:
        """Check every `v1` against every secret, over `t.body`; `t` at most 300 s from our time.

        Secrets are used as they are, `whsec_` included; schemes other than v1 are passed over.
        """
        stamp, offered = _parsed(header(request, "stripe-signature"))
        require_fresh(stamp, request.received_at)
        require_match(hmac_sha256(self._secrets, stamp.encode() + b"." + request.body), offered)

    def decode(self, request: Request) -> Decoded:
        """Translate by type; the key is the event's id."""
        head = read_json(request.body, _Head)
        if head.object == "v2.core.event":
            reason = "a thin v2 event carries no data; subscribe this endpoint to snapshot events"
            return decoded(head.id, head.type or head.object, suspected(reason))
        if head.object != "event" or not head.id:
            raise Unreadable(f"object {head.object[:40]!r} is no webhook; one has object: event")
        event = read_json(request.body, StripeEvent)
        # `pending_webhooks` falls from attempt to attempt; the object is the fact.
        found = decoded(head.id, event.type, *self._commands(event))
        return repeatable(found, bytes(event.data.object))

    def _commands(self, event: StripeEvent) -> tuple[Command, ...]:
        money = commands_of(event, self._order_key(event))
        if money:
            return money
        for prefix, reason in _IGNORED.items():
            if event.type.startswith(prefix):
                return (ignored(reason),)
        return (suspected(f"type {event.type}"),)

    def _order_key(self, event: StripeEvent) -> OrderKey | None:
        """Return the order that the object names, None when it names none."""
        found: object = read_members(bytes(event.data.object))
        for name in self._order_path:
            found = found.get(name) if isinstance(found, dict) else None
        return self._key_of(found)

    def _key_of(self, found: object) -> OrderKey | None:
        whole_number = isinstance(found, int) and not isinstance(found, bool)
        if self._order_source is None or not (isinstance(found, str) or whole_number):
            return None
        ref = str(found).strip()
        return OrderKey(source=self._order_source, ref=ref) if ref else None

    def handshake(self, _request: Request) -> Answer | None:
        """Stripe has none."""
        return None

    def decode_order(self, _document: bytes) -> Decoded:
        """Refuse: Stripe owns payments, not orders."""
        raise Unreadable("stripe owns no orders; there is nothing to fetch")

    def sign(self, body: bytes, topic: str, now: datetime) -> dict[str, str]:
        """Sign now with the first secret; the type stands in the body."""
        del topic
        stamp = str(int(now.timestamp()))
        signature = hmac_sha256(self._secrets[:1], stamp.encode() + b"." + body)[0]
        return {
            "content-type": "application/json; charset=utf-8",
            "stripe-signature": f"t={stamp},v1={signature.hex()}",
        }


def open_channel(account: Account) -> StripeChannel:
    """Open an endpoint; Misconfigured when options or secrets are wrong."""
    return StripeChannel(account, read_options(account, StripeOptions))


def _parsed(text: str) -> tuple[str, list[bytes]]:
    """Return the one `t` and every readable `v1` of a `Stripe-Signature` header."""
    pairs = [part.partition("=") for part in text.split(",")]
    stamps = [value for name, _, value in pairs if name == "t"]
    offered: list[bytes] = []
    for name, _, value in pairs:
        if name == "v1":
            # One broken part must not hide a good one, as rotation sends several.
            with suppress(Unauthenticated):
                offered.append(from_hex(value))
    if len(stamps) != 1 or not offered:
        raise Unauthenticated("the header stripe-signature needs one t and a v1")
    return stamps[0], offered
