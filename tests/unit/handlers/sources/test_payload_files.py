"""Every payload file of our five platforms is verified, decoded, or named with its reason."""

from typing import Any

import pytest

from config.errors import Unreadable
from handlers.commands import (
    CancelOrder,
    CountStock,
    FetchOrder,
    Ignore,
    PlaceOrder,
    RecordPayment,
    RecordRefund,
    ReportFulfilment,
    Suspect,
)
from tests.unit.handlers.sources import given

# Verified in test_vectors.py.
VECTORS = {
    "ebay/handshake_vector_1.json",
    "ebay/signature_vector_1.json",
    "ebay/signature_vector_3_tampered.json",
    "shopify/signature_vector_1.json",
    "square/signature_vector_1.json",
    "standard_webhooks/signature_vector_1.json",
    "standard_webhooks/signature_vector_2_ed25519.json",
    "standard_webhooks/signature_vector_3.json",
    "standard_webhooks/signature_vector_4_multi.json",
    "stripe/signature_vector_1.json",
}
DECODED: dict[str, type[Any]] = {
    "ebay/order_confirmation.json": FetchOrder,
    "shopify/fulfillments_update.json": ReportFulfilment,
    "shopify/orders_cancelled.json": PlaceOrder,
    "shopify/orders_create.json": PlaceOrder,
    "shopify/orders_delete.json": CancelOrder,
    "shopify/orders_paid.json": PlaceOrder,
    "shopify/orders_partially_fulfilled.json": PlaceOrder,
    "shopify/orders_updated.json": PlaceOrder,
    "shopify/refunds_create.json": RecordRefund,
    "shopify/tender_transactions_create.json": RecordPayment,
    "square/inventory_count_updated.json": CountStock,
    "square/order_created.json": FetchOrder,
    "square/order_fulfillment_updated.json": FetchOrder,
    "square/payment_created.json": RecordPayment,
    "square/refund_updated.json": RecordRefund,
    "stripe/event_charge_captured.json": RecordPayment,
    "stripe/event_charge_dispute_closed.json": RecordPayment,
    "stripe/event_charge_dispute_created.json": RecordPayment,
    "stripe/event_charge_failed.json": RecordPayment,
    "stripe/event_charge_refund_updated.json": RecordRefund,
    "stripe/event_charge_refunded.json": RecordRefund,
    "stripe/event_payment_intent_amount_capturable_updated.json": RecordPayment,
    "stripe/event_payment_intent_canceled.json": RecordPayment,
    "stripe/event_payment_intent_payment_failed.json": RecordPayment,
}
NOTHING_FOR_US = {
    "shopify/app_uninstalled.json": "the app was removed",
    "shopify/customers_create.json": "customers are not kept",
    "shopify/disputes_create.json": "the bank's case",
    "shopify/disputes_update.json": "the bank's case",
    "shopify/fulfillment_orders_cancelled.json": "names ids only",
    "shopify/inventory_levels_connect.json": "stock is not tracked there",
    "shopify/inventory_levels_update.json": "stock is not tracked there",
    "shopify/orders_edited.json": "the same change arrives whole",
    "shopify/products_update.json": "the catalogue is imported",
    "shopify/returns_approve.json": "agreed only",
    "shopify/returns_request.json": "agreed only",
    "shopify/shop_update.json": "the shop's own settings",
    "square/catalog_version_updated.json": "says only that the catalogue changed",
    "square/dispute_state_updated.json": "the bank's case",
    "square/gift_card_activity_created.json": "gift cards are not kept",
    "square/invoice_refunded.json": "the invoice's order and payments arrive",
    "square/payout_failed.json": "payouts are matched",
    "square/webhooks_test_notification.json": "Square's own test",
    "stripe/event_payout_created.json": "payouts are matched",
    "stripe/event_payout_paid.json": "payouts are matched",
    "stripe/invoice_paid.json": "the invoice's payment arrives",
    "stripe/invoice_payment_succeeded.json": "the invoice's payment arrives",
    "stripe/payment_method_attached.json": "payment methods are not kept",
}
# Genuine, but of types that are not in our contract: they are kept for a person to see.
NOT_UNDERSTOOD = {
    "standard_webhooks/contact_created_full.json": "type contact.created",
    "standard_webhooks/contact_created_thin.json": "type contact.created",
    "standard_webhooks/example_event.json": "type example.event",
}
# Objects of the API, which no webhook ever carries bare.
NOT_WEBHOOKS = {
    "stripe/object_balance_transaction.json": "balance_transaction",
    "stripe/object_dispute.json": "dispute",
    "stripe/object_payment_intent.json": "payment_intent",
    "stripe/object_payout.json": "payout",
    "stripe/object_refund.json": "refund",
}
TABLES = (VECTORS, DECODED, NOTHING_FOR_US, NOT_UNDERSTOOD, NOT_WEBHOOKS)


