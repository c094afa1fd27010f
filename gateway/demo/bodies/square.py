"""Square's webhooks: thin notices of orders, payments and counts."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from config.clock import iso, to_us
from gateway.demo.bodies.sample import CURRENCY, TILL, Document, Sample, encode
from gateway.demo.goods import name_at
from gateway.demo.purchases import Bought, Purchase
from routing.network import Location
from store.records import CatalogItem

_PICKUP_WITHIN: Final = timedelta(hours=2)


def placed(purchase: Purchase) -> Sample:
    """Return Square's thin notice of an order that will be collected."""
    details = {
        "recipient": {"display_name": purchase.buyer.label},
        "pickup_at": iso(purchase.at + _PICKUP_WITHIN),
    }
    part = {
        "uid": f"F{purchase.number}",
        "type": "PICKUP",
        "state": "PROPOSED",
        "pickup_details": details,
    }
    return _order(purchase, "order.created", {"state": "OPEN", "fulfillments": [part]})


def sold(purchase: Purchase) -> Sample:
    """Return Square's thin notice of a counter sale: paid, and in the customer's hands."""
    return _order(purchase, "order.updated", {"state": "COMPLETED"})


def paid(purchase: Purchase, at: datetime) -> Sample:
    """Return Square's notice of the payment of one of its orders."""
    payment = {
        "id": f"PAY{purchase.number}",
        "status": "COMPLETED",
        "amount_money": _money(purchase.total_minor),
        "total_money": _money(purchase.total_minor),
        "order_id": _ref(purchase),
        "updated_at": iso(at),
    }
    event_id = f"demo-{purchase.number}-payment"
    return _event("payment.updated", event_id, {"payment": payment}, at)


def counted(item: CatalogItem, place: Location, quantity: int, at: datetime) -> Sample:
    """Return Square's count of one item at one store."""
    count = {
        "catalog_object_id": name_at(item, TILL),
        "location_id": place.external[TILL],
        "state": "IN_STOCK",
        "quantity": str(quantity),
        "calculated_at": iso(at),
    }
    event_id = f"demo-{to_us(at)}-count"
    return _event("inventory.count.updated", event_id, {"inventory_counts": [count]}, at)


def _order(purchase: Purchase, kind: str, reached: dict[str, Any]) -> Sample:
    """Return a thin notice of an order, and the order that it names."""
    ref = _ref(purchase)
    thin = {
        "order_id": ref,
        "location_id": purchase.place_at(TILL),
        "state": reached["state"],
        "version": 1,
        "created_at": iso(purchase.at),
    }
    order = {
        "id": ref,
        "location_id": purchase.place_at(TILL),
        "reference_id": f"T{purchase.number // 1000 % 1_000_000:06d}",
        "version": 1,
        "created_at": iso(purchase.at),
        "updated_at": iso(purchase.at),
        "total_money": _money(purchase.total_minor),
        "total_tax_money": _money(purchase.tax_minor),
        "line_items": [_line(line, i) for i, line in enumerate(purchase.lines)],
    }
    object_ = {kind.replace(".", "_"): thin}
    sample = _event(kind, f"demo-{purchase.number}-order", object_, purchase.at)
    document = Document("square", ref, encode({"order": order | reached}))
    return msgspec.structs.replace(sample, document=document)


def _event(kind: str, event_id: str, object_: dict[str, Any], at: datetime) -> Sample:
    event = {
        "merchant_id": "MDEMO",
        "type": kind,
        "event_id": event_id,
        "created_at": iso(at),
        "data": {"type": kind.rpartition(".")[0], "id": event_id, "object": object_},
    }
    return Sample(TILL, kind, encode(event))


def _line(line: Bought, index: int) -> dict[str, Any]:
    return {
        "uid": f"line-{index}",
        "catalog_object_id": name_at(line.item, TILL),
        "name": line.item.title,
        "quantity": str(line.quantity),
        "base_price_money": _money(line.unit_minor),
        "gross_sales_money": _money(line.total_minor),
        "total_tax_money": _money(line.tax_minor),
    }


def _ref(purchase: Purchase) -> str:
    return f"TDEMO{purchase.number}"


def _money(minor: int) -> dict[str, Any]:
    return {"amount": minor, "currency": CURRENCY}
