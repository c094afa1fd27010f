"""Shopify's webhooks: orders placed and cancelled, refunds."""

from datetime import datetime
from typing import Any

from config.clock import iso
from gateway.demo.bodies.sample import CURRENCY, SHOP, Sample, decimal, encode, shipping_minor
from gateway.demo.goods import name_at
from gateway.demo.purchases import Buyer, Purchase


def placed(purchase: Purchase) -> Sample:
    """Return a Shopify order, to be collected where the purchase has a place, else to be sent."""
    return Sample(SHOP, "orders/create", encode(_order(purchase)))


def cancelled(purchase: Purchase, at: datetime) -> Sample:
    """Return the same Shopify order, cancelled."""
    changed = {"cancelled_at": iso(at), "updated_at": iso(at), "cancel_reason": "customer"}
    return Sample(SHOP, "orders/cancelled", encode(_order(purchase) | changed))


def refunded(purchase: Purchase, at: datetime) -> Sample:
    """Return a Shopify refund of one unit that the customer may keep."""
    amount = decimal(purchase.lines[0].unit_minor)
    number = purchase.number * 10
    line = {"line_item_id": number, "quantity": 1, "restock_type": "no_restock"}
    moved = {"id": number + 8, "kind": "refund", "status": "success", "amount": amount}
    refund = {
        "id": number + 9,
        "order_id": purchase.number,
        "created_at": iso(at),
        "refund_line_items": [line],
        "transactions": [moved | {"currency": CURRENCY}],
    }
    return Sample(SHOP, "refunds/create", encode(refund))


def _order(purchase: Purchase) -> dict[str, Any]:
    buyer, shipping = purchase.buyer, shipping_minor(purchase)
    code = f"pickup-{purchase.place.id}" if purchase.place else "standard"
    title = f"Collect at {purchase.place.name}" if purchase.place else "Standard, 2 to 3 days"
    return {
        "id": purchase.number,
        "name": f"#{purchase.number // 1000 % 1_000_000:06d}",
        "created_at": iso(purchase.at),
        "updated_at": iso(purchase.at),
        "cancelled_at": None,
        "currency": CURRENCY,
        "total_price": decimal(purchase.total_minor + shipping),
        "total_tax": decimal(purchase.tax_minor),
        "taxes_included": True,
        "source_name": "web",
        "fulfillment_status": None,
        "location_id": None,
        "customer": {"first_name": buyer.first, "last_name": buyer.last},
        "shipping_address": None if purchase.place else _address(buyer),
        "shipping_lines": [{"code": code, "title": title, "price": decimal(shipping)}],
        "line_items": [_line(purchase, i) for i in range(len(purchase.lines))],
    }


def _address(buyer: Buyer) -> dict[str, Any]:
    return {
        "first_name": buyer.first,
        "last_name": buyer.last,
        "country_code": "GB",
        "zip": buyer.postcode,
        "latitude": buyer.latitude,
        "longitude": buyer.longitude,
    }


def _line(purchase: Purchase, index: int) -> dict[str, Any]:
    line = purchase.lines[index]
    return {
        "id": purchase.number * 10 + index,
        "variant_id": int(name_at(line.item, SHOP)),
        "sku": line.item.sku,
        "title": line.item.title,
        "quantity": line.quantity,
        "current_quantity": line.quantity,
        "price": decimal(line.unit_minor),
        "requires_shipping": True,
        "tax_lines": [{"title": "VAT", "price": decimal(line.tax_minor)}],
    }
