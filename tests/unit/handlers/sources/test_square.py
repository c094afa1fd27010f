"""Square: thin orders, payments, refunds, counts and the fetched order."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from config.clock import to_us
from config.errors import Misconfigured, Unreadable
from handlers.commands import (
    Command,
    CountStock,
    Delivery,
    FetchOrder,
    Ignore,
    LineQuantity,
    OrderKey,
    PlaceOrder,
    RecordPayment,
    RecordRefund,
    ReportFulfilment,
    Suspect,
)
from tests.payload_folder import own_payload
from tests.unit.handlers.sources import given

T0 = "2026-03-01T10:00:00Z"
T0_US = to_us(datetime(2026, 3, 1, 10, 0, tzinfo=UTC))


def decode(kind: str, content: Any, **options: Any) -> Command:
    body = {"type": kind, "event_id": "e1", "data": {"id": "x", "object": content}}
    found = given.opened("square", **options).decode(given.request(msgspec.json.encode(body)))
    assert (found.key, found.topic) == ("e1", kind)
    return found.commands[0]


def retrieved(name: str, **changes: Any) -> tuple[Command, ...]:
    document = msgspec.json.decode(own_payload(f"square/{name}.json"))
    document["order"].update(changes)
    return given.opened("square").decode_order(msgspec.json.encode(document)).commands


def test_an_order_is_fetched_at_its_version() -> None:
    thin = {"order_fulfillment_updated": {"order_id": "o1", "version": 6}}
    expected = FetchOrder(order=OrderKey(source="shop-1", ref="o1"), version=6)
    assert decode("order.fulfillment.updated", thin) == expected
    with pytest.raises(Unreadable, match="order_created is missing"):
        decode("order.created", thin)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("APPROVED", "authorised"),
        ("COMPLETED", "captured"),
        ("CANCELED", "voided"),
        ("FAILED", "failed"),
    ],
)
def test_a_payment_tells_its_total_with_the_tip(status: str, state: Any) -> None:
    payment = {
        "id": "p1",
        "status": status,
        "amount_money": {"amount": 100, "currency": "USD"},
        "total_money": {"amount": 120, "currency": "USD"},
        "order_id": "o1",
        "updated_at": T0,
    }
    command = decode("payment.updated", {"payment": payment}, order_source="pos-1")
    assert command == RecordPayment(
        state=state,
        payment_ref="p1",
        order=OrderKey(source="pos-1", ref="o1"),
        amount_minor=120,
        currency="USD",
        version=T0_US,
    )


def test_a_payment_that_is_pending_or_unknown_is_no_payment() -> None:
    payment = {"id": "p1", "status": "PENDING", "amount_money": {"amount": 1, "currency": "USD"}}
    assert isinstance(decode("payment.created", {"payment": payment}), Ignore)
    payment["status"] = "DREAMING"
    assert isinstance(decode("payment.created", {"payment": payment}), Suspect)


def test_a_refund_without_an_order_joins_by_its_payment() -> None:
    money = {"amount": 5, "currency": "JPY"}
    refund = {"id": "r1", "status": "REJECTED", "amount_money": money, "payment_id": "p1"}
    expected = RecordRefund(
        refund_ref="r1", payment_ref="p1", state="failed", amount_minor=5, currency="JPY"
    )
    assert decode("refund.updated", {"refund": refund}) == expected
    refund["status"] = "DREAMING"
    assert isinstance(decode("refund.updated", {"refund": refund}), Suspect)


def test_a_refund_joins_by_its_payment_and_not_by_the_order_made_for_what_came_back() -> None:
    money = {"amount": 500, "currency": "USD"}
    refund = {"id": "r1", "status": "COMPLETED", "amount_money": money, "order_id": "returns-1"}
    linked = decode("refund.updated", {"refund": {**refund, "payment_id": "p1"}})
    assert isinstance(linked, RecordRefund)
    assert (linked.order, linked.payment_ref) == (None, "p1")
    unlinked = decode("refund.updated", {"refund": refund})
    assert isinstance(unlinked, RecordRefund)
    assert unlinked.order == OrderKey(source="shop-1", ref="returns-1")


def paid(**changes: Any) -> tuple[Command, ...]:
    money = {"amount": 100, "currency": "USD"}
    payment = {"id": "p1", "status": "COMPLETED", "amount_money": money, "order_id": "o1"}
    body = {
        "type": "payment.updated",
        "event_id": "e1",
        "data": {"object": {"payment": payment | changes}},
    }
    return given.opened("square").decode(given.request(msgspec.json.encode(body))).commands


def test_a_complete_payment_has_its_order_read_where_that_is_not_known_yet() -> None:
    payment, fetch = paid()
    assert isinstance(payment, RecordPayment)
    assert fetch == FetchOrder(order=OrderKey(source="shop-1", ref="o1"), version=1)
    assert [type(one) for one in paid(status="APPROVED")] == [RecordPayment]
    assert [type(one) for one in paid(order_id=None)] == [RecordPayment]


def level(quantity: str, state: str = "IN_STOCK") -> dict[str, Any]:
    return {
        "inventory_counts": [
            {
                "catalog_object_id": "v1",
                "location_id": "l1",
                "state": state,
                "quantity": quantity,
                "calculated_at": T0,
            }
        ]
    }


@pytest.mark.parametrize(("text", "quantity"), [("10", 10), ("-2", -2), ("3.000", 3), ("0", 0)])
def test_sellable_stock_is_counted_in_whole_units(text: str, quantity: int) -> None:
    command = decode("inventory.count.updated", level(text))
    assert isinstance(command, CountStock)
    (count,) = command.counts
    assert (count.quantity, count.meaning, count.version) == (quantity, "on_hand", T0_US)


@pytest.mark.parametrize("text", ["1.5", "", "-", ".0", "1e3", "NaN", "--1", "\u0661", "9" * 40])
def test_a_quantity_that_is_no_whole_number_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        decode("inventory.count.updated", level(text))


def test_other_states_of_stock_are_not_counts() -> None:
    assert isinstance(decode("inventory.count.updated", level("1", "WASTE")), Ignore)


def test_a_fetched_pickup_order_brings_what_its_fulfilment_reached() -> None:
    snapshot, report = retrieved("retrieved_pickup_order")
    assert isinstance(snapshot, PlaceOrder)
    assert snapshot.delivery == Delivery(
        method="pickup",
        place="LOCATION00001",
        latest=datetime(2026, 3, 1, 20, 0, tzinfo=UTC),
    )
    assert (snapshot.version, snapshot.customer_label) == (7, "Sam D.")
    assert (snapshot.total_minor, snapshot.lines[0].unit_price_minor) == (2160, 1000)
    assert report == ReportFulfilment(
        order=OrderKey(source="shop-1", ref="ORDER0000000000000000001"),
        fulfilment_ref="fulfilment-1",
        state="ready",
        version=7,
        place="LOCATION00001",
        lines=(LineQuantity(line_ref="line-1", quantity=2),),
    )


def test_a_fetched_orders_key_holds_its_version() -> None:
    document = own_payload("square/retrieved_pickup_order.json")
    key = given.opened("square").decode_order(document).key
    assert key == "order:ORDER0000000000000000001:7"


def test_a_completed_order_without_fulfilments_was_sold_over_the_counter() -> None:
    (snapshot,) = retrieved("retrieved_counter_sale")
    assert isinstance(snapshot, PlaceOrder)
    assert snapshot.delivery == Delivery(method="handed_over", place="LOCATION00001")
    (line,) = snapshot.lines
    assert (line.unit_price_minor, line.discount_minor) == (334, 2)


def test_a_counter_sale_was_placed_when_it_was_paid() -> None:
    (snapshot,) = retrieved("retrieved_counter_sale", closed_at="2026-03-01T11:00:00Z")
    assert isinstance(snapshot, PlaceOrder)
    assert snapshot.placed_at == datetime(2026, 3, 1, 11, 0, tzinfo=UTC)


def test_an_order_of_returns_is_no_sale() -> None:
    returns = [{"source_order_id": "o1", "return_line_items": []}]
    (command,) = retrieved("retrieved_counter_sale", line_items=[], returns=returns)
    assert isinstance(command, Ignore)
    exchange = retrieved("retrieved_counter_sale", returns=returns)
    assert isinstance(exchange[0], PlaceOrder)


@pytest.mark.parametrize(
    ("kinds", "included"),
    [([], False), (["INCLUSIVE"], True), (["INCLUSIVE", "ADDITIVE"], False), (["ADDITIVE"], False)],
)
def test_taxes_that_stand_in_the_prices_are_told_so(kinds: list[str], *, included: bool) -> None:
    taxes = [{"uid": kind, "type": kind} for kind in kinds]
    (snapshot,) = retrieved("retrieved_counter_sale", taxes=taxes)
    assert isinstance(snapshot, PlaceOrder)
    assert snapshot.tax_included is included


@pytest.mark.parametrize("state", ["OPEN", "DRAFT"])
def test_an_open_ticket_promises_nothing(state: str) -> None:
    (command,) = retrieved("retrieved_counter_sale", state=state)
    assert isinstance(command, Ignore)


def test_a_cancelled_order_is_a_snapshot_that_says_so() -> None:
    (snapshot,) = retrieved("retrieved_pickup_order", state="CANCELED")
    assert isinstance(snapshot, PlaceOrder)
    assert snapshot.cancelled


@pytest.mark.parametrize(
    ("kind", "method"),
    [("SHIPMENT", "ship"), ("DELIVERY", "ship"), ("DIGITAL", "digital"), ("SIMPLE", "handed_over")],
)
def test_a_fulfilments_type_is_the_promise(kind: str, method: str) -> None:
    details = {"recipient": {"address": {"postal_code": "10001", "country": "US"}}}
    part = {"uid": "f1", "type": kind, "state": "PROPOSED", "shipment_details": details}
    (snapshot,) = retrieved("retrieved_pickup_order", fulfillments=[part])
    assert isinstance(snapshot, PlaceOrder)
    assert snapshot.delivery.method == method
    if method == "ship":
        assert (snapshot.delivery.country, snapshot.delivery.postcode) == ("US", "10001")


def test_an_order_of_unknown_state_or_without_currency_is_suspect() -> None:
    assert isinstance(retrieved("retrieved_counter_sale", state="DREAMING")[0], Suspect)
    assert isinstance(retrieved("retrieved_counter_sale", total_money={})[0], Suspect)


@pytest.mark.parametrize("options", [{"notification_url": ""}, {"notification_url": "shop"}])
def test_the_notification_url_is_needed(options: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="notification_url"):
        given.opened("square", **options)


async def test_another_notification_url_signs_something_else() -> None:
    asked = given.signed(given.opened("square"), b"{}")
    other = given.opened("square", notification_url=given.URL + "/")
    assert not await given.passes(other, asked)


def test_an_unknown_type_is_suspect() -> None:
    assert isinstance(decode("teleport.created", {}), Suspect)
