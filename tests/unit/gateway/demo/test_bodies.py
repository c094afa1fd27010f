"""Every sample verifies and decodes through the real channel into the command that was meant."""

from datetime import timedelta

import msgspec

from config.clock import to_us
from config.ids import SourceId
from gateway.demo.bodies import ebay, shopify, square, standard_webhooks, stripe
from gateway.demo.bodies.sample import MARKETPLACE, PARTNER, SHOP, TILL, Sample
from gateway.demo.goods import name_at, read_catalog
from gateway.demo.purchases import Purchase
from handlers.commands import (
    CancelOrder,
    Command,
    CountStock,
    FetchOrder,
    PlaceOrder,
    RecordPayment,
    RecordRefund,
)
from handlers.sources.channel import Channel, Request
from routing.network import Location
from tests.unit.gateway.demo.conftest import NOW

Channels = dict[SourceId, Channel]
LATER = NOW + timedelta(seconds=30)


async def commands_of(channels: Channels, sample: Sample) -> tuple[Command, ...]:
    """Sign, verify and decode, as the front door does."""
    channel = channels[sample.source]
    headers = channel.sign(sample.body, sample.topic, NOW)
    request = Request("POST", headers, {}, sample.body, NOW)
    await channel.verify(request)
    decoded = channel.decode(request)
    assert decoded.topic == sample.topic
    return decoded.commands


def fetched(channels: Channels, sample: Sample) -> tuple[Command, ...]:
    """Decode what the platform answers."""
    assert sample.document is not None
    return channels[sample.source].decode_order(sample.document.content).commands


def check_order(command: Command, purchase: Purchase, source: SourceId) -> PlaceOrder:
    assert isinstance(command, PlaceOrder)
    assert command.order.source == source
    assert command.version in {to_us(purchase.at), 1}
    assert command.currency == "GBP"
    assert command.customer_label == purchase.buyer.label
    assert command.total_minor - command.shipping_minor == purchase.total_minor
    assert [(line.item or line.sku, line.quantity) for line in command.lines] == [
        (name_at(line.item, source), line.quantity) for line in purchase.lines
    ]
    assert [line.unit_price_minor for line in command.lines] == [
        line.unit_minor for line in purchase.lines
    ]
    return command


async def test_a_shop_order_to_be_sent(channels: Channels, to_send: Purchase) -> None:
    (command,) = await commands_of(channels, shopify.placed(to_send))
    delivery = check_order(command, to_send, SHOP).delivery
    assert (delivery.method, delivery.postcode) == ("ship", to_send.buyer.postcode)
    assert delivery.latitude == to_send.buyer.latitude


async def test_a_shop_order_to_be_collected(channels: Channels, to_collect: Purchase) -> None:
    (command,) = await commands_of(channels, shopify.placed(to_collect))
    delivery = check_order(command, to_collect, SHOP).delivery
    assert (delivery.method, delivery.place) == ("pickup", "S-001")


async def test_a_cancelled_shop_order_is_a_newer_version_of_itself(
    channels: Channels, to_send: Purchase
) -> None:
    (placed,) = await commands_of(channels, shopify.placed(to_send))
    (command,) = await commands_of(channels, shopify.cancelled(to_send, LATER))
    assert isinstance(command, PlaceOrder)
    assert isinstance(placed, PlaceOrder)
    assert command.cancelled
    assert command.order == placed.order
    assert command.version > placed.version


async def test_a_refund_of_one_unit(channels: Channels, to_send: Purchase) -> None:
    (placed,) = await commands_of(channels, shopify.placed(to_send))
    (command,) = await commands_of(channels, shopify.refunded(to_send, LATER))
    assert isinstance(command, RecordRefund)
    assert isinstance(placed, PlaceOrder)
    assert command.order == placed.order
    assert command.amount_minor == to_send.lines[0].unit_minor
    assert [(line.line_ref, line.quantity) for line in command.lines] == [
        (placed.lines[0].line_ref, 1)
    ]


async def test_the_payment_of_a_shop_order_is_its_total(
    channels: Channels, to_send: Purchase
) -> None:
    (placed,) = await commands_of(channels, shopify.placed(to_send))
    (command,) = await commands_of(channels, stripe.paid(to_send, LATER))
    assert isinstance(command, RecordPayment)
    assert isinstance(placed, PlaceOrder)
    assert (command.state, command.order) == ("captured", placed.order)
    assert command.amount_minor == placed.total_minor


