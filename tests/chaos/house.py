"""A whole house for one run: engines of its own, a database from a template, and the two roles."""

import shutil
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal

import httpx
import msgspec

from config import crash
from gateway.demo.platform import FakePlatform
from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
from gateway.serving import listen, serving
from store.engine import Database
from store.migrate import migrate
from store.tokens import TokenRow, TokenStore
from tests import engines
from tests.chaos import shop
from tests.chaos.held import Held, weigh_all
from tests.chaos.roles import Role, Warm
from tests.e2e import instance as at

DatabaseKind = Literal["sqlite", "postgres"]
BOTH: tuple[DatabaseKind, ...] = ("sqlite", "postgres")
STOCK_SEED = 7
_UNITS = 5000


class Template(msgspec.Struct, frozen=True):
    """A database with tables, a token, a catalog and stock, to copy for every run."""

    kind: DatabaseKind
    place: str
    """The SQLite file, or the PostgreSQL database's name."""
    token: str
    databases: Any = None

    @contextmanager
    def copy(self, folder: Path) -> Iterator[str]:
        """Give the URL of a copy that nobody else uses."""
        if self.kind == "sqlite":
            file = folder / "imv.db"
            shutil.copyfile(self.place, file)
            yield f"sqlite+aiosqlite:///{file}"
            return
        url = self.databases.create(self.place)
        try:
            yield url
        finally:
            self.databases.drop(url)


class House:
    """Engines and roles; roles are started, killed and started again at the same address."""

    def __init__(  # noqa: PLR0913 - its parts
        self,
        *,
        warm: Warm,
        folder: Path,
        database: str,
        token: str,
        redis: RedisServer,
        nats: NatsServer,
        platform: FakePlatform,
    ) -> None:
        """Take the parts."""
        self.folder = folder
        self.database = database
        self.token = token
        self.redis = redis
        self.nats = nats
        self.platform = platform
        self._warm = warm
        self.port = _free_port()
        self.config = self.configure({})
        self.workers = 1
        self.held_before: dict[str, Held] = {}
        self.serve: Role | None = None
        self.relay: Role | None = None

    def configure(self, through: Mapping[str, Any]) -> Path:
        """Write the roles' configuration, with other addresses than the engines' own if need be."""
        direct = {"database": self.database, "redis": self.redis.url, "nats": [self.nats.url]}
        return shop.write_config(self.folder, {**direct, **through}, self.platform.base_url)

    @property
    def http(self) -> str:
        """The gateway's own address, the same after every restart."""
        return f"http://127.0.0.1:{self.port}"

    async def start_serve(self, crash_at: str = "") -> Role:
        """Start the gateway, armed if so asked; do not wait until it is ready."""
        options = ("--port", str(self.port), "--workers", str(self.workers))
        self.serve = await self._start("serve", *options, crash_at=crash_at)
        return self.serve

    async def start_relay(self, crash_at: str = "") -> Role:
        """Start the relay, armed if so asked; do not wait until it is ready."""
        self.relay = await self._start("relay", crash_at=crash_at)
        return self.relay

    async def held(self) -> dict[str, Held]:
        """Return what each role that runs holds now."""
        return await weigh_all({"serve": self.serve, "relay": self.relay}, self.http, self.token)

    async def stop(self) -> None:
        """End both roles in order."""
        for role in (self.serve, self.relay):
            if role:
                await role.end()

    async def _start(self, role: str, *options: str, crash_at: str) -> Role:
        environ = {crash.VARIABLE: crash_at} if crash_at else {}
        arguments = (role, *options, "--config", str(self.config))
        return await self._warm.start(self.folder, arguments, environ)


@asynccontextmanager
async def platform() -> AsyncIterator[FakePlatform]:
    """Serve a loopback platform, where the orders behind thin notices are read."""
    fake = FakePlatform(listen("127.0.0.1", 0))
    async with serving(fake, fake.address):
        yield fake


@asynccontextmanager
async def house(warm: Warm, folder: Path, template: Template) -> AsyncIterator[House]:
    """Give a house with running engines on a copy of a template; its roles are not started."""
    _made(folder)
    with (
        template.copy(folder) as database,
        engines.running_redis(folder / "redis") as redis,
        engines.running_nats(folder / "nats") as nats,
    ):
        async with platform() as fake:
            one = House(
                warm=warm,
                folder=folder,
                database=database,
                token=template.token,
                redis=redis,
                nats=nats,
                platform=fake,
            )
            try:
                yield one
            finally:
                await one.stop()


@asynccontextmanager
async def template(
    warm: Warm, folder: Path, kind: DatabaseKind, databases: engines.Databases | None
) -> AsyncIterator[Template]:
    """Make a database once: tables, token, catalog and stock; its events wait for a relay."""
    _made(folder)
    if kind == "sqlite":
        place = str(folder / "template.db")
        url = f"sqlite+aiosqlite:///{place}"
    else:
        assert databases
        url = databases.create()
        place = engines.name_of(url)
    try:
        await migrate(url)
        opened = Database(url)
        token = await TokenStore(opened).create(TokenRow("chaos", ("operator",), "chaos", 0))
        await opened.close()
        given = Template(kind, place, token, databases)
        await _fill(warm, folder, url, token)
        yield given
    finally:
        if databases and kind == "postgres":
            databases.drop(url)


async def _fill(warm: Warm, folder: Path, database: str, token: str) -> None:
    with (
        engines.running_redis(folder / "redis") as redis,
        engines.running_nats(folder / "nats") as nats,
    ):
        async with platform() as fake:
            one = House(
                warm=warm,
                folder=folder,
                database=database,
                token=token,
                redis=redis,
                nats=nats,
                platform=fake,
            )
            role = await one.start_serve()
            await role.ready()
            await at.gate_open(one.http)
            async with httpx.AsyncClient(base_url=one.http, headers=at.bearer(token)) as client:
                rows = shop.stock_rows(Random(STOCK_SEED), _UNITS)  # noqa: S311
                for path, body in (
                    ("catalog", {"items": shop.catalog_rows()}),
                    ("stock", {"rows": rows}),
                ):
                    answer = await client.post(f"/v1/imports/{path}", json=body, timeout=60)
                    answer.raise_for_status()
            await one.stop()


def _made(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
