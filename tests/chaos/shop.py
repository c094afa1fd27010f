"""What the chaos shop sells, where it lies, who sends webhooks to it, and how each signs."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.ids import SourceId
from gateway.demo.bodies.sample import MARKETPLACE, PARTNER, PAYMENTS, SHOP, TILL
from gateway.demo.goods import packaged, read_catalog, read_network
from gateway.demo.sources import NOTIFICATION_URL
from handlers.sources.channel import Account, Channel, Decoded, Request
from handlers.sources.registry import open_channel
from handlers.sources.signatures import hmac_sha256, to_base64

MARKET: Final = "uk"
_SOME_DAY: Final = datetime(2030, 1, 1, tzinfo=UTC)
BOARD: Final = "S-001"
"""The store whose screen is watched; most pickups are collected there."""
ITEMS: Final = read_catalog()
SCARCE: Final = ITEMS[:3]
PLACES: Final = tuple(place.id for place in read_network().locations)
STORES: Final = tuple(place for place in read_network().locations if place.pickup)
_PARTNER_KEY: Final = b"chaos-partner-key-of-32-bytes-00"
_MARKETPLACE_KEY: Final = ec.derive_private_key(2**200 + 11, ec.SECP256R1())
"""What the marketplace signs with; the gateway reads its public half from the platform."""
_SECRETS: Final[Mapping[SourceId, str]] = {
    SHOP: "chaos-shop",
    TILL: "chaos-till",
    PAYMENTS: "whsec_chaos",
    PARTNER: "whsec_" + base64.b64encode(_PARTNER_KEY).decode(),
    MARKETPLACE: _MARKETPLACE_KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode(),
}
_PROVIDERS: Final[Mapping[SourceId, str]] = {
    SHOP: "shopify",
    TILL: "square",
    PAYMENTS: "stripe",
    PARTNER: "standard_webhooks",
    MARKETPLACE: "ebay",
}
_PICKUP: Final = {"field": "code", "pattern": r"pickup-(?P<place>S-\d{3})", "place": "{place}"}


def _options(platform_url: str) -> dict[SourceId, dict[str, Any]]:
    return {
        SHOP: {"pickup_match": [_PICKUP]},
        TILL: {"notification_url": NOTIFICATION_URL, "api": {"base_url": platform_url}},
        PAYMENTS: {"order_source": SHOP},
        PARTNER: {},
        MARKETPLACE: {"api": {"base_url": platform_url}},
    }


def write_config(folder: Path, engines: Mapping[str, Any], platform_url: str) -> Path:
    """Write `network.toml` and `imv.toml`; return the latter."""
    network = folder / "network.toml"
    network.write_text(packaged("network.toml"))
    sections = [_table("engines", engines), _table("network", {"file": str(network)})]
    for name, options in _options(platform_url).items():
        head = {
            "id": name,
            "provider": _PROVIDERS[name],
            "market": MARKET,
            # eBay's customers share no secret with it.
            "secrets": [] if name == MARKETPLACE else [f"plain:{_SECRETS[name]}"],
            "options": options,
        }
        sections.append(_table("[sources]", head))
    config = folder / "imv.toml"
    config.write_text("\n".join(sections))
    return config


def _table(name: str, values: Mapping[str, Any]) -> str:
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return msgspec.json.encode(value).decode()


def catalog_rows() -> list[dict[str, Any]]:
    """Return the body of a catalog import."""
    rows: list[dict[str, Any]] = msgspec.to_builtins(ITEMS)
    return rows


def stock_rows(chance: Random, units: int) -> list[dict[str, Any]]:
    """Return the body of a stock import: a few units of what is scarce, plenty of the rest."""
    rows = []
    for item in ITEMS:
        for place in PLACES:
            few = item in SCARCE
            on_hand = chance.randrange(2, 6) if few else units
            safety = 0 if few else 2
            row = {"sku": item.sku, "location": place, "on_hand": on_hand, "safety_stock": safety}
            rows.append(row)
    return rows


CHANNELS: Final[Mapping[SourceId, Channel]] = {
    name: open_channel(
        _PROVIDERS[name],
        Account(
            name,
            MARKET,
            (_SECRETS[name].encode(),),
            {k: v for k, v in _options("").get(name, {}).items() if k != "api"},
        ),
    )
    for name in _PROVIDERS
}


def sign(source: SourceId, topic: str, body: bytes, *, event: str, now: datetime) -> dict[str, str]:
    """Return an attempt's headers: signed anew, under the event's one id, as providers do."""
    if source == PARTNER:
        stamp = str(int(now.timestamp()))
        mac = hmac_sha256((_PARTNER_KEY,), f"{event}.{stamp}.".encode() + body)[0]
        return {
            "content-type": "application/json",
            "webhook-id": event,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{to_base64(mac)}",
        }
    headers = CHANNELS[source].sign(body, topic, now)
    if source == SHOP:
        return headers | {"x-shopify-event-id": event, "x-shopify-webhook-id": event}
    return headers


def public_key() -> tuple[str, bytes]:
    """Return the id of the marketplace's key, and what the platform answers when it is asked for."""
    claim = CHANNELS[MARKETPLACE].sign(b"", "", _SOME_DAY)["x-ebay-signature"]
    kid: str = msgspec.json.decode(base64.b64decode(claim))["kid"]
    pem = _MARKETPLACE_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return kid, msgspec.json.encode({"algorithm": "ECDSA", "digest": "SHA1", "key": pem.decode()})


def decoded(source: SourceId, headers: Mapping[str, str], body: bytes, now: datetime) -> Decoded:
    """Return what a webhook is: the key under which it is kept, and what it asks for."""
    request = Request(method="POST", headers=headers, query={}, body=body, received_at=now)
    return CHANNELS[source].decode(request)
