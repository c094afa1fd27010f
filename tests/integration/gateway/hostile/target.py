"""The instance under attack: every channel configured, and what the tests do to it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from handlers.sources.channel import Account, Channel
from handlers.sources.registry import open_channel
from tests.e2e import instance as at
from tests.unit.handlers.sources.given import SECRETS, private_pem

ANSWER_S = 20.0
"""Within this an answer, or the end of the connection, must come; the machine may be busy."""
URL = "https://gateway.example/webhooks/pos-1"
CONFIGURATION = """
[gateway]
refusals_per_s = 0
allowed_origins = ["https://screens.example"]
[network]
file = "{network}"
[[sources]]
id = "shop-main"
provider = "shopify"
market = "uk"
secrets = ["plain:hush"]
[[sources]]
id = "pos-1"
provider = "square"
market = "uk"
secrets = ["plain:signature-key"]
options = {{ notification_url = "{url}" }}
[[sources]]
id = "pay-1"
provider = "stripe"
market = "uk"
secrets = ["plain:whsec_as-it-is"]
options = {{ order_source = "shop-main" }}
[[sources]]
id = "market-1"
provider = "ebay"
market = "uk"
secrets = ["file:{key}"]
[[sources]]
id = "partner-1"
provider = "standard_webhooks"
market = "uk"
secrets = ["plain:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
"""
SOURCES = {
    "shopify": "shop-main",
    "square": "pos-1",
    "stripe": "pay-1",
    "ebay": "market-1",
    "standard_webhooks": "partner-1",
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "square": {"notification_url": URL},
    "stripe": {"order_source": "shop-main"},
}


def write_config(folder: Path) -> Path:
    """Write a configuration with one source of each provider."""
    network, key, config = folder / "network.toml", folder / "ebay.pem", folder / "imv.toml"
    network.write_text(at.NETWORK)
    key.write_bytes(private_pem())
    config.write_text(CONFIGURATION.format(network=network, key=key, url=URL))
    return config


def channel_of(provider: str) -> Channel:
    """Return the channel as its own sender, which signs with the instance's secret."""
    secrets = (SECRETS[provider].rstrip(b"\n"),)
    options = _OPTIONS.get(provider, {})
    return open_channel(provider, Account(SOURCES[provider], "uk", secrets, options))


def signed(provider: str, body: bytes, topic: str = "", *, age_s: float = 0) -> dict[str, str]:
    """Return the headers of a delivery that was signed some time ago."""
    now = datetime.now(UTC) - timedelta(seconds=age_s)  # noqa: TID251 - a sender's clock
    return channel_of(provider).sign(body, topic, now)


@asynccontextmanager
async def connected(
    http: str, *, within_s: float = ANSWER_S
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a raw connection; what is done with it must end within the deadline."""
    url = httpx.URL(http)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        async with asyncio.timeout(within_s):
            yield reader, writer
    finally:
        writer.transport.abort()


async def raw(http: str, *parts: bytes) -> bytes:
    """Send bytes part by part and return what came until the other side closed or is silent."""
    async with connected(http) as (reader, writer):
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await _everything(reader)


async def _everything(reader: asyncio.StreamReader, silence_s: float = 0.5) -> bytes:
    """Read until the end, or until nothing comes for a moment after the first answer."""
    got = b""
    try:
        while piece := await asyncio.wait_for(reader.read(64 * 1024), silence_s if got else None):
            got += piece
    except TimeoutError:
        pass
    except ConnectionResetError:
        pass
    return got


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of all answers on one connection, in order."""
    lines = answer.split(b"HTTP/1.1 ")[1:]
    return [int(line[:3]) for line in lines]


async def ask(
    http: str, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, bytes]:
    """Send one request on a connection of its own; return the status and the body.

    The connection is kept until then: one that closes with bytes unread takes its answer along.
    """
    lines = {"host": "imv", "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    async with connected(http) as (reader, writer):
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        answered = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = answered.partition(b"content-length: ")[2].partition(b"\r")[0]
        return int(answered[9:12]), await reader.readexactly(int(length or 0))


async def post(
    http: str, source: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    """Deliver a webhook."""
    return await ask(http, "POST", f"/webhooks/{source}", headers=headers, body=body)


async def alive_and_right(http: str) -> None:
    """Check that the instance serves, and that a genuine webhook is taken as ever."""
    number = int(datetime.now(UTC).timestamp() * 1_000_000)  # noqa: TID251 - a fresh order
    body = at.order(number)
    assert (await ask(http, "GET", "/livez", headers={}))[0] == 200
    headers = at.headers(body, f"well-{number}")
    status, content = await post(http, "shop-main", body, headers)
    assert status in {200, 202}, content
    assert msgspec.json.decode(content)["outcome"] in {"applied", "accepted"}


def memory_bytes(pid: int) -> int:
    """Return what a process has resident."""
    return int(psutil.Process(pid).memory_info().rss)
