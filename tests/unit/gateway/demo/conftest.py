"""Channels of the demo's sources, a still clock, and purchases that are always the same."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.ids import SourceId
from config.settings import SourceSettings
from gateway.demo.goods import read_catalog, read_network
from gateway.demo.purchases import Purchase, Shoppers
from gateway.demo.sources import demo_sources
from handlers.sources.channel import Account, Channel
from handlers.sources.registry import open_channel
from routing.network import Location

NOW = datetime(2026, 3, 2, 10, 0, 0, 123456, UTC)
URL = "http://127.0.0.1:9"


def _secret(source: SourceSettings) -> bytes:
    if source.provider == "ebay":
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8
        return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return b"whsec_" + base64.b64encode(b"a demo's secret, long enough for all")


def _channel(source: SourceSettings) -> Channel:
    options = {name: value for name, value in source.options.items() if name != "api"}
    account = Account(source.id, source.market, (_secret(source),), options)
    return open_channel(source.provider, account)


@pytest.fixture(scope="session")
def channels() -> dict[SourceId, Channel]:
    sources = demo_sources(Path("nowhere"), URL)
    return {SourceId(source.id): _channel(source) for source in sources}


@pytest.fixture
def stores() -> list[Location]:
    return [place for place in read_network().locations if place.pickup]


@pytest.fixture
def chance() -> Random:
    return Random(7)  # noqa: S311 - the same in every run


@pytest.fixture
def shoppers(chance: Random) -> Shoppers:
    return Shoppers(read_catalog(), chance)


@pytest.fixture
def to_send(shoppers: Shoppers) -> Purchase:
    return shoppers.buy(NOW)


@pytest.fixture
def to_collect(shoppers: Shoppers, stores: list[Location]) -> Purchase:
    return shoppers.buy(NOW, stores[0])
