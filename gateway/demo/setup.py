"""Prepares a data folder for the demo: its network, its sources and their random secrets."""

import base64
import secrets
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Any, Final, Protocol, TypeVar

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.errors import Misconfigured
from config.settings import NetworkSettings, Settings, SourceSettings
from gateway.demo.bodies.sample import MARKETPLACE, PARTNER, PAYMENTS, SHOP, TILL
from gateway.demo.goods import packaged, read_network
from gateway.demo.platform import FakePlatform
from gateway.demo.traffic import Demo
from gateway.engines.folder import write_private
from gateway.serving import listen

MARKET: Final = "uk"
NOTIFICATION_URL: Final = "https://gateway.example/webhooks/pos-1"
"""Part of what Square signs; nobody ever calls it."""
_SECRET_BYTES: Final = 32
_PICKUP: Final = {"field": "code", "pattern": r"pickup-(?P<place>S-\d{3})", "place": "{place}"}


class Startable(Protocol):
    """What a command line found: settings and a data folder."""

    @property
    def settings(self) -> Settings:
        """The settings as configured."""
        ...

    @property
    def data(self) -> Path:
        """The data folder, which may not be there yet."""
        ...


Given = TypeVar("Given", bound=Startable)


def prepare_demo(instance: Given) -> tuple[Given, Demo]:
    """Return the instance with the demo's network and sources, and the demo to run beside it.

    Raises:
        Misconfigured: the configuration has a network or sources of its own, or the data folder
            cannot be written.
    """
    settings = instance.settings
    if settings.network.file or settings.sources:
        raise Misconfigured(
            "--demo brings its own network and sources; leave [network] and [[sources]] out, "
            "or start without --demo"
        )
    folder = instance.data.absolute() / "demo"
    try:
        _fill(instance.data, folder)
    except OSError as error:
        raise Misconfigured(
            f"data folder {instance.data}: {error.strerror}; name one that you may write to"
        ) from error
    platform = FakePlatform(listen("127.0.0.1", 0))
    settings = msgspec.structs.replace(
        settings,
        network=NetworkSettings(file=str(folder / "network.toml")),
        sources=demo_sources(folder, platform.base_url),
    )
    prepared: Given = msgspec.structs.replace(instance, settings=settings)  # type: ignore[type-var]  # a Struct
    return prepared, Demo(platform, SystemRandom())


def demo_sources(folder: Path, base_url: str) -> tuple[SourceSettings, ...]:
    """Return the sources of a demo folder that `prepare_demo` has filled.

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


def _fill(data: Path, folder: Path) -> None:
    """Make the demo's part of the data folder: its network, and the secrets that are missing."""
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
