"""Whatever comes in, a channel answers with a message, Unreadable or Unauthenticated."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as over
from hypothesis import strategies as st

from config.errors import Unauthenticated, Unreadable
from handlers.sources.channel import Channel, Request
from tests.payload_folder import own_payload
from tests.unit.handlers.sources import given

BOMB = "[" * 100_000 + "]" * 100_000
# Each is JSON text, or what only claims to be.
HOSTILE = [
    "null", "true", "-1", "0", "1.5", "1e400", "1e-400", "NaN", "Infinity", "9" * 400,
    "18446744073709551616", "9223372036854775808", '""', '" "', '"a\\u0000b"', '"\\ud800"',
    '"\ud83d"', '"NaN"', '"sNaN"', '"1e999999999"', '"-0"', '"' + "9" * 5000 + '"',
    '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"', '"' + "x" * 3000 + '"',
    "[]", "[null]", "{}", "[[]]", '{"":{}}', '{"amount":"x"}', BOMB,
]  # fmt: skip
OWN = {
    "shopify/pos_sale.json": "orders/create",
    "shopify/pickup_order.json": "orders/updated",
    "shopify/refund.json": "refunds/create",
    "square/retrieved_pickup_order.json": "",
    "square/retrieved_counter_sale.json": "",
    "stripe/payment_intent_succeeded.json": "",
    "ebay/retrieved_order.json": "",
    "ebay/item_marked_shipped.json": "",
    "standard_webhooks/order_placed.json": "",
}
FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck))
FUZZ_LONG = settings(FUZZ, max_examples=1000)


def seeds() -> list[tuple[str, Request]]:
    """Every delivery that decodes to something, so that fuzzing starts inside each translation."""
    found = [
        (name, given.request(own_payload(name), {"x-shopify-topic": topic, "webhook-id": "msg_1"}))
        for name, topic in OWN.items()
    ]
    names = [(name, path.name) for name in given.PROVIDERS for path in given.files(name)]
    deliveries = [pair for pair in names if "vector" not in pair[1]]
    return found + [(f"{name}/{file}", given.delivered(name, file)) for name, file in deliveries]


def channels() -> dict[str, Channel]:
    rule = {"field": "title", "pattern": "Pick.*", "place": "S-1"}
    found = {name: given.opened(name) for name in given.PROVIDERS}
    shop = given.opened("shopify", pickup_match=[rule], pickup_attribute="place")
    return {**found, "shopify": shop}


def read(channel: Channel, name: str, asked: Request) -> None:
    """Decode; anything but a result or Unreadable is a failure of the test."""
    with suppress(Unreadable):
        fetched = "retrieved" in name
        found = channel.decode_order(asked.body) if fetched else channel.decode(asked)
        assert found.key
        assert msgspec.json.decode(msgspec.json.encode(found))["commands"]


def paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [here, *(path for key, value in inner for path in paths(value, (*here, key)))]


def replaced(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = replaced(node[path[0]], path[1:], value)
    return copy


def with_hostile(body: bytes, path: tuple[Any, ...], text: str) -> bytes:
    raw = msgspec.Raw(text.encode(errors="surrogatepass"))
    return msgspec.json.encode(replaced(msgspec.json.decode(body), path, raw))


def test_any_member_may_be_anything() -> None:
    opened = channels()
    starts = seeds()

    @FUZZ_LONG
    @over(st.data())
    def run(data: st.DataObject) -> None:
        name, asked = data.draw(st.sampled_from(starts))
        path = data.draw(st.sampled_from(paths(msgspec.json.decode(asked.body))))
        body = with_hostile(asked.body, path, data.draw(st.sampled_from(HOSTILE)))
        channel = opened[name.partition("/")[0]]
        read(channel, name, msgspec.structs.replace(asked, body=body))

    run()


def test_any_byte_may_be_anything() -> None:
    opened = channels()
    starts = seeds()

    @FUZZ_LONG
    @over(st.data())
    def run(data: st.DataObject) -> None:
        name, asked = data.draw(st.sampled_from(starts))
        at = data.draw(st.integers(0, len(asked.body)))
        body = asked.body[:at] + data.draw(st.binary(max_size=4)) + asked.body[at + 1 :]
        read(opened[name.partition("/")[0]], name, msgspec.structs.replace(asked, body=body))

    run()


@pytest.mark.parametrize("provider", given.PROVIDERS)
@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"\xef\xbb\xbf{}", b"{", BOMB.encode(), b'{"a":' * 9]
)
def test_a_body_that_is_no_json_is_unreadable(provider: str, body: bytes) -> None:
    asked = given.request(body, {"x-shopify-topic": "orders/create", "webhook-id": "m"})
    channel = given.opened(provider)
    with pytest.raises(Unreadable):
        channel.decode(asked)
    with pytest.raises(Unreadable):
        channel.decode_order(body)


@pytest.mark.parametrize("provider", given.PROVIDERS)
@FUZZ
@over(body=st.binary(max_size=300))
async def test_what_a_channel_signs_it_verifies(provider: str, body: bytes) -> None:
    channel = given.opened(provider)
    assert await given.passes(channel, given.signed(channel, body))


def flipped(raw: bytes, at: int, bit: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]


@pytest.mark.parametrize("provider", given.PROVIDERS)
@FUZZ
@over(data=st.data())
async def test_one_flipped_bit_of_the_body_fails(provider: str, data: st.DataObject) -> None:
    channel = given.opened(provider)
    body = b'{"id":7,"name":"one flipped bit"}'
    asked = given.signed(channel, body)
    at, bit = data.draw(st.integers(0, len(body) - 1)), data.draw(st.integers(0, 7))
    changed = msgspec.structs.replace(asked, body=flipped(body, at, bit))
    assert not await given.passes(channel, changed)


SIGNATURES = {
    "ebay": "x-ebay-signature",
    "shopify": "x-shopify-hmac-sha256",
    "square": "x-square-hmacsha256-signature",
    "standard_webhooks": "webhook-signature",
    "stripe": "stripe-signature",
}


@pytest.mark.parametrize("provider", given.PROVIDERS)
@FUZZ
@over(data=st.data())
async def test_one_changed_character_of_the_signature_fails(
    provider: str, data: st.DataObject
) -> None:
    channel = given.opened(provider)
    asked = given.signed(channel, b"{}")
    text = asked.headers[SIGNATURES[provider]]
    # ECDSA signs differently each time, so nothing that is drawn may depend on the text.
    at, other = data.draw(st.integers(0, 1000)) % len(text), data.draw(st.characters())
    if other == text[at]:
        return
    headers = {**asked.headers, SIGNATURES[provider]: text[:at] + other + text[at + 1 :]}
    good = await given.passes(channel, msgspec.structs.replace(asked, headers=headers))
    # Inside eBay's base64 stands JSON, whose letter case of `alg` and `digest` is free.
    assert not good or provider == "ebay"


@pytest.mark.parametrize("provider", given.PROVIDERS)
@FUZZ
@over(data=st.data())
async def test_any_header_may_be_anything(provider: str, data: st.DataObject) -> None:
    channel = given.opened(provider)
    asked = given.signed(channel, b'{"id":7}', "orders/delete")
    name = data.draw(st.sampled_from(sorted(asked.headers)))
    text = data.draw(st.none() | st.text() | st.characters(categories=["Cs"]))
    headers = {key: value for key, value in asked.headers.items() if key != name}
    if text is not None:
        headers[name] = text
    changed = msgspec.structs.replace(asked, headers=headers)
    await given.passes(channel, changed)
    read(channel, provider, changed)


@pytest.mark.parametrize("provider", given.PROVIDERS)
async def test_no_header_at_all_proves_nothing(provider: str) -> None:
    with pytest.raises(Unauthenticated):
        await given.opened(provider).verify(given.request(b"{}"))


@pytest.mark.parametrize("provider", ["shopify", "square", "stripe"])
async def test_any_live_secret_verifies_and_no_other(provider: str) -> None:
    asked = given.signed(given.opened(provider, b"old"), b"{}")
    assert await given.passes(given.opened(provider, b"new", b"old"), asked)
    assert await given.passes(given.opened(provider, b"old", b"new"), asked)
    assert not await given.passes(given.opened(provider, b"new"), asked)
