"""A real instance in processes of its own, and a Shopify sender that retries as Shopify does."""

import asyncio
import itertools
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from handlers.sources.channel import Account
from handlers.sources.registry import open_channel

READY_S = 40.0
STOP_S = 20.0
SECRET = b"hush"
NETWORK = """
[[markets]]
id = "uk"
currency = "GBP"
[[locations]]
id = "S-001"
kind = "store"
market = "uk"
name = "Riverside"
latitude = 51.5
longitude = -0.12
pickup = true
external = { "shop-main" = "655441491" }
[[locations]]
id = "W-001"
kind = "warehouse"
market = "uk"
name = "North hall"
latitude = 53.4
longitude = -2.2
"""
SOURCES = """
[network]
file = "{network}"
[[sources]]
id = "shop-main"
provider = "shopify"
market = "uk"
secrets = ["plain:hush"]
[[sources.options.pickup_match]]
field = "code"
pattern = "PICKUP-(?P<place>.+)"
place = "{{place}}"
"""
_ROOT = Path(__file__).parents[2]


def write_config(folder: Path, **sections: Mapping[str, Any] | None) -> Path:
    """Write `network.toml` and `imv.toml` with these sections into a folder; return the latter."""
    network = folder / "network.toml"
    network.write_text(NETWORK)
    text = SOURCES.format(network=network)
    for section, values in sections.items():
        lines = "\n".join(
            f"{name} = {msgspec.json.encode(v).decode()}" for name, v in (values or {}).items()
        )
        text = f"[{section}]\n{lines}\n{text}"
    config = folder / "imv.toml"
    config.write_text(text)
    return config


class Running:
    """A role of `imv` in its own process, with its ready line."""

    def __init__(
        self,
        *arguments: str,
        stderr: int = subprocess.DEVNULL,
        under: Sequence[str] = (),
        program: str = "gateway",
    ) -> None:
        environ = {n: v for n, v in os.environ.items() if not n.startswith("IMV_")}  # noqa: TID251
        self.log = subprocess.Popen(
            [*under, sys.executable, "-m", program, *arguments],
            cwd=_ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        self.ready: dict[str, Any] = msgspec.json.decode(self._first_line())

    @property
    def pid(self) -> int:
        return self.log.pid

    @property
    def http(self) -> str:
        return str(self.ready["http"])

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def child(self, name: str) -> psutil.Process:
        return next(one for one in self.children() if name in one.name())

    def interrupt(self) -> int:
        self.log.send_signal(signal.SIGINT)
        return self.log.wait(READY_S)

    def stop(self) -> int:
        """Stop it as an operator would; return its status."""
        self.log.terminate()
        return self.log.wait(STOP_S)

    def kill(self) -> None:
        if self.log.poll() is None:
            self.log.kill()
        self.log.wait(READY_S)

    def close(self) -> None:
        if self.log.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.stop()
        self.kill()
        if self.log.stdout:
            self.log.stdout.close()

    def _first_line(self) -> bytes:
        assert self.log.stdout
        readable, _, _ = select.select([self.log.stdout], [], [], READY_S)
        line: bytes = self.log.stdout.readline() if readable else b""
        if not line.startswith(b"{"):
            self.kill()
            raise AssertionError(f"no ready line: {line!r}")
        return line


@contextmanager
def running(*arguments: str, stderr: int = subprocess.DEVNULL) -> Iterator[Running]:
    instance = Running(*arguments, stderr=stderr)
    try:
        yield instance
    finally:
        instance.close()


def up_arguments(config: Path, data: Path) -> tuple[str, ...]:
    return ("up", "--json", "--port", "0", "--data", str(data), "--config", str(config))


def credential(data: Path) -> str:
    note: dict[str, Any] = msgspec.json.decode((data / "run.json").read_bytes())
    return str(note["token"])


_numbers = itertools.count(1)


def order(number: int, *, pickup: bool = False, quantity: int = 1, sku: str = "SKU-1") -> bytes:
    """Return a Shopify order for one line, to be shipped or collected at S-001."""
    code = "PICKUP-655441491" if pickup else "standard"
    return msgspec.json.encode(
        {
            "id": number,
            "name": f"#{number}",
            "created_at": "2026-11-01T10:00:00Z",
            "updated_at": "2026-11-01T10:00:00Z",
            "currency": "GBP",
            "total_price": "10.00",
            "total_tax": "0.00",
            "customer": {"first_name": "Alex", "last_name": "Baker"},
            "line_items": [
                {
                    "id": number * 10,
                    "variant_id": 77,
                    "sku": sku,
                    "title": "Kettle",
                    "quantity": quantity,
                    "price": "10.00",
                    "requires_shipping": True,
                }
            ],
            "shipping_lines": [{"code": code, "title": "Delivery", "source": "shopify"}],
        }
    )


_channel = open_channel("shopify", Account("shop-main", "uk", (SECRET,), {}))


def headers(body: bytes, event: str, topic: str = "orders/create") -> dict[str, str]:
    """Return what Shopify sends with a body: signature, topic and the event's id."""
    signed = _channel.sign(body, topic, datetime.now(UTC))  # noqa: TID251 - a sender's clock
    return {**signed, "x-shopify-event-id": event, "x-shopify-webhook-id": event}


class Sender:
    """Posts webhooks and repeats each until it is answered with 2xx; remembers the answers."""

    def __init__(self, http: str) -> None:
        self.http = http
        self.answers: dict[int, dict[str, Any]] = {}
        self.retries = 0

    async def send(self, client: httpx.AsyncClient, number: int, body: bytes) -> None:
        while True:
            with suppress(httpx.HTTPError):
                answer = await client.post(
                    f"{self.http}/webhooks/shop-main",
                    content=body,
                    headers=headers(body, f"event-{number}"),
                )
                if answer.is_success:
                    self.answers[number] = answer.json()
                    return
            self.retries += 1
            await asyncio.sleep(0.05)


async def stock(http: str, token: str, **rows: int) -> None:
    """Set the on-hand units of SKU-1, by location with `_` for `-`."""
    body = {
        "rows": [
            {"sku": "SKU-1", "location": place.replace("_", "-"), "on_hand": units}
            for place, units in rows.items()
        ]
    }
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(f"{http}/v1/imports/stock", json=body, headers=bearer(token))
        assert answer.status_code == 200, answer.text


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def gate_open(http: str) -> None:
    """Wait until the instance decides at once."""
    async with httpx.AsyncClient(timeout=30) as client:
        await until(lambda: _well(client, http, "redis"))


async def _well(client: httpx.AsyncClient, http: str, name: str) -> bool:
    health = (await client.get(f"{http}/readyz")).json()
    return bool(health["dependencies"][name]["ok"])


async def well(http: str, name: str) -> bool:
    """Tell whether a dependency is well."""
    async with httpx.AsyncClient(timeout=30) as client:
        return await _well(client, http, name)


async def until(happened: Any, *, within_s: float = 30.0) -> Any:
    """Wait for a true answer, looking often; fail after the deadline."""
    async with asyncio.timeout(within_s):
        while True:
            if found := await happened():
                return found
            await asyncio.sleep(0.05)