def split(name: str) -> tuple[str, str]:
    provider, _, file = name.partition("/")
    return provider, file


def test_every_file_is_in_exactly_one_table() -> None:
    found = [f"{name}/{path.name}" for name in given.PROVIDERS for path in given.files(name)]
    named = [name for table in TABLES for name in table]
    assert sorted(found) == sorted(named)


@pytest.mark.parametrize("name", DECODED)
def test_a_file_becomes_its_command(name: str) -> None:
    provider, file = split(name)
    found = given.opened(provider).decode(given.delivered(provider, file))
    assert [type(command) for command in found.commands] == [DECODED[name]]
    assert found.key
    assert found.topic


@pytest.mark.parametrize("name", NOTHING_FOR_US)
def test_a_file_without_anything_for_us_says_why(name: str) -> None:
    provider, file = split(name)
    (command,) = given.opened(provider).decode(given.delivered(provider, file)).commands
    assert isinstance(command, Ignore)
    assert command.reason.startswith(NOTHING_FOR_US[name])


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_a_type_outside_our_contract_is_suspect(name: str) -> None:
    provider, file = split(name)
    found = given.opened(provider).decode(given.delivered(provider, file))
    assert found.commands == (Suspect(reason=NOT_UNDERSTOOD[name]),)


@pytest.mark.parametrize("name", NOT_WEBHOOKS)
def test_a_bare_object_is_no_webhook(name: str) -> None:
    provider, file = split(name)
    with pytest.raises(Unreadable, match=f"object '{NOT_WEBHOOKS[name]}' is no webhook"):
        given.opened(provider).decode(given.delivered(provider, file))


GOLDEN: dict[str, dict[str, Any]] = {
    "ebay/order_confirmation.json": {"order.ref": "123-123-4435", "version": 0},
    "shopify/orders_paid.json": {
        "total_minor": 39800,
        "shipping_minor": 1000,
        "version": 1640995200000000,
        "delivery.postcode": "40003",
        "lines.0.item": "808950810",
        "lines.0.unit_price_minor": 19900,
    },
    "shopify/refunds_create.json": {"amount_minor": 0, "lines.1.restock": "none"},
    "shopify/tender_transactions_create.json": {"state": "captured", "amount_minor": 40300},
    "shopify/fulfillments_update.json": {"state": "open", "tracking": "1z827wk74630"},
    "square/inventory_count_updated.json": {"counts.0.quantity": 10, "counts.0.meaning": "on_hand"},
    "square/order_fulfillment_updated.json": {"version": 6},
    "square/payment_created.json": {"state": "authorised", "amount_minor": 100},
    "square/refund_updated.json": {"state": "succeeded", "amount_minor": 1000},
    "stripe/event_charge_captured.json": {"state": "captured", "amount_minor": 100},
    "stripe/event_charge_dispute_closed.json": {"state": "captured", "amount_minor": 1000},
    "stripe/event_charge_dispute_created.json": {"state": "disputed"},
    "stripe/event_charge_failed.json": {"state": "failed", "amount_minor": 2000},
    "stripe/event_charge_refund_updated.json": {"order.ref": "6735", "amount_minor": 100},
    "stripe/event_charge_refunded.json": {"refund_ref": "re_" + "0" * 24, "state": "succeeded"},
    "stripe/event_payment_intent_amount_capturable_updated.json": {"state": "authorised"},
    "stripe/event_payment_intent_canceled.json": {"state": "voided", "currency": "USD"},
}


def member(node: Any, path: str) -> Any:
    for name in path.split("."):
        node = node[int(name)] if isinstance(node, tuple) else getattr(node, name)
    return node


@pytest.mark.parametrize("name", GOLDEN)
def test_what_a_file_says_is_what_its_command_says(name: str) -> None:
    provider, file = split(name)
    (command,) = given.opened(provider).decode(given.delivered(provider, file)).commands
    assert {path: member(command, path) for path in GOLDEN[name]} == GOLDEN[name]
