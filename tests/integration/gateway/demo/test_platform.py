"""The fake platform answers where the real ones do, through the gateway's own client."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.clock import SystemClock
from gateway.demo.platform import FakePlatform
from gateway.platforms import KEY_PATHS, ORDER_PATHS, CachedKeys, PlatformApi
from gateway.serving import listen, serving


@pytest.fixture
async def platform() -> AsyncIterator[FakePlatform]:
    platform = FakePlatform(listen("127.0.0.1", 0))
    async with serving(platform, platform.address):
        yield platform


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("provider", "path"),
    [("square", "/v2/orders/O 1"), ("ebay", "/sell/fulfillment/v1/order/O 1")],
)
async def test_an_order_that_is_kept_is_read_back(
    platform: FakePlatform, client: httpx.AsyncClient, provider: str, path: str
) -> None:
    platform.keep_order(provider, "O 1", b'{"version":1}')
    platform.keep_order(provider, "O 1", b'{"version":2}')
    api = PlatformApi(client, platform.base_url, "", ORDER_PATHS[provider])
    assert await api.read("O 1") == b'{"version":2}'
    assert await api.read("O 2") is None
    assert (await client.get(platform.base_url + path)).json() == {"version": 2}
    assert (await client.post(platform.base_url + path)).status_code == 404


async def test_a_public_key_is_read_by_its_id(
    platform: FakePlatform, client: httpx.AsyncClient
) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, form)
    document = {"key": pem.decode(), "algorithm": "ECDSA", "digest": "SHA1"}
    platform.keep_key("ebay", "kid-1", msgspec.json.encode(document))
    api = PlatformApi(client, platform.base_url, "", KEY_PATHS["ebay"])
    keys = CachedKeys(api, SystemClock())
    assert await keys.public_key("kid-1") == pem
    assert await keys.public_key("kid-2") is None


async def test_the_oldest_orders_are_forgotten(
    platform: FakePlatform, client: httpx.AsyncClient
) -> None:
    for number in range(2_001):
        platform.keep_order("square", str(number), b"{}")
    api = PlatformApi(client, platform.base_url, "", ORDER_PATHS["square"])
    assert await api.read("0") is None
    assert await api.read("2000") == b"{}"


def test_the_socket_is_closed_as_often_as_anyone_likes() -> None:
    platform = FakePlatform(listen("127.0.0.1", 0))
    platform.close()
    platform.close()
