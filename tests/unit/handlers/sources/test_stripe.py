"""Stripe: header, currencies, joins and versions within a second."""

from typing import Any

import msgspec
import pytest

from config.errors import Misconfigured, Unreadable
from handlers.commands import (
    Command,
    Ignore,
    OrderKey,
    RecordPayment,
    RecordRefund,
    Suspect,
)
from tests.payload_folder import own_payload
from tests.unit.handlers.sources import given

CREATED = 1_772_359_200
BASE = CREATED * 1_000_000


def decode(kind: str, content: dict[str, Any], **options: Any) -> Command:
    body = {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "created": CREATED,
        "data": {"object": content},
    }
    found = given.opened("stripe", **options).decode(given.request(msgspec.json.encode(body)))
    assert (found.key, found.topic) == ("evt_1", kind)
    return found.commands[0]


def intent(**changes: Any) -> dict[str, Any]:
    return {"id": "pi_1", "amount": 10, "currency": "eur", **changes}


def charge(**changes: Any) -> dict[str, Any]:
    return {"id": "ch_1", "amount": 10, "currency": "eur", "payment_intent": "pi_1", **changes}


def payment(command: Command) -> RecordPayment:
    assert isinstance(command, RecordPayment)
    return command


def test_a_payment_names_its_order_in_the_metadata() -> None:
    body = own_payload("stripe/payment_intent_succeeded.json")
    (command,) = given.opened("stripe").decode(given.request(body)).commands
    assert command == RecordPayment(
        state="captured",
        payment_ref="pi_own_0001",
        order=OrderKey(source="shop-main", ref="5100000000001"),
        amount_minor=2400,
        currency="GBP",
        version=BASE + 3,
    )


@pytest.mark.parametrize(
    ("kind", "content", "state", "amount"),
    [
        ("payment_intent.succeeded", intent(amount_received=9), "captured", 9),
        ("payment_intent.amount_capturable_updated", intent(amount_capturable=8), "authorised", 8),
        ("payment_intent.payment_failed", intent(), "failed", 10),
        ("payment_intent.canceled", intent(), "voided", 10),
        ("charge.succeeded", charge(captured=False), "authorised", 10),
        ("charge.succeeded", charge(amount_captured=10), "captured", 10),
        ("charge.captured", charge(amount_captured=7), "captured", 7),
        ("charge.failed", charge(captured=False), "failed", 10),
        ("charge.expired", charge(captured=False), "voided", 10),
    ],
)
def test_intents_and_charges_are_one_payment(
    *, kind: str, content: dict[str, Any], state: str, amount: int
) -> None:
    command = payment(decode(kind, content))
    assert (command.state, command.amount_minor) == (state, amount)
    assert (command.payment_ref, command.order) == ("pi_1", None)


def test_a_capture_in_the_second_of_its_authorisation_is_newer() -> None:
    authorised = payment(decode("charge.succeeded", charge(captured=False)))
    captured = payment(decode("charge.captured", charge(amount_captured=10)))
    assert BASE < authorised.version < captured.version < BASE + 1_000_000


def test_nothing_left_to_capture_is_no_authorisation() -> None:
    assert isinstance(decode("payment_intent.amount_capturable_updated", intent()), Ignore)


@pytest.mark.parametrize(
    ("path", "content", "ref"),
    [
        ("metadata.order_id", {"metadata": {"order_id": " A-1 "}}, "A-1"),
        ("metadata.order_id", {"metadata": {"order_id": 12}}, "12"),
        ("metadata.order_id", {"metadata": {"order_id": ""}}, None),
        ("metadata.order_id", {"metadata": {"order_id": True}}, None),
        ("metadata.order_id", {"metadata": {"order_id": 1.5}}, None),
        ("metadata.order_id", {"metadata": None}, None),
        ("transfer_group", {"transfer_group": "A-2"}, "A-2"),
    ],
)
def test_the_orders_place_in_the_object_is_an_option(
    path: str, content: dict[str, Any], ref: str | None
) -> None:
    command = payment(decode("payment_intent.canceled", intent(**content), order_ref=path))
    expected = OrderKey(source="shop-main", ref=ref) if ref else None
    assert command.order == expected


def test_without_a_source_of_orders_a_payment_joins_by_its_reference() -> None:
    content = intent(metadata={"order_id": "A-1"})
    assert payment(decode("payment_intent.canceled", content, order_source=None)).order is None


