"""Shopify: HMAC over the body; topic and ids stand in headers that the signature does not cover.

Rules: shopify.dev/docs/apps/build/webhooks (delivery, ignore-duplicates, subscribe/https) and the
libraries shopify-api-ruby and shopify-app-js, which read both families of headers.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from config.clock import iso
from config.errors import Unreadable
from handlers.commands import CancelOrder, Command, OrderKey
from handlers.sources import shopify_facts
from handlers.sources.channel import Account, Answer, Decoded, Request, read_json, read_options
from handlers.sources.shopify_order import OrderTranslator, ShopifyOptions, ShopifyOrder
from handlers.sources.signatures import (
    delivery_id,
    from_base64,
    header,
    hmac_sha256,
    require_match,
    secrets_of,
    to_base64,
)
from handlers.sources.times import Moment, version_of
from handlers.sources.translation import (
    WholeId,
    decoded,
    digest_key,
    ignored,
    suspected,
)

_ORDER_TOPICS = frozenset(
    f"orders/{word}"
    for word in ("create", "updated", "paid", "fulfilled", "partially_fulfilled", "cancelled")
)
_TEST_TOPICS = frozenset({"orders/create", "orders/paid"})
_FACTS: dict[str, Callable[[bytes, str], tuple[str, Command]]] = {
    "refunds/create": shopify_facts.refund,
    "order_transactions/create": shopify_facts.order_transaction,
    "tender_transactions/create": shopify_facts.tender_transaction,
    "fulfillments/create": shopify_facts.fulfilment,
    "fulfillments/update": shopify_facts.fulfilment,
    "inventory_levels/update": shopify_facts.inventory_level,
    "inventory_levels/connect": shopify_facts.inventory_level,
}
# The longest prefix that fits gives the reason.
_IGNORED = {
    "orders/edited": "the same change arrives whole as orders/updated",
    "inventory_levels/disconnect": "the item is no longer kept there; that is not a count",
    "inventory_items/": "catalogue data; levels arrive as inventory_levels/update",
    "fulfillment_orders/": "names ids only; goods are told by fulfillments/create and update",
    "fulfillment_events/": "the same status arrives as fulfillments/update",
    "returns/": "agreed only; goods and money are told by refunds/create",
    "disputes/": "the bank's case; money is told by the payment provider's own source",
    "customers/data_request": "privacy request: no profile is kept; answered by the operator",
    "customers/redact": "privacy request: at most a first name is kept, and it ages out",
    "shop/redact": "privacy request of an uninstalled shop; answered by the operator",
    "customers/": "customers are not kept",
    "products/": "the catalogue is imported, not followed",
    "variants/": "the catalogue is imported, not followed",
    "collections/": "the catalogue is imported, not followed",
    "shop/": "the shop's own settings",
    "locations/": "places are configured in the network file",
    "carts/": "not an order yet",
    "checkouts/": "not an order yet",
    "draft_orders/": "not an order yet; it arrives as orders/create",
    "themes/": "the shop's looks",
    "app/uninstalled": "the app was removed: no more deliveries until it is installed again",
    "app/": "the app's own life",
    "app_subscriptions/": "the app's own billing",
}


class _Deleted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that orders/delete carries; more than this is another document under a changed topic."""

    id: WholeId


