"""eBay: keys, headers, the handshake and the fetched order."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from config.errors import Misconfigured, Unreadable
from handlers.commands import (
    Command,
    Delivery,
    FetchOrder,
    Ignore,
    LineQuantity,
    OrderKey,
    PlaceOrder,
    RecordPayment,
    ReportFulfilment,
    Suspect,
)
from handlers.sources.channel import Channel
from handlers.sources.signatures import from_base64, to_base64
from tests.payload_folder import own_payload
from tests.unit.handlers.sources import given

ORDER = OrderKey(source="shop-1", ref="01-00001-00001")
NO_KEYS = given.Keys({})


def notice(topic: str, data: Any) -> bytes:
    notification = {"notificationId": "n1", "eventDate": "2026-03-02T10:00:00Z", "data": data}
    return msgspec.json.encode({"metadata": {"topic": topic}, "notification": notification})


def decode(topic: str, data: Any) -> Command:
    found = given.opened("ebay").decode(given.request(notice(topic, data)))
    assert (found.key, found.topic) == ("n1", topic)
    return found.commands[0]


def retrieved(**changes: Any) -> tuple[Command, ...]:
    document = {**msgspec.json.decode(own_payload("ebay/retrieved_order.json")), **changes}
    return given.opened("ebay").decode_order(msgspec.json.encode(document)).commands


def snapshot_of(**changes: Any) -> PlaceOrder:
    snapshot = retrieved(**changes)[0]
    assert isinstance(snapshot, PlaceOrder)
    return snapshot


def test_a_confirmation_is_fetched() -> None:
    data = {"order": {"orderId": "01-00001-00001"}}
    assert decode("ORDER_CONFIRMATION", data) == FetchOrder(order=ORDER)


def test_an_item_marked_shipped_has_its_order_read() -> None:
    body = own_payload("ebay/item_marked_shipped.json")
    (command,) = given.opened("ebay").decode(given.request(body)).commands
    assert command == FetchOrder(order=ORDER)


def test_a_fetched_order_tells_which_lines_have_been_sent() -> None:
    (line,) = msgspec.json.decode(own_payload("ebay/retrieved_order.json"))["lineItems"]
    other = {**line, "lineItemId": "2", "lineItemFulfillmentStatus": "NOT_STARTED"}
    sent = {**line, "lineItemFulfillmentStatus": "FULFILLED"}
    _, _, report = retrieved(lineItems=[sent, other])
    assert isinstance(report, ReportFulfilment)
    assert (report.state, report.fulfilment_ref) == ("handed_off", f"{ORDER.ref}:sent")
    assert report.lines == (LineQuantity(line_ref="10000000000001", quantity=3),)


@pytest.mark.parametrize("status", ["PARTIALLY_REFUNDED", "FULLY_REFUNDED"])
def test_what_was_refunded_had_been_paid(status: str) -> None:
    _, paid = retrieved(orderPaymentStatus=status)
    assert isinstance(paid, RecordPayment)
    assert (paid.state, paid.amount_minor) == ("captured", 2499)


def test_a_privacy_request_is_acknowledged_and_an_unknown_topic_suspect() -> None:
    assert isinstance(decode("MARKETPLACE_ACCOUNT_DELETION", {}), Ignore)
    assert isinstance(decode("TELEPORT", {}), Suspect)


def test_a_fetched_order_brings_its_payment() -> None:
    snapshot, paid = retrieved()
    assert isinstance(snapshot, PlaceOrder)
    assert snapshot.delivery == Delivery(method="ship", country="US", postcode="10001")
    assert (snapshot.total_minor, snapshot.shipping_minor) == (2499, 499)
    assert snapshot.customer_label == "Robin D."
    assert isinstance(paid, RecordPayment)
    assert (paid.state, paid.amount_minor, paid.order) == ("captured", 2499, ORDER)
    assert len(retrieved(orderPaymentStatus="PENDING")) == 1


def test_a_lines_cost_is_split_without_losing_a_cent() -> None:
    (line,) = snapshot_of().lines
    assert line.item == "110000000001"
    assert (line.unit_price_minor, line.quantity, line.discount_minor) == (667, 3, 1)
    assert line.unit_price_minor * line.quantity - line.discount_minor == 2000


def test_a_promotion_is_a_discount() -> None:
    document = msgspec.json.decode(own_payload("ebay/retrieved_order.json"))
    (line,) = document["lineItems"]
    line["discountedLineItemCost"] = {"value": "18.00", "currency": "USD"}
    (found,) = snapshot_of(lineItems=[line]).lines
    assert found.discount_minor == 1 + 200


def test_only_a_cancellation_that_was_done_cancels() -> None:
    assert not snapshot_of(cancelStatus={"cancelState": "IN_PROGRESS"}).cancelled
    assert snapshot_of(cancelStatus={"cancelState": "CANCELED"}).cancelled


def test_in_store_pickup_names_the_place() -> None:
    step = {"merchantLocationKey": "S-001"}
    kind = "PREPARE_FOR_PICKUP"
    instruction = {"fulfillmentInstructionsType": kind, "pickupStep": step}
    snapshot = snapshot_of(fulfillmentStartInstructions=[instruction])
    assert snapshot.delivery == Delivery(method="pickup", place="S-001")


def test_an_order_in_two_currencies_is_unreadable() -> None:
    pricing = {
        "total": {"value": "1", "currency": "USD"},
        "tax": {"value": "1", "currency": "CAD"},
    }
    with pytest.raises(Unreadable, match="more than one currency"):
        retrieved(pricingSummary=pricing)


@pytest.mark.parametrize(
    ("method", "query", "options"),
    [
        ("GET", {}, {"verification_token": "t", "endpoint": "e"}),
        ("GET", {"challenge_code": "c"}, {"endpoint": "e"}),
        ("GET", {"challenge_code": "c" * 501}, {"verification_token": "t", "endpoint": "e"}),
        ("POST", {"challenge_code": "c"}, {"verification_token": "t", "endpoint": "e"}),
    ],
)
def test_no_challenge_gets_no_answer(
    method: str, query: dict[str, str], options: dict[str, Any]
) -> None:
    asked = given.request(b"", method=method, query=query)
    assert given.opened("ebay", **options).handshake(asked) is None


def changed(channel: Channel, **members: str) -> dict[str, str]:
    headers = channel.sign(b"{}", "", given.NOW)
    claim = msgspec.json.decode(from_base64(headers["x-ebay-signature"]))
    text = to_base64(msgspec.json.encode({**claim, **members}))
    return {"x-ebay-signature": text}


@pytest.mark.parametrize(
    "members",
    [
        {"alg": "none"},
        {"digest": "SHA256"},
        {"kid": "other"},
        {"kid": "../" * 10},
        {"signature": "AAAA"},
        {"signature": "!"},
    ],
)
async def test_a_header_that_claims_otherwise_proves_nothing(members: dict[str, str]) -> None:
    channel = given.opened("ebay", keys=NO_KEYS)
    assert await given.passes(channel, given.request(b"{}", changed(channel)))
    assert not await given.passes(channel, given.request(b"{}", changed(channel, **members)))


@pytest.mark.parametrize("text", ["", "AAAA", "e30=", "bm8=", "{}", "\u2603"])
async def test_a_malformed_header_proves_nothing(text: str) -> None:
    asked = given.request(b"{}", {"x-ebay-signature": text})
    assert not await given.passes(given.opened("ebay"), asked)


def other_public_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"nonsense",
        b"-----BEGIN PUBLIC KEY-----AAAA-----END PUBLIC KEY-----",
        other_public_pem(ec.derive_private_key(5, ec.SECP384R1())),
        other_public_pem(rsa.generate_private_key(65537, 2048)),
    ],
)
async def test_a_key_that_is_not_on_p256_proves_nothing(pem: bytes) -> None:
    signer = given.opened("ebay")
    channel = given.opened("ebay", b"not-a-key", keys=given.Keys({"k1": pem}))
    asked = given.request(b"{}", changed(signer, kid="k1"))
    assert not await given.passes(channel, asked)


def test_an_account_that_could_never_verify_is_refused() -> None:
    with pytest.raises(Misconfigured, match="public keys"):
        given.opened("ebay", b"not-a-key")
    with pytest.raises(Misconfigured, match="private key"):
        given.opened("ebay", b"-----BEGIN PRIVATE KEY-----AAAA-----END PRIVATE KEY-----")
    with pytest.raises(Misconfigured, match="only eBay can sign"):
        given.opened("ebay", b"x", keys=NO_KEYS).sign(b"{}", "", given.NOW)