@pytest.mark.parametrize("path", ["", ".", "a..b", "a."])
def test_a_path_with_an_empty_member_is_refused(path: str) -> None:
    with pytest.raises(Misconfigured, match="order_ref"):
        given.opened("stripe", order_ref=path)


@pytest.mark.parametrize(
    ("currency", "amount", "expected"),
    [
        ("usd", 1099, 1099),
        ("jpy", 500, 500),
        ("kwd", 5120, 5120),
        ("isk", 500, 5),
        ("ugx", 700, 7),
        ("mga", 5, 500),
    ],
)
def test_amounts_come_in_the_units_of_iso_4217(currency: str, amount: int, expected: int) -> None:
    content = intent(currency=currency, amount=amount)
    assert payment(decode("payment_intent.canceled", content)).amount_minor == expected


def test_a_fraction_of_a_krona_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="finer"):
        decode("payment_intent.canceled", intent(currency="isk", amount=501))


@pytest.mark.parametrize("kind", ["refund.created", "charge.refund.updated", "refund.failed"])
@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("pending", "pending"),
        ("succeeded", "succeeded"),
        ("canceled", "failed"),
        (None, "succeeded"),
    ],
)
def test_a_refund_has_its_own_life(kind: str, status: str | None, state: str) -> None:
    content = {"id": "re_1", "amount": 4, "currency": "eur", "charge": "ch_1", "status": status}
    command = decode(kind, content)
    assert isinstance(command, RecordRefund)
    assert (command.refund_ref, command.payment_ref, command.state) == ("re_1", "ch_1", state)


def test_a_refund_of_unknown_status_is_suspect() -> None:
    content = {"id": "re_1", "amount": 4, "currency": "eur", "status": "dreaming"}
    assert isinstance(decode("refund.updated", content), Suspect)


def test_a_refunded_charge_without_its_list_needs_a_person() -> None:
    assert isinstance(decode("charge.refunded", charge(amount_refunded=4)), Suspect)


def test_a_refunded_charge_lends_its_intent_to_its_refunds() -> None:
    refund = {"id": "re_1", "amount": 4, "currency": "eur", "charge": "ch_1"}
    command = decode("charge.refunded", charge(refunds={"data": [refund]}))
    assert isinstance(command, RecordRefund)
    assert command.payment_ref == "pi_1"


@pytest.mark.parametrize(
    ("status", "state", "rank"),
    [("needs_response", "disputed", 5), ("lost", "disputed", 5), ("won", "captured", 6)],
)
def test_a_dispute_holds_the_payment_until_it_is_won(status: str, state: str, rank: int) -> None:
    content = {"amount": 4, "currency": "eur", "charge": "ch_1", "status": status}
    command = payment(decode("charge.dispute.closed", content))
    assert (command.state, command.payment_ref) == (state, "ch_1")
    assert command.version == BASE + rank
    with pytest.raises(Unreadable, match="neither charge nor payment intent"):
        decode("charge.dispute.closed", {**content, "charge": None})


def test_a_thin_event_is_suspect() -> None:
    body = own_payload("stripe/thin_event.json")
    (command,) = given.opened("stripe").decode(given.request(body)).commands
    assert isinstance(command, Suspect)
    assert "snapshot events" in command.reason


def test_an_unknown_type_is_suspect() -> None:
    assert isinstance(decode("teleport.created", {}), Suspect)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("v1=", "v0="),
        lambda text: text.replace("t=", "t=0,t="),
        lambda text: text.split(",")[0],
        lambda text: text.split(",")[1],
        lambda text: text.replace("t=", "t=+"),
        lambda text: text.upper(),
        lambda _text: "t=,v1=",
    ],
)
async def test_a_header_of_another_form_proves_nothing(change: Any) -> None:
    channel = given.opened("stripe")
    headers = channel.sign(b"{}", "", given.NOW)
    assert await given.passes(channel, given.request(b"{}", headers))
    headers["stripe-signature"] = change(headers["stripe-signature"])
    assert not await given.passes(channel, given.request(b"{}", headers))


async def test_any_of_several_signatures_is_enough() -> None:
    channel = given.opened("stripe")
    headers = channel.sign(b"{}", "", given.NOW)
    stamp, good = headers["stripe-signature"].split(",")
    headers["stripe-signature"] = f"{stamp},v1={'0' * 64},v1=broken,{good},v0=x"
    assert await given.passes(channel, given.request(b"{}", headers))