async def test_a_till_order_to_be_collected_is_read_from_the_platform(
    channels: Channels, to_collect: Purchase
) -> None:
    sample = square.placed(to_collect)
    (thin,) = await commands_of(channels, sample)
    (command,) = fetched(channels, sample)
    assert isinstance(thin, FetchOrder)
    order = check_order(command, to_collect, TILL)
    assert (thin.order, thin.version) == (order.order, order.version)
    assert (order.delivery.method, order.delivery.place) == ("pickup", "LDEMOLONDON001")
    assert order.delivery.latest is not None
    assert order.delivery.latest > NOW


async def test_a_counter_sale_is_in_the_customers_hands(
    channels: Channels, to_collect: Purchase
) -> None:
    sample = square.sold(to_collect)
    (thin,) = await commands_of(channels, sample)
    (command,) = fetched(channels, sample)
    assert isinstance(thin, FetchOrder)
    assert isinstance(command, PlaceOrder)
    assert command.delivery.method == "handed_over"
    assert command.total_minor == to_collect.total_minor


async def test_the_payment_of_a_till_order(channels: Channels, to_collect: Purchase) -> None:
    (thin,) = await commands_of(channels, square.sold(to_collect))
    command, fetch = await commands_of(channels, square.paid(to_collect, LATER))
    assert isinstance(command, RecordPayment)
    assert isinstance(thin, FetchOrder)
    assert fetch == thin
    assert (command.state, command.order) == ("captured", thin.order)
    assert command.amount_minor == to_collect.total_minor


async def test_a_count_at_the_till(channels: Channels, stores: list[Location]) -> None:
    item = read_catalog()[0]
    (command,) = await commands_of(channels, square.counted(item, stores[0], 17, NOW))
    assert isinstance(command, CountStock)
    (count,) = command.counts
    assert (count.item, count.place, count.quantity) == (
        name_at(item, TILL),
        stores[0].external[TILL],
        17,
    )


async def test_a_marketplace_order_is_read_from_the_platform_with_its_payment(
    channels: Channels, to_send: Purchase
) -> None:
    sample = ebay.confirmed(to_send)
    (thin,) = await commands_of(channels, sample)
    command, payment = fetched(channels, sample)
    order = check_order(command, to_send, MARKETPLACE)
    assert isinstance(thin, FetchOrder)
    assert isinstance(payment, RecordPayment)
    assert thin.order == order.order == payment.order
    assert payment.amount_minor == order.total_minor
    assert order.delivery.method == "ship"


async def test_a_partner_sends_our_own_schema(
    channels: Channels, to_send: Purchase, to_collect: Purchase
) -> None:
    (sent,) = await commands_of(channels, standard_webhooks.placed(to_send))
    (collected,) = await commands_of(channels, standard_webhooks.placed(to_collect))
    assert check_order(sent, to_send, PARTNER).delivery.method == "ship"
    assert check_order(collected, to_collect, PARTNER).delivery.place == "S-001"


async def test_a_partner_pays_and_cancels_its_own_order(
    channels: Channels, to_send: Purchase
) -> None:
    (placed,) = await commands_of(channels, standard_webhooks.placed(to_send))
    (paid,) = await commands_of(channels, standard_webhooks.paid(to_send, LATER))
    (cancelled,) = await commands_of(channels, standard_webhooks.cancelled(to_send, LATER))
    assert isinstance(placed, PlaceOrder)
    assert isinstance(paid, RecordPayment)
    assert isinstance(cancelled, CancelOrder)
    assert placed.order == paid.order == cancelled.order
    assert paid.amount_minor == placed.total_minor


def test_a_body_holds_no_more_of_a_person_than_a_first_name_and_an_initial(
    to_send: Purchase,
) -> None:
    body = msgspec.json.decode(shopify.placed(to_send).body)
    assert body["customer"] == {"first_name": to_send.buyer.first, "last_name": to_send.buyer.last}
    assert len(to_send.buyer.last) == 2
    assert not {"email", "phone"} & body.keys()
