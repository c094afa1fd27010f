"""The servers under test: the real gateway, the bare handler, the conventional one."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from gateway.engines.redis_access import address, kept
from gateway.security import OPERATOR
from store.engine import Database
from store.migrate import migrate
from store.tokens import TokenRow, TokenStore
from tests.bench import goods
from tests.bench.books import Books, wait
from tests.bench.plan import DatabaseKind, Plan
from tests.bench.process import READY_S, Failed, Process
from tests.engines import Databases, apart, running_nats, running_postgres, running_redis

_ANSWER_S: Final = 60.0


class Gateway(msgspec.Struct, frozen=True):
    """A running gateway with its network, catalog and stock."""

    process: Process
    http: str
    nats: str
    token: str
    books: Books
    ready_s: float
    redis: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return port_of(self.http)

    def post(self, path: str, body: object) -> None:
        """Post as the operator; Failed unless it is done."""
        headers = {"authorization": f"Bearer {self.token}"}
        answer = httpx.post(f"{self.http}{path}", json=body, headers=headers, timeout=_ANSWER_S)
        if answer.status_code != httpx.codes.OK:
            raise Failed(f"{path}: {answer.status_code} {answer.text[:300]}")

    def stock(self, sku: str, place: str, units: int) -> None:
        """Put units of something new on a shelf, and wait until the gate sells them."""
        row = {"sku": sku, "location": place, "on_hand": units, "safety_stock": 0}
        self.post("/v1/imports/stock", {"rows": [row]})


def port_of(http: str) -> int:
    """Return the port of an address."""
    return int(http.rpartition(":")[2])


@contextmanager
def places(plan: Plan, kind: DatabaseKind) -> Iterator[Databases | None]:
    """Run a PostgreSQL server where one is needed and none is given."""
    if kind == "sqlite":
        yield None
        return
    with postgres(plan) as databases:
        yield databases


@contextmanager
def postgres(plan: Plan) -> Iterator[Databases]:
    """Give the server that was named, else run one."""
    if plan.postgres:
        yield Databases(plan.postgres)
        return
    with running_postgres() as server:
        yield Databases(server.url)


def fresh(databases: Databases | None, file: Path) -> str:
    """Return the URL of a database that is empty, or not there yet."""
    return databases.create() if databases else f"sqlite+aiosqlite:///{file}"


@contextmanager
def gateway(
    folder: Path,
    database: str = "",
    *,
    stocked: bool = True,
    wide: bool = False,
    **settings: Any,
) -> Iterator[Gateway]:
    """Run `imv up` on a data folder and a database; with its relay and embedded engines.

    `wide`: with the 100 places of P7's network in place of 10.
    """
    folder.mkdir(exist_ok=True)
    url = database or f"sqlite+aiosqlite:///{folder / 'data' / 'imv.db'}"
    engines = {"database": database} if database else {}
    config = configure(folder, engines, wide=wide, **settings)
    where = ("--data", str(folder / "data"), "--config", str(config))
    started = time.perf_counter()
    with Process(folder / "up.log", "gateway", "up", "--json", "--port", "0", *where) as process:
        ready = process.hear(READY_S)
        ready_s = time.perf_counter() - started
        note = msgspec.json.decode((folder / "data" / "run.json").read_bytes())
        redis = redis_of(folder / "data")
        up = Gateway(
            process, ready["http"], ready["nats"], note["token"], Books(url), ready_s, redis
        )
        if stocked:
            fill_shelves(up, wide=wide)
        settle(up)
        yield up


def configure(
    folder: Path,
    engines: dict[str, Any],
    *,
    wide: bool = False,
    **settings: Any,
) -> Path:
    """Write the network and the configuration; `settings` are of the section `gateway`."""
    network = folder / "network.toml"
    network.write_text(goods.network_toml(wide=wide))
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    text = f"[gateway]\n{lines}{goods.configuration(str(network), engines)}"
    config = folder / "imv.toml"
    config.write_text(text)
    return config


def redis_of(data: Path) -> str:
    """Return the address of an instance's embedded Redis."""
    lines = (data / "redis.conf").read_text().splitlines()
    (socket,) = (line.split()[1] for line in lines if line.startswith("unixsocket "))
    return address(socket.strip('"'), kept(data / "redis.json"))


def settle(up: Gateway, *, looks: int = 1) -> None:
    """Wait until orders are decided at once; several looks, for each may meet another worker."""
    address = f"{up.http}/v1/availability/{goods.ITEMS[-1].sku}"
    headers = {"authorization": f"Bearer {up.token}"}

    def decides() -> bool:
        answer = httpx.get(address, headers=headers, timeout=_ANSWER_S)
        return answer.status_code == httpx.codes.OK and answer.json()["freshness"] == "gate"

    for _ in range(looks):
        wait(decides, "the gateway did not begin to decide", READY_S)


def live(up: Gateway) -> None:
    """Wait until every dependency is well, so that nothing begins anew under open screens."""

    def all_well() -> bool:
        answer = httpx.get(f"{up.http}/readyz", timeout=_ANSWER_S).json()
        return all(one["ok"] for one in answer["dependencies"].values())

    wait(all_well, "not every dependency is well", READY_S)


def fill_shelves(up: Gateway, *, wide: bool = False) -> None:
    """Import catalog and stock, as an operator does."""
    up.post("/v1/imports/catalog", {"items": goods.catalog_rows()})
    up.post("/v1/imports/stock", {"rows": goods.stock_rows(wide=wide)})
    up.books.drain()


@contextmanager
def served(folder: Path, database: str, workers: int) -> Iterator[Gateway]:
    """Run `imv serve` and `imv relay` on a PostgreSQL database, with a Redis and a NATS beside."""
    migrated(database)
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis(folder / "redis"))
        nats = stack.enter_context(running_nats(folder / "nats"))
        token = asyncio.run(_operator(database))
        engines = {"database": database, "redis": redis.url, "nats": [nats.url]}
        config = ("--config", str(configure(folder, engines)))
        started = time.perf_counter()
        arguments = ("gateway", "serve", "--port", "0", "--workers", str(workers), *config)
        process = stack.enter_context(Process(folder / "serve.log", *arguments))
        http = process.hear(READY_S)["http"]
        ready_s = time.perf_counter() - started
        relay = stack.enter_context(Process(folder / "relay.log", "gateway", "relay", *config))
        relay.hear(READY_S)
        up = Gateway(process, http, nats.url, token, Books(database), ready_s, redis.url)
        fill_shelves(up)
        settle(up, looks=8 * workers)
        yield up


async def _operator(database: str) -> str:
    """Make an operator's token, as `imv token create` does."""
    opened = Database(database)
    try:
        return await TokenStore(opened).create(TokenRow("bench", (OPERATOR,), "bench", 0))
    finally:
        await opened.close()


@contextmanager
def bare(folder: Path) -> Iterator[int]:
    """Run the bare handler; gives its port."""
    with Process(folder / "bare.log", "tests.bench.bare") as process:
        yield int(process.hear(READY_S)["port"])


@contextmanager
def conventional(folder: Path, database: str) -> Iterator[int]:
    """Run the conventional handler with a Redis of its own; gives its port."""
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis(folder / "conventional"))
        arguments = ("tests.bench.conventional", database, redis.owner_url)
        process = stack.enter_context(Process(folder / "conventional.log", *arguments))
        yield int(process.hear(READY_S)["port"])


def migrated(url: str) -> str:
    """Make the tables of the gateway in a database."""
    apart(migrate(url))
    return url
