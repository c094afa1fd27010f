"""Standard Webhooks: secrets, ids, and our own commands as data."""

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from config.errors import Misconfigured, Unreadable
from handlers.commands import (
    CancelOrder,
    Command,
    CountStock,
    Delivery,
    OrderKey,
    PlaceOrder,
    RecordPayment,
    RecordRefund,
    ReportFulfilment,
    Suspect,
)
from tests.payload_folder import own_payload
from tests.unit.handlers.sources import given

ORDER = OrderKey(source="shop-1", ref="A-1")


def decode(kind: str, data: Any) -> Command:
    body = msgspec.json.encode({"type": kind, "data": data})
    found = given.opened("standard_webhooks").decode(given.request(body, {"webhook-id": "msg_1"}))
    assert (found.key, found.topic) == ("msg_1", kind)
    return found.commands[0]


def placed(**changes: Any) -> dict[str, Any]:
    event = msgspec.json.decode(own_payload("standard_webhooks/order_placed.json"))
    return {**event["data"], **changes}


def test_an_order_is_taken_as_it_is() -> None:
    command = decode("order.placed", placed())
    assert isinstance(command, PlaceOrder)
    assert command.order == ORDER
    assert command.placed_at == datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
    assert command.delivery == Delivery(method="pickup", place="S-001")


@pytest.mark.parametrize(
    ("kind", "data", "form"),
    [
        ("order.cancelled", {"order": {"source": "web", "ref": "A-1"}}, CancelOrder),
        ("refund.issued", {"refund_ref": "r", "amount_minor": 1, "currency": "EUR"}, RecordRefund),
        (
            "stock.counted",
            {"counts": [{"sku": "A", "place": "S-001", "quantity": -1, "version": 1}]},
            CountStock,
        ),
        (
            "fulfilment.changed",
            {"order": "A-1", "fulfilment_ref": "f", "state": "ready"},
            ReportFulfilment,
        ),
    ],
)
def test_each_type_has_its_command(kind: str, data: dict[str, Any], form: type) -> None:
    assert isinstance(decode(kind, data), form)


@pytest.mark.parametrize("state", ["authorised", "captured", "failed", "voided", "disputed"])
def test_a_payments_state_is_its_types(state: Any) -> None:
    data = {"payment_ref": "p", "order": "A-1", "amount_minor": 5, "currency": "EUR"}
    assert decode(f"payment.{state}", data) == RecordPayment(
        state=state, payment_ref="p", order=ORDER, amount_minor=5, currency="EUR"
    )


def test_a_payment_that_contradicts_its_type_is_unreadable() -> None:
    data = {"payment_ref": "p", "amount_minor": 5, "currency": "EUR", "state": "failed"}
    with pytest.raises(Unreadable, match="contradicts"):
        decode("payment.captured", data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "unknown field `colour`"),
        ({"lines": [{"line_ref": "1", "quantity": -1}]}, r"\$\.lines\[0\]\.quantity"),
        ({"currency": "euro"}, r"\$\.currency"),
        ({"placed_at": "2026-03-01T10:00:00"}, "offset"),
        ({"delivery": {"latest": "2026-03-01T10:00:00"}}, "offset"),
        ({"command": "order.cancelled"}, r"\$\.command"),
        ({"version": True}, r"\$\.version"),
        ({"version": 2**63}, r"\$\.version"),
        ({"number": "a\0b"}, "NUL"),
        ({"order": ""}, r"\$\.order\.ref"),
    ],
)
def test_data_that_break_the_contract_name_the_field(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        decode("order.placed", placed(**changes))


def test_an_unknown_type_is_suspect_and_none_at_all_unreadable() -> None:
    assert decode("contact.created", {"id": 1}) == Suspect(reason="type contact.created")
    vector = given.loaded("standard_webhooks", "signature_vector_1.json")
    with pytest.raises(Unreadable, match="type"):
        given.opened("standard_webhooks").decode(given.request(vector["body"].encode()))


def test_a_message_without_an_id_is_unreadable() -> None:
    body = msgspec.json.encode({"type": "order.placed", "data": placed()})
    with pytest.raises(Unreadable, match="webhook-id"):
        given.opened("standard_webhooks").decode(given.request(body))


async def test_an_id_with_a_full_stop_proves_nothing() -> None:
    channel = given.opened("standard_webhooks", b"whsec_" + base64.b64encode(b"key"))
    stamp = str(int(given.NOW.timestamp()))
    body = f"{stamp}.{{}}".encode()
    headers = channel.sign(body, "", given.NOW)
    assert await given.passes(channel, given.request(body, headers))
    # The same signed bytes, cut elsewhere: id.time | time | {} instead of id | time | time.{}
    moved = {**headers, "webhook-id": f"{headers['webhook-id']}.{stamp}"}
    assert not await given.passes(channel, given.request(b"{}", moved))


async def test_an_unsigned_id_beside_the_signed_one_proves_nothing() -> None:
    channel = given.opened("standard_webhooks")
    headers = channel.sign(b"{}", "", given.NOW)
    svix = {name.replace("webhook-", "svix-"): text for name, text in headers.items()}
    assert await given.passes(channel, given.request(b"{}", svix))
    assert not await given.passes(channel, given.request(b"{}", {**svix, "webhook-id": "msg_2"}))


async def test_all_live_secrets_sign_and_any_one_verifies() -> None:
    secrets = [b"whsec_" + base64.b64encode(bytes([n]) * 24) for n in range(3)]
    headers = given.opened("standard_webhooks", *secrets[:2]).sign(b"{}", "", given.NOW)
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret, good in zip(secrets, (True, True, False), strict=True):
        channel = given.opened("standard_webhooks", secret)
        assert await given.passes(channel, given.request(b"{}", headers)) == good


async def test_a_private_key_signs_for_its_public_one() -> None:
    vector = given.loaded("standard_webhooks", "signature_vector_2_ed25519.json")
    signer = given.opened("standard_webhooks", vector["secret"].encode())
    headers = signer.sign(b"{}", "", given.NOW)
    assert headers["webhook-signature"].startswith("v1a,")
    reader = given.opened("standard_webhooks", vector["public_key"].encode())
    assert await given.passes(reader, given.request(b"{}", headers))
    assert not await given.passes(reader, given.request(b"{ }", headers))
    with pytest.raises(Misconfigured, match="public key cannot sign"):
        reader.sign(b"{}", "", given.NOW)


@pytest.mark.parametrize(
    "secret", [b"whsec_", b"whsec_!", b"plain text", b"whpk_AAAA", b"whsk_AA=="]
)
def test_a_malformed_secret_is_refused(secret: bytes) -> None:
    with pytest.raises(Misconfigured):
        given.opened("standard_webhooks", secret)
