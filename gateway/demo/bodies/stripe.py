"""Stripe's webhooks: payments of the shop's orders."""

from datetime import datetime

from gateway.demo.bodies.sample import CURRENCY, PAYMENTS, Sample, encode, shipping_minor
from gateway.demo.purchases import Purchase


def paid(purchase: Purchase, at: datetime) -> Sample:
    """Return the Stripe payment of a Shopify order; its metadata name the order."""
    total = purchase.total_minor + shipping_minor(purchase)
    intent = {
        "id": f"pi_demo_{purchase.number}",
        "object": "payment_intent",
        "amount": total,
        "amount_received": total,
        "currency": CURRENCY.lower(),
        "status": "succeeded",
        "metadata": {"order_id": str(purchase.number)},
    }
    event = {
        "id": f"evt_demo_{purchase.number}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": int(at.timestamp()),
        "livemode": False,
        "data": {"object": intent},
    }
    return Sample(PAYMENTS, "payment_intent.succeeded", encode(event))
