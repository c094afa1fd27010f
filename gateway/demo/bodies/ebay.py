"""eBay's webhooks: thin confirmations of orders."""

from typing import Any

from config.clock import iso
from gateway.demo.bodies.sample import (
    CURRENCY,
    MARKETPLACE,
    Document,
    Sample,
    decimal,
    encode,
    shipping_minor,
)
from gateway.demo.goods import name_at
from gateway.demo.purchases import Purchase


def confirmed(purchase: Purchase) -> Sample:
    """Return eBay's thin confirmation of an order."""
    ref = _ref(purchase)
    order = {"orderId": ref, "orderLineItems": [{"orderLineItemId": str(purchase.number * 10)}]}
    notice = {
        "notificationId": f"demo-{purchase.number}",
        "eventDate": iso(purchase.at),
        "publishDate": iso(purchase.at),
        "publishAttemptCount": 1,
        "data": {"order": order},
    }
    topic = "ORDER_CONFIRMATION"
    head = {"topic": topic, "schemaVersion": "1.0", "deprecated": False}
    body = encode({"metadata": head, "notification": notice})
    document = Document("ebay", ref, encode(_order(purchase)))
    return Sample(MARKETPLACE, topic, body, document)


def _order(purchase: Purchase) -> dict[str, Any]:
    shipping = shipping_minor(purchase)
    address = {"postalCode": purchase.buyer.postcode, "countryCode": "GB"}
    to = {"fullName": purchase.buyer.label, "contactAddress": address}
    step = {"fulfillmentInstructionsType": "SHIP_TO", "shippingStep": {"shipTo": to}}
    return {
        "orderId": _ref(purchase),
        "creationDate": iso(purchase.at),
        "lastModifiedDate": iso(purchase.at),
        "orderFulfillmentStatus": "NOT_STARTED",
        "orderPaymentStatus": "PAID",
        "cancelStatus": {"cancelState": "NONE_REQUESTED"},
        "pricingSummary": {
            "total": _amount(purchase.total_minor + shipping),
            "deliveryCost": _amount(shipping),
        },
        "fulfillmentStartInstructions": [step],
        "lineItems": [_line(purchase, i) for i in range(len(purchase.lines))],
    }


def _line(purchase: Purchase, index: int) -> dict[str, Any]:
    line = purchase.lines[index]
    return {
        "lineItemId": str(purchase.number * 10 + index),
        "legacyItemId": name_at(line.item, MARKETPLACE),
        "sku": line.item.sku,
        "title": line.item.title,
        "quantity": line.quantity,
        "lineItemCost": _amount(line.total_minor),
        "taxes": [],
    }


def _ref(purchase: Purchase) -> str:
    digits = f"{purchase.number:012d}"[-12:]
    return f"{digits[:2]}-{digits[2:7]}-{digits[7:]}"


def _amount(minor: int) -> dict[str, str]:
    return {"value": decimal(minor), "currency": CURRENCY}
