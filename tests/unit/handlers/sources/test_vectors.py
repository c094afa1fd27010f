"""Published signature vectors verify; what was tampered with, or is only a part, does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from handlers.sources.channel import Channel, Request
from tests.unit.handlers.sources import given


def ebay_keys(vector: dict[str, Any]) -> given.Keys:
    kid = "9936261a-7d7b-4621-a0f1-96ccb428af49"
    return given.Keys({kid: vector["public_key_response"]["key"].encode()})


def vector_case(provider: str, name: str) -> tuple[Channel, Request]:
    vector = given.loaded(provider, name)
    secret = vector.get("secret", "").encode()
    moment = given.NOW
    options: dict[str, Any] = {}
    keys = None
    match provider:
        case "square":
            options["notification_url"] = vector["notification_url"]
        case "stripe":
            moment = datetime.fromtimestamp(vector["timestamp"], UTC)
        case "standard_webhooks":
            moment = datetime.fromtimestamp(int(vector["headers"]["webhook-timestamp"]), UTC)
        case "ebay":
            keys = ebay_keys(vector)
    secrets = (secret,) if secret else ()
    channel = given.opened(provider, *secrets, keys=keys, **options)
    return channel, given.request(vector["body"].encode(), vector["headers"], at=moment)


GENUINE = [
    ("ebay", "signature_vector_1.json"),
    ("shopify", "signature_vector_1.json"),
    ("square", "signature_vector_1.json"),
    ("standard_webhooks", "signature_vector_1.json"),
    ("standard_webhooks", "signature_vector_2_ed25519.json"),
    ("standard_webhooks", "signature_vector_3.json"),
    ("standard_webhooks", "signature_vector_4_multi.json"),
    ("stripe", "signature_vector_1.json"),
]


@pytest.mark.parametrize(("provider", "name"), GENUINE)
async def test_a_published_vector_verifies(provider: str, name: str) -> None:
    channel, asked = vector_case(provider, name)
    assert await given.passes(channel, asked)


@pytest.mark.parametrize(("provider", "name"), GENUINE)
async def test_a_vector_with_one_more_byte_fails(provider: str, name: str) -> None:
    channel, asked = vector_case(provider, name)
    longer = msgspec.structs.replace(asked, body=asked.body + b" ")
    # eBay signs the re-serialised message, to which a blank at the end makes no difference.
    assert await given.passes(channel, longer) == (provider == "ebay")


async def test_ebays_tampered_vector_fails() -> None:
    channel, asked = vector_case("ebay", "signature_vector_3_tampered.json")
    assert not await given.passes(channel, asked)


async def test_ebays_vector_verifies_when_the_body_came_with_blanks() -> None:
    channel, asked = vector_case("ebay", "signature_vector_1.json")
    spaced = msgspec.json.format(asked.body)
    assert spaced != asked.body
    assert await given.passes(channel, msgspec.structs.replace(asked, body=spaced))


async def test_ebays_vector_fails_when_ebay_knows_no_such_key() -> None:
    _, asked = vector_case("ebay", "signature_vector_1.json")
    assert not await given.passes(given.opened("ebay", keys=given.Keys({})), asked)


def test_ebays_handshake_vector_is_answered() -> None:
    vector = given.loaded("ebay", "handshake_vector_1.json")
    channel = given.opened(
        "ebay", verification_token=vector["verification_token"], endpoint=vector["endpoint"]
    )
    query = {"challenge_code": vector["challenge_code"]}
    answer = channel.handshake(given.request(b"", method="GET", query=query))
    assert answer is not None
    expected = {"challengeResponse": vector["expected_challenge_response"]}
    assert (answer.status, msgspec.json.decode(answer.body)) == (200, expected)


async def test_a_list_without_the_matching_signature_fails() -> None:
    channel, asked = vector_case("standard_webhooks", "signature_vector_4_multi.json")
    vector = given.loaded("standard_webhooks", "signature_vector_4_multi.json")
    for text in (vector["negative"]["webhook-signature"], *vector["partial"]):
        headers = {**asked.headers, "webhook-signature": text}
        assert not await given.passes(channel, msgspec.structs.replace(asked, headers=headers))


async def test_a_public_key_verifies_what_the_private_one_signed() -> None:
    vector = given.loaded("standard_webhooks", "signature_vector_2_ed25519.json")
    channel = given.opened("standard_webhooks", vector["public_key"].encode())
    _, asked = vector_case("standard_webhooks", "signature_vector_2_ed25519.json")
    assert await given.passes(channel, asked)


@pytest.mark.parametrize("provider", ["stripe", "standard_webhooks"])
@pytest.mark.parametrize(
    ("seconds", "good"), [(300, True), (-300, True), (301, False), (-301, False)]
)
async def test_a_signed_time_counts_in_both_directions(
    provider: str, seconds: int, *, good: bool
) -> None:
    channel, asked = vector_case(provider, "signature_vector_1.json")
    moved = asked.received_at + timedelta(seconds=seconds)
    assert await given.passes(channel, msgspec.structs.replace(asked, received_at=moved)) == good


async def test_svix_headers_are_the_same() -> None:
    channel, asked = vector_case("standard_webhooks", "signature_vector_1.json")
    headers = {name.replace("webhook-", "svix-"): value for name, value in asked.headers.items()}
    assert await given.passes(channel, msgspec.structs.replace(asked, headers=headers))
