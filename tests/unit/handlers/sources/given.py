"""What the tests of channels are given: accounts, requests, keys and captured files."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.errors import Unauthenticated
from handlers.sources import registry
from handlers.sources.channel import Account, Channel, KeySource, Request
from tests.payload_folder import payload_folder

PROVIDERS = ("ebay", "shopify", "square", "standard_webhooks", "stripe")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URL = "https://gateway.example/webhooks/shop-1"
_PRIVATE_NUMBER = 2**200 + 7


def private_pem() -> bytes:
    """A P-256 key that is the same in every run, and guards nothing."""
    key = ec.derive_private_key(_PRIVATE_NUMBER, ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


SECRETS = {
    "ebay": private_pem(),
    "shopify": b"hush",
    "square": b"signature-key",
    "standard_webhooks": b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "stripe": b"whsec_as-it-is",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "square": {"notification_url": URL},
    "stripe": {"order_source": "shop-main"},
}


class Keys:
    """Public keys that a test puts down."""

    def __init__(self, known: Mapping[str, bytes]) -> None:
        self._known = known

    async def public_key(self, kid: str) -> bytes | None:
        return self._known.get(kid)


def opened(
    provider: str,
    *secrets: bytes,
    keys: KeySource | None = None,
    **options: Any,
) -> Channel:
    account = Account(
        id="shop-1",
        market="uk",
        secrets=secrets or (SECRETS[provider],),
        options={**OPTIONS.get(provider, {}), **options},
        keys=keys,
    )
    return registry.open_channel(provider, account)


def request(
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    at: datetime = NOW,
    method: str = "POST",
    query: Mapping[str, str] | None = None,
) -> Request:
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    return Request(method=method, headers=lowered, query=query or {}, body=body, received_at=at)


def signed(channel: Channel, body: bytes, topic: str = "orders/create") -> Request:
    return request(body, channel.sign(body, topic, NOW))


async def passes(channel: Channel, asked: Request) -> bool:
    try:
        await channel.verify(asked)
    except Unauthenticated:
        return False
    return True


def files(provider: str) -> list[Path]:
    return sorted((payload_folder() / provider).iterdir())


def loaded(provider: str, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((payload_folder() / provider / name).read_bytes())
    return document


def delivered(provider: str, name: str) -> Request:
    """One payload file as a request: captures bring headers, bare bodies stand for themselves.

    A capture's own signature cannot be checked again: the capturer kept the parsed body, not the
    bytes, and its secret is unknown.
    """
    document = loaded(provider, name)
    if document.keys() == {"headers", "body", "topic"}:
        return request(msgspec.json.encode(document["body"]), document["headers"])
    headers = {"webhook-id": "msg_1"} if provider == "standard_webhooks" else {}
    return request(msgspec.json.encode(document), headers)
