"""The demo's sources: how each is configured, and the random secrets they share with us."""

import base64
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.settings import SourceSettings
from gateway.demo.bodies.sample import MARKETPLACE, PARTNER, PAYMENTS, SHOP, TILL
from gateway.demo.goods import packaged, read_network
from gateway.engines.folder import write_private

MARKET: Final = "uk"
NOTIFICATION_URL: Final = "https://gateway.example/webhooks/pos-1"
"""Part of what Square signs; nobody ever calls it."""
_SECRET_BYTES: Final = 32
_PICKUP: Final = {"field": "code", "pattern": r"pickup-(?P<place>S-\d{3})", "place": "{place}"}


def demo_sources(folder: Path, base_url: str) -> tuple[SourceSettings, ...]:
    """Return the sources of a demo folder that `fill_folder` has filled.

    `base_url` is where the platforms' orders are read.
    """
    options: dict[str, dict[str, Any]] = {
        SHOP: {"pickup_match": [_PICKUP]},
        TILL: {
            "notification_url": NOTIFICATION_URL,
            "api": {"base_url": base_url},
            "stock_owner": [
                place.id for place in read_network().locations if TILL in place.external
            ],
        },
        PAYMENTS: {"order_source": SHOP},
        MARKETPLACE: {"api": {"base_url": base_url}},
        PARTNER: {},
    }
    return tuple(
        SourceSettings(
            id=name,
            provider=provider,
            market=MARKET,
            secrets=(f"file:{folder / 'secrets' / name}",),
            options=options[name],
        )
        for name, (provider, _) in _SOURCES.items()
    )


def fill_folder(data: Path, folder: Path) -> None:
    """Make the demo's part of the data folder: its network, and the secrets that are missing.

    Raises:
        OSError: the data folder cannot be written.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "secrets").mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / "network.toml", packaged("network.toml"))
    for name, (_, new_secret) in _SOURCES.items():
        file = folder / "secrets" / name
        if not file.exists():
            write_private(file, new_secret())


def _text() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


def _stripe() -> str:
    return f"whsec_{_text()}"


def _standard() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode()


_SOURCES: Final[dict[str, tuple[str, Callable[[], str]]]] = {
    SHOP: ("shopify", _text),
    TILL: ("square", _text),
    PAYMENTS: ("stripe", _stripe),
    MARKETPLACE: ("ebay", _private_key),
    PARTNER: ("standard_webhooks", _standard),
}
"""Each source with its provider, and how its secret is made."""
