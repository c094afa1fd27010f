"""Shopify: keys, snapshots, places, money and the unsigned topic."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from config.clock import to_us
from config.errors import Misconfigured, Unreadable
from handlers.commands import (
    CancelOrder,
    Command,
    Count,
    CountStock,
    Delivery,
    Ignore,
    OrderKey,
    PlaceOrder,
    RecordPayment,
    RecordRefund,
    RefundLine,
    ReportFulfilment,
    Suspect,
)
from tests.payload_folder import own_payload
from tests.unit.handlers.sources import given

ORDER = OrderKey(source="shop-1", ref="5100000000001")
T0 = "2026-03-01T10:00:00Z"
T0_US = to_us(datetime(2026, 3, 1, 10, 0, tzinfo=UTC))


def headers(topic: str, **more: str) -> dict[str, str]:
    named = {f"x-shopify-{name.replace('_', '-')}": value for name, value in more.items()}
    return {"x-shopify-topic": topic, **named}


def decode(topic: str, body: Any, *, options: dict[str, Any] | None = None, **more: str) -> Command:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    asked = given.request(raw, headers(topic, **more))
    (command,) = given.opened("shopify", **(options or {})).decode(asked).commands
    return command


def order(name: str, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(own_payload(f"shopify/{name}.json"))
    return {**document, **changes}


def placed(name: str, topic: str = "orders/updated", **changes: Any) -> PlaceOrder:
    command = decode(topic, order(name, **changes))
    assert isinstance(command, PlaceOrder)
    return command


def test_a_counter_sale_is_handed_over_at_its_location() -> None:
    snapshot = placed("pos_sale")
    assert snapshot.delivery == Delivery(method="handed_over", place="70000000001")
    assert snapshot.order == ORDER
    assert snapshot.customer_label == "Alex B."
    assert snapshot.placed_at == datetime(2026, 3, 1, 9, 58, tzinfo=UTC)
    assert snapshot.version == T0_US + 1_000_000
    assert (snapshot.total_minor, snapshot.tax_minor, snapshot.tax_included) == (2400, 400, True)
    (line,) = snapshot.lines
    assert (line.item, line.sku, line.quantity) == ("8100000000001", "MUG-BLUE", 2)
    assert (line.unit_price_minor, line.tax_minor) == (1200, 400)


def test_a_counter_sale_takes_the_place_of_its_fulfilment_or_is_suspect() -> None:
    fulfilments = [{"location_id": 5}, {"location_id": 5}]
    snapshot = placed("pos_sale", location_id=None, fulfillments=fulfilments)
    assert snapshot.delivery.place == "5"
    assert isinstance(decode("orders/create", order("pos_sale", location_id=None)), Suspect)


def test_current_quantities_share_tax_and_discount_exactly() -> None:
    (line,) = placed("pickup_order").lines
    assert (line.quantity, line.unit_price_minor) == (2, 1000)
    assert (line.tax_minor, line.discount_minor) == (133, 67)
    assert line.item == "7100000000002"


@pytest.mark.parametrize(
    ("restock", "fulfilled", "sold"),
    [("cancel", 0, 1), ("return", 2, 3), ("no_restock", 3, 3), ("no_restock", 0, 1)],
)
def test_units_that_came_back_were_sold_and_units_that_never_left_were_cancelled(
    restock: str, fulfilled: int, sold: int
) -> None:
    line = {"id": 7, "quantity": 3, "current_quantity": 1, "price": "1.00", "sku": "A"}
    units = {"line_item_id": 7, "quantity": 2, "restock_type": restock}
    parcel = {"status": "success", "line_items": [{"id": 7, "quantity": fulfilled}]}
    command = placed(
        "pickup_order",
        line_items=[line],
        refunds=[{"refund_line_items": [units]}],
        fulfillments=[parcel],
    )
    assert [one.quantity for one in command.lines] == [sold]


def test_a_shipping_line_means_pickup_where_a_rule_says_so() -> None:
    rule = {"field": "code", "pattern": r"pickup-(?P<place>S-\d+)", "place": "{place}"}
    options = {"pickup_match": [rule], "pickup_attribute": "Pickup-Location"}
    command = decode("orders/create", order("pickup_order"), options=options)
    assert isinstance(command, PlaceOrder)
    assert command.delivery == Delivery(method="pickup", place="S-007")
    assert command.total_minor == 2500


def test_a_removed_shipping_line_means_nothing() -> None:
    rule = {"field": "title", "pattern": "Pick up at Harbour Street", "place": "S-001"}
    command = decode("orders/create", order("pickup_order"), options={"pickup_match": [rule]})
    assert isinstance(command, PlaceOrder)
    assert command.delivery.method == "ship"


def test_a_note_attribute_names_the_place_when_no_rule_does() -> None:
    options = {"pickup_attribute": "Pickup-Location"}
    command = decode("orders/create", order("pickup_order"), options=options)
    assert isinstance(command, PlaceOrder)
    assert command.delivery == Delivery(method="pickup", place="S-009")


def test_lines_that_need_no_shipping_are_digital() -> None:
    line = {"id": 1, "quantity": 1, "price": "1", "requires_shipping": False}
    assert placed("pickup_order", line_items=[line]).delivery.method == "digital"


def test_every_topic_honours_a_cancellation() -> None:
    at = "2026-03-04T00:00:00Z"
    for topic in ("orders/create", "orders/paid", "orders/updated", "orders/cancelled"):
        assert placed("pickup_order", topic, cancelled_at=at).cancelled
    assert not placed("pickup_order", "orders/cancelled").cancelled


@pytest.mark.parametrize(
    ("name", "cancelled"),
    [("create", False), ("paid", False), ("updated", True), ("cancelled", True)],
)
def test_the_test_button_cancels_only_where_its_topic_may(name: str, *, cancelled: bool) -> None:
    channel = given.opened("shopify")
    (command,) = channel.decode(given.delivered("shopify", f"orders_{name}.json")).commands
    assert isinstance(command, PlaceOrder)
    assert command.cancelled is cancelled


def test_the_unsigned_test_header_alone_revives_no_order() -> None:
    body = order("pickup_order", cancelled_at=T0)
    command = decode("orders/create", body, test="true")
    assert isinstance(command, PlaceOrder)
    assert command.cancelled


def test_a_deletion_cancels_at_the_time_that_shopify_says() -> None:
    command = decode("orders/delete", {"id": 7}, triggered_at="2026-03-01T10:00:00.000000123Z")
    key = OrderKey(source="shop-1", ref="7")
    assert command == CancelOrder(order=key, version=T0_US, reason="deleted")


def test_a_captured_order_cannot_come_back_as_a_deletion() -> None:
    with pytest.raises(Unreadable, match="unknown field"):
        decode("orders/delete", order("pickup_order"))


def test_a_refund_is_the_sum_of_its_transactions() -> None:
    command = decode("refunds/create", own_payload("shopify/refund.json"))
    assert command == RecordRefund(
        refund_ref="6100000000001",
        order=ORDER,
        amount_minor=1200,
        currency="GBP",
        version=to_us(datetime(2026, 3, 3, 10, 0, tzinfo=UTC)),
        lines=(RefundLine(line_ref="9100000000001", quantity=1, restock="return"),),
    )


def test_a_trimmed_refund_adds_up_its_json_numbers_exactly() -> None:
    body = msgspec.json.decode(own_payload("shopify/refund.json"))
    del body["transactions"]
    body["refund_line_items"][0]["subtotal_set"] = {
        "shop_money": {"amount": "9.99", "currency_code": "GBP"}
    }
    command = decode("refunds/create", body)
    assert isinstance(command, RecordRefund)
    assert (command.state, command.amount_minor) == ("pending", 1200)


@pytest.mark.parametrize(
    ("statuses", "state", "amount"),
    [
        (["success", "pending"], "pending", 1200),
        (["success", "failure"], "succeeded", 1000),
        (["error", "failure"], "failed", 1200),
    ],
)
def test_a_refunds_state_is_that_of_its_transactions(
    statuses: list[str], state: str, amount: int
) -> None:
    body = msgspec.json.decode(own_payload("shopify/refund.json"))
    for transaction, status in zip(body["transactions"], statuses, strict=True):
        transaction["status"] = status
    command = decode("refunds/create", body)
    assert isinstance(command, RecordRefund)
    assert (command.state, command.amount_minor) == (state, amount)


TRANSACTION = {
    "id": 11,
    "order_id": 5100000000001,
    "status": "success",
    "amount": "24.00",
    "currency": "GBP",
    "processed_at": T0,
}


@pytest.mark.parametrize(
    ("kind", "status", "state", "ref"),
    [
        ("authorization", "success", "authorised", "11"),
        ("sale", "success", "captured", "11"),
        ("capture", "success", "captured", "10"),
        ("void", "success", "voided", "10"),
        ("sale", "failure", "failed", "11"),
        ("authorization", "error", "failed", "11"),
    ],
)
def test_a_transaction_is_a_payment_under_its_authorisations_name(
    *, kind: str, status: str, state: Any, ref: str
) -> None:
    parent = 10 if ref == "10" else None
    body = {**TRANSACTION, "kind": kind, "status": status, "parent_id": parent}
    assert decode("order_transactions/create", body) == RecordPayment(
        state=state,
        payment_ref=ref,
        order=ORDER,
        amount_minor=2400,
        currency="GBP",
        version=T0_US,
        part_ref="11" if kind == "capture" else "",
    )


@pytest.mark.parametrize(
    ("kind", "status", "form"),
    [
        ("refund", "success", Ignore),
        ("change", "success", Ignore),
        ("sale", "pending", Ignore),
        ("void", "failure", Ignore),
        ("barter", "success", Suspect),
        ("sale", "dreaming", Suspect),
    ],
)
def test_a_transaction_that_moves_nothing_says_so(kind: str, status: str, form: type) -> None:
    body = {**TRANSACTION, "kind": kind, "status": status}
    assert isinstance(decode("order_transactions/create", body), form)


def test_a_shop_that_subscribes_both_payment_topics_counts_one() -> None:
    body = {**TRANSACTION, "kind": "sale"}
    both = {"payments_from": "order_transactions"}
    assert isinstance(decode("tender_transactions/create", body, options=both), Ignore)
    assert isinstance(decode("order_transactions/create", body, options=both), RecordPayment)
    negative = {**TRANSACTION, "amount": "-5.00"}
    assert isinstance(decode("tender_transactions/create", negative), Ignore)


@pytest.mark.parametrize(
    ("status", "shipment", "state"),
    [
        ("pending", None, "open"),
        ("success", None, "handed_off"),
        ("success", "label_printed", "open"),
        ("success", "ready_for_pickup", "ready"),
        ("success", "picked_up", "collected"),
        ("success", "out_for_delivery", "in_transit"),
        ("success", "delivered", "delivered"),
        ("cancelled", "in_transit", "cancelled"),
        ("success", "teleported", None),
        ("dreaming", None, None),
    ],
)
def test_a_fulfilments_status_is_refined_by_the_carriers(
    status: str, shipment: str | None, state: str | None
) -> None:
    body = {
        "id": 1,
        "order_id": 2,
        "status": status,
        "shipment_status": shipment,
        "updated_at": T0,
        "location_id": 3,
        "tracking_number": "TRACK-1",
        "line_items": [{"id": 4, "quantity": 1}],
    }
    command = decode("fulfillments/update", body)
    if state is None:
        assert isinstance(command, Suspect)
        return
    assert isinstance(command, ReportFulfilment)
    assert (command.state, command.place, command.tracking) == (state, "3", "TRACK-1")
    assert [line.line_ref for line in command.lines] == ["4"]


def test_a_level_is_what_the_shop_would_still_sell() -> None:
    body = {"inventory_item_id": 1, "location_id": 2, "available": -3, "updated_at": T0}
    count = Count(item="1", place="2", meaning="available", quantity=-3, version=T0_US)
    assert decode("inventory_levels/update", body) == CountStock(counts=(count,))
    assert isinstance(decode("inventory_levels/disconnect", {}), Ignore)


def key(ids: dict[str, Any], *, body: bytes = b'{"id":7}', topic: str = "orders/delete") -> str:
    return given.opened("shopify").decode(given.request(body, headers(topic, **ids))).key


def test_one_event_under_two_topics_or_records_is_two_facts() -> None:
    event = {"event_id": "e1"}
    assert key(event) == "e1:orders/delete::7"
    assert key({**event, "webhook_id": "w1"}) == key({**event, "webhook_id": "w2"})
    assert key(event) != key({**event, "name": "second"})
    assert key(event) != key(event, topic="shop/update")
    assert key(event) != key(event, body=b'{"id":8}')


def test_without_an_event_id_the_delivery_or_the_content_is_the_key() -> None:
    assert key({"webhook_id": "w1"}) == "delivery:w1"
    assert key({}).startswith("sha256:")
    assert key({}) == key({})
    assert key({}) != key({}, body=b'{"id":8}')


def test_newer_headers_without_the_x_are_read_too() -> None:
    names = {"shopify-topic": "shop/update", "shopify-event-id": "e1"}
    found = given.opened("shopify").decode(given.request(b"{}", names))
    assert (found.key, found.topic) == ("e1:shop/update::", "shop/update")


async def test_either_signature_header_proves_the_sender() -> None:
    channel = given.opened("shopify")
    asked = given.signed(channel, b"{}")
    renamed = {name.removeprefix("x-"): value for name, value in asked.headers.items()}
    assert await given.passes(channel, given.request(b"{}", renamed))


def test_a_topic_of_no_kind_is_suspect_and_none_at_all_unreadable() -> None:
    assert isinstance(decode("orders/teleported", {}), Suspect)
    with pytest.raises(Unreadable, match="no topic"):
        given.opened("shopify").decode(given.request(b"{}"))


def test_shopify_has_nothing_to_fetch_and_no_handshake() -> None:
    channel = given.opened("shopify")
    assert channel.handshake(given.request(b"", method="GET")) is None
    with pytest.raises(Unreadable):
        channel.decode_order(b"{}")


@pytest.mark.parametrize(
    "options",
    [
        {"pickup_mach": []},
        {"pickup_match": [{"field": "code", "pattern": "(", "place": "S-1"}]},
        {"pickup_match": [{"field": "code", "pattern": "a", "place": "{place}"}]},
        {"pickup_match": [{"field": "colour", "pattern": "a", "place": "S-1"}]},
        {"payments_from": "wishes"},
    ],
)
def test_an_option_that_would_never_work_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured):
        given.opened("shopify", **options)


def test_amounts_of_two_shop_currencies_are_unreadable() -> None:
    odd = {"shop_money": {"amount": "1.00", "currency_code": "USD"}}
    with pytest.raises(Unreadable, match="more than one currency"):
        placed("pos_sale", total_shipping_price_set=odd)
