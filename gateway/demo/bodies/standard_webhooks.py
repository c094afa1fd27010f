"""Standard Webhooks: a partner's orders in our own schema."""

from datetime import datetime, timedelta
from typing import Any, Final

from config.clock import iso, to_us
from gateway.demo.bodies.sample import CURRENCY, PARTNER, Sample, encode
from gateway.demo.purchases import Bought, Purchase

_PICKUP_WITHIN: Final = timedelta(hours=3)


def placed(purchase: Purchase) -> Sample:
    """Return an order in our own schema, to be collected or to be sent."""
    data = {
        "order": _ref(purchase),
        "version": to_us(purchase.at),
        "number": _ref(purchase),
        "placed_at": iso(purchase.at),
        "currency": CURRENCY,
        "lines": [_line(line, i) for i, line in enumerate(purchase.lines)],
        "delivery": _delivery(purchase),
        "total_minor": purchase.total_minor,
        "tax_minor": purchase.tax_minor,
        "tax_included": True,
        "customer_label": purchase.buyer.label,
    }
    return _event("order.placed", data, purchase.at)


def paid(purchase: Purchase, at: datetime) -> Sample:
    """Return the payment of a partner's order."""
    data = {
        "payment_ref": f"{_ref(purchase)}-1",
        "order": _ref(purchase),
        "amount_minor": purchase.total_minor,
        "currency": CURRENCY,
        "version": to_us(at),
    }
    return _event("payment.captured", data, at)


def cancelled(purchase: Purchase, at: datetime) -> Sample:
    """Return a partner's wish to cancel its whole order."""
    data = {"order": _ref(purchase), "version": to_us(at), "reason": "changed their mind"}
    return _event("order.cancelled", data, at)


def _delivery(purchase: Purchase) -> dict[str, Any]:
    if purchase.place is not None:
        latest = iso(purchase.at + _PICKUP_WITHIN)
        return {"method": "pickup", "place": purchase.place.id, "latest": latest}
    buyer = purchase.buyer
    return {
        "method": "ship",
        "country": "GB",
        "postcode": buyer.postcode,
        "latitude": buyer.latitude,
        "longitude": buyer.longitude,
    }


def _line(line: Bought, index: int) -> dict[str, Any]:
    return {
        "line_ref": str(index),
        "sku": line.item.sku,
        "title": line.item.title,
        "quantity": line.quantity,
        "unit_price_minor": line.unit_minor,
        "tax_minor": line.tax_minor,
    }


def _event(kind: str, data: dict[str, Any], at: datetime) -> Sample:
    return Sample(PARTNER, kind, encode({"type": kind, "timestamp": iso(at), "data": data}))


def _ref(purchase: Purchase) -> str:
    return f"P-{purchase.number}"
