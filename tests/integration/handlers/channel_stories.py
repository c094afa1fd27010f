"""What each channel really sends about one purchase, in turn, and what its platform then shows."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from config.clock import iso
from config.ids import SourceId
from tests.integration.handlers import asking
from tests.integration.handlers.asking import PAY, POS, SHOP, order

Sent = tuple[str, Any, dict[str, str]]
"""A topic, a body and what else stands in the headers."""
_URL = "https://gateway.example/webhooks/pos"


def at(number: int, second: int) -> datetime:
    """Return a time of one purchase; each has an hour of its own."""
    start = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(minutes=number % 4000)
    return start + timedelta(seconds=second)


def shopify(number: int) -> list[Sent]:
    """An order that is captured in two parts, edited, refunded in part and sent in part."""

    def moment(second: int) -> str:
        return iso(at(number, second))

    def snapshot(second: int, lamps: int, rugs: int) -> dict[str, Any]:
        lines = [("LAMP", number * 10 + 1, 3, lamps), ("RUG", number * 10 + 2, 2, rugs)]
        return {
            "id": number,
            "created_at": moment(0),
            "updated_at": moment(second),
            "currency": "GBP",
            "current_total_price": f"{10 * (lamps + rugs)}.00",
            "line_items": [
                {"id": i, "sku": sku, "quantity": n, "current_quantity": now, "price": "10.00"}
                for sku, i, n, now in lines
            ],
        }

    def money(i: int, kind: str, amount: str, second: int) -> dict[str, Any]:
        return {
            "id": number * 10 + i,
            "order_id": number,
            "parent_id": None if kind == "authorization" else number * 10 + 3,
            "kind": kind,
            "status": "success",
            "amount": amount,
            "currency": "GBP",
            "processed_at": moment(second),
        }

    refund = {
        "id": number,
        "order_id": number,
        "created_at": moment(40),
        "refund_line_items": [
            {"line_item_id": number * 10 + 2, "quantity": 1, "restock_type": "cancel"}
        ],
        "transactions": [money(6, "refund", "10.00", 40)],
    }
    parcel = {
        "id": number,
        "order_id": number,
        "status": "success",
        "location_id": None,
        "line_items": [{"id": number * 10 + 1, "quantity": 1}],
    }
    bodies: list[tuple[str, Any]] = [
        ("orders/create", snapshot(0, 3, 2)),
        ("order_transactions/create", money(3, "authorization", "50.00", 1)),
        ("orders/paid", snapshot(10, 3, 2)),
        ("order_transactions/create", money(4, "capture", "20.00", 10)),
        ("order_transactions/create", money(5, "capture", "30.00", 11)),
        ("fulfillments/create", {**parcel, "updated_at": moment(20)}),
        ("fulfillments/update", {**parcel, "updated_at": moment(25), "tracking_number": "T"}),
        ("orders/updated", snapshot(30, 3, 2)),
        ("refunds/create", refund),
        ("orders/updated", snapshot(41, 3, 1)),
        (
            "fulfillments/update",
            {**parcel, "updated_at": moment(50), "shipment_status": "delivered"},
        ),
    ]
    return [
        (topic, body, {"x-shopify-event-id": f"{number}-{i}"})
        for i, (topic, body) in enumerate(bodies)
    ]


def stripe(number: int) -> list[Sent]:
    """A payment that is authorised, captured, refunded in part, disputed and won."""
    intent = {
        "id": f"pi_{number}",
        "amount": 5000,
        "amount_capturable": 5000,
        "amount_received": 4000,
        "currency": "gbp",
        "metadata": {"order_id": str(number)},
    }
    charge = {
        "id": f"ch_{number}",
        "amount": 5000,
        "amount_captured": 4000,
        "captured": True,
        "currency": "gbp",
        "payment_intent": f"pi_{number}",
        "metadata": {},
    }
    refund = {
        "id": f"re_{number}",
        "amount": 700,
        "currency": "gbp",
        "payment_intent": f"pi_{number}",
        "metadata": {},
    }
    case = {"amount": 900, "currency": "gbp", "payment_intent": f"pi_{number}", "metadata": {}}
    done = {**refund, "status": "succeeded"}
    bodies: list[tuple[str, Any, int]] = [
        ("payment_intent.created", intent, 0),
        ("payment_intent.amount_capturable_updated", intent, 1),
        ("charge.succeeded", {**charge, "captured": False}, 1),
        ("payment_intent.succeeded", intent, 1),
        ("charge.captured", charge, 1),
        ("refund.created", {**refund, "status": "pending"}, 5),
        ("refund.updated", done, 5),
        ("charge.refunded", {**charge, "refunds": {"data": [done]}}, 5),
        ("charge.dispute.created", {**case, "status": "needs_response"}, 9),
        ("charge.dispute.closed", {**case, "status": "won"}, 9),
    ]
    start = int(at(number, 0).timestamp())
    return [
        (
            kind,
            {
                "object": "event",
                "id": f"evt_{number}_{i}",
                "type": kind,
                "created": start + second,
                "data": {"object": content},
            },
            {},
        )
        for i, (kind, content, second) in enumerate(bodies)
    ]


def square_documents(number: int) -> dict[str, Any]:
    sale = {
        "id": f"S{number}",
        "location_id": "till-leeds",
        "version": 3,
        "state": "COMPLETED",
        "created_at": iso(at(number, 0)),
        "closed_at": iso(at(number, 5)),
        "total_money": {"amount": 2400, "currency": "GBP"},
        "line_items": [
            {"uid": "a", "catalog_object_id": "v1", "quantity": "2"},
            {"uid": "b", "catalog_object_id": "v1", "quantity": "1"},
        ],
    }
    back = {**sale, "id": f"R{number}", "version": 2, "line_items": [], "returns": [{"uid": "r"}]}
    return {f"S{number}": {"order": sale}, f"R{number}": {"order": back}}


def square(number: int) -> list[Sent]:
    """A counter sale with two lines of one item, counted at once, and refunded in part."""

    def thin(kind: str, ref: str, version: int) -> tuple[str, Any]:
        return kind, {kind.replace(".", "_"): {"order_id": ref, "version": version}}

    def payment(status: str, second: int) -> Any:
        return {
            "payment": {
                "id": f"P{number}",
                "status": status,
                "amount_money": {"amount": 2400, "currency": "GBP"},
                "order_id": f"S{number}",
                "updated_at": iso(at(number, second)),
            }
        }

    def refund(status: str, second: int) -> Any:
        return {
            "refund": {
                "id": f"F{number}",
                "status": status,
                "amount_money": {"amount": 800, "currency": "GBP"},
                "payment_id": f"P{number}",
                "order_id": f"R{number}",
                "updated_at": iso(at(number, second)),
            }
        }

    count = {
        "catalog_object_id": "v1",
        "location_id": "till-leeds",
        "state": "IN_STOCK",
        "quantity": "500",
        "calculated_at": iso(at(number, 6)),
    }
    bodies = [
        thin("order.created", f"S{number}", 1),
        ("payment.created", payment("APPROVED", 4)),
        ("payment.updated", payment("COMPLETED", 5)),
        thin("order.updated", f"S{number}", 3),
        ("inventory.count.updated", {"inventory_counts": [count]}),
        ("refund.created", refund("PENDING", 50)),
        thin("order.created", f"R{number}", 1),
        ("refund.updated", refund("COMPLETED", 55)),
    ]
    return [
        (kind, {"type": kind, "event_id": f"{number}-{i}", "data": {"object": content}}, {})
        for i, (kind, content) in enumerate(bodies)
    ]


def ebay_documents(number: int) -> dict[str, Any]:
    def line(i: int, sku: str, status: str) -> dict[str, Any]:
        return {
            "lineItemId": str(i),
            "sku": sku,
            "quantity": 2,
            "lineItemCost": {"value": "20.00", "currency": "GBP"},
            "lineItemFulfillmentStatus": status,
        }

    return {
        str(number): {
            "orderId": str(number),
            "creationDate": iso(at(number, 0)),
            "lastModifiedDate": iso(at(number, 30)),
            "orderPaymentStatus": "PAID",
            "pricingSummary": {"total": {"value": "40.00", "currency": "GBP"}},
            "lineItems": [line(1, "LAMP", "FULFILLED"), line(2, "RUG", "NOT_STARTED")],
        }
    }


def ebay(number: int) -> list[Sent]:
    """A confirmation for each line, and the first of them marked as shipped."""
    named: list[tuple[str, Any]] = [
        ("ORDER_CONFIRMATION", {"order": {"orderId": str(number)}}),
        ("ORDER_CONFIRMATION", {"order": {"orderId": str(number)}}),
        ("ITEM_MARKED_SHIPPED", {"orderId": str(number)}),
    ]
    return [
        (
            topic,
            {
                "metadata": {"topic": topic},
                "notification": {"notificationId": f"{number}-{i}", "data": data},
            },
            {},
        )
        for i, (topic, data) in enumerate(named)
    ]


def standard(number: int) -> list[Sent]:
    """The canonical commands as they are, with a cancel of one unit."""
    placed = msgspec.to_builtins(order(str(number), asking.lines(LAMP=3), 10, total_minor=300))
    edited = msgspec.to_builtins(order(str(number), asking.lines(LAMP=4), 20, total_minor=400))
    fewer = msgspec.to_builtins(asking.cancel(str(number), 30, LAMP=1))
    paid = msgspec.to_builtins(asking.payment("captured", 400, 25, str(number), f"p{number}"))
    sent = msgspec.to_builtins(asking.report("handed_off", str(number), f"f{number}", LAMP=2))
    for body in (placed, edited, fewer, paid, sent):
        body.pop("command", None)
    named = [
        ("order.placed", placed),
        ("order.placed", edited),
        ("payment.captured", paid),
        ("order.cancelled", fewer),
        ("fulfilment.changed", sent),
    ]
    return [
        (kind, {"type": kind, "data": data}, {"webhook-id": f"m{number}-{i}"})
        for i, (kind, data) in enumerate(named)
    ]


Story = tuple[
    str,
    SourceId,
    Mapping[str, Any],
    Callable[[int], list[Sent]],
    Callable[[int], dict[str, Any]] | None,
]
STORIES: tuple[Story, ...] = (
    ("shopify", SHOP, {}, shopify, None),
    ("stripe", PAY, {"order_source": "shop"}, stripe, None),
    ("square", POS, {"notification_url": _URL}, square, square_documents),
    ("ebay", SHOP, {}, ebay, ebay_documents),
    ("standard_webhooks", SHOP, {}, standard, None),
)