class ShopifyChannel:
    """One shop's webhooks.

    The topic header is not signed, so a captured body may come again under another topic: each
    topic's form, and versions and ids from inside the body, keep that harmless.
    """

    def __init__(self, account: Account, options: ShopifyOptions) -> None:
        """Hold the account; compile what the options name."""
        self._id = account.id
        self._secrets = secrets_of(account)
        self._orders = OrderTranslator(account.id, options)
        self._payments_from = options.payments_from

    async def verify(self, request: Request) -> None:
        """Check base64 HMAC-SHA256 of the body, with every live secret."""
        text = header(request, "x-shopify-hmac-sha256", "shopify-hmac-sha256")
        require_match(hmac_sha256(self._secrets, request.body), [from_base64(text)])

    def decode(self, request: Request) -> Decoded:
        """Translate by topic.

        The key is the event id with topic, subscription name and record, since one action of a
        merchant sends several topics and records under one event id; without it the delivery's id,
        which stays over retries; without both, the content.
        """
        topic = _header(request, "topic")
        if not topic:
            raise Unreadable("no topic: the header x-shopify-topic is missing")
        record, command = self._translate(topic, request)
        return decoded(_key(request, topic, record), topic, command)

    def _translate(self, topic: str, request: Request) -> tuple[str, Command]:
        if topic in _ORDER_TOPICS:
            return self._order(topic, request)
        if topic == "orders/delete":
            return self._deleted(request)
        if topic in _FACTS:
            if reason := _counted_elsewhere(topic, self._payments_from):
                return "", ignored(reason)
            return _FACTS[topic](request.body, self._id)
        return "", _unused(topic)

    def _order(self, topic: str, request: Request) -> tuple[str, Command]:
        """Translate every order topic to the whole snapshot, cancelled or not.

        orders/cancelled too: it carries the whole order, so an order whose creation we never saw
        still becomes a record, where a bare cancellation would wait for it.
        """
        order = read_json(request.body, ShopifyOrder)
        cancelled = order.cancelled_at is not None
        if topic in _TEST_TOPICS and _from_test_button(request, order):
            cancelled = False
        return str(order.id), self._orders.snapshot(order, cancelled=cancelled)

    def _deleted(self, request: Request) -> tuple[str, Command]:
        form = read_json(request.body, _Deleted)
        key = OrderKey(source=self._id, ref=str(form.id))
        version = _triggered(request)
        return str(form.id), CancelOrder(order=key, version=version, reason="deleted")

    def handshake(self, _request: Request) -> Answer | None:
        """Shopify has none."""
        return None

    def decode_order(self, _document: bytes) -> Decoded:
        """Refuse: Shopify's order topics carry the whole order."""
        raise Unreadable("shopify sends whole orders; there is nothing to fetch")

    def sign(self, body: bytes, topic: str, now: datetime) -> dict[str, str]:
        """Sign with the first secret, as a new event."""
        event = delivery_id(body, topic, now)
        return {
            "content-type": "application/json",
            "x-shopify-topic": topic,
            "x-shopify-hmac-sha256": to_base64(hmac_sha256(self._secrets[:1], body)[0]),
            "x-shopify-event-id": event,
            "x-shopify-webhook-id": event,
            "x-shopify-triggered-at": iso(now),
        }


def open_channel(account: Account) -> ShopifyChannel:
    """Open a shop; Misconfigured when options or secrets are wrong."""
    return ShopifyChannel(account, read_options(account, ShopifyOptions))


def _header(request: Request, name: str) -> str:
    """Return a header of either family: `x-shopify-…`, or `shopify-…` of newer deliveries."""
    headers = request.headers
    return headers.get(f"x-shopify-{name}") or headers.get(f"shopify-{name}") or ""


def _key(request: Request, topic: str, record: str) -> str:
    if event := _header(request, "event-id"):
        return ":".join((event, topic, _header(request, "name"), record))
    if delivery := _header(request, "webhook-id"):
        return f"delivery:{delivery}"
    return digest_key(topic, request.body)


def _from_test_button(request: Request, order: ShopifyOrder) -> bool:
    """Tell Shopify's sample deliveries, whose orders are always marked cancelled, from real ones.

    The header is not signed, so the order itself must be a test order too.
    """
    return _header(request, "test") == "true" and bool(order.test)


def _triggered(request: Request) -> int:
    """Return the version of a body without a time: when Shopify says, else when it reached us."""
    try:
        return version_of(msgspec.convert(_header(request, "triggered-at"), Moment))
    except (msgspec.ValidationError, UnicodeEncodeError, Unreadable):
        return version_of(request.received_at)


def _counted_elsewhere(topic: str, payments_from: str) -> str:
    """Two topics tell the same money under different ids; the option keeps one of them."""
    if payments_from == "any" or not topic.endswith("_transactions/create"):
        return ""
    return "" if topic.startswith(payments_from) else f"payments come from {payments_from}"


def _unused(topic: str) -> Command:
    fits = [prefix for prefix in _IGNORED if topic.startswith(prefix)]
    return ignored(_IGNORED[max(fits, key=len)]) if fits else suspected(f"topic {topic}")
