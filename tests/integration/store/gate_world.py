"""What the gate's tests share: a clock to set, a tally, a lossy connection, a filled gate."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from config.clock import to_us
from config.ids import IdFactory, LocationId, MarketId, OperationId, Sku
from config.limits import GATE_GRACE_S
from outbox.table import metadata
from store.engine import Database
from store.gate import RedisGate
from store.gate_build import GateBuild
from store.gate_keeper import Keeper
from store.gate_keys import MarketKeys
from store.gate_port import Cell, Granted, Operation
from store.redis_client import Client, open_redis
from store.tables import stock_levels, stock_movements
from tests.engines import PATIENT_S, owner_of

UK = MarketId("uk")
PAST_GRACE_S = GATE_GRACE_S + 1
LAMP = Cell(Sku("LAMP"), LocationId("leeds"))
LAMP_YORK = Cell(Sku("LAMP"), LocationId("york"))
RUG = Cell(Sku("RUG"), LocationId("leeds"))


class SetClock:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class Tally:
    """Counts what a keeper reports."""

    def __init__(self) -> None:
        self.cells = 0
        self.operations = 0
        self.is_open = False

    def opened(self, _market: MarketId, *, is_open: bool) -> None:
        self.is_open = is_open

    def repaired(self, _market: MarketId, cells: int) -> None:
        self.cells += cells

    def voided(self, _market: MarketId, operations: int) -> None:
        self.operations += operations


def operation(name: str, *lines: tuple[Cell, int]) -> Operation:
    return Operation(OperationId(name), lines)


@asynccontextmanager
async def connected(url: str, *, call_s: float = PATIENT_S) -> AsyncIterator[Client]:
    client = open_redis(url, call_s=call_s)
    try:
        yield client
    finally:
        await client.aclose()


async def fill(gate: RedisGate, market: MarketId, units: Mapping[Cell, int]) -> None:
    """Open a gate on these cells, without a ledger."""
    epoch = IdFactory().new(0)
    build = GateBuild(gate.scripts, market, epoch)
    assert await build.begin("")
    assert await build.fill(sorted(units.items()))
    assert await build.open()
    gate.learn(market, epoch)


async def free(gate: RedisGate, cell: Cell, market: MarketId = UK) -> int | None:
    return (
        (await gate.available(market, frozenset({cell.sku}))).get(cell.sku, {}).get(cell.location)
    )


async def eventually(check: Callable[[], Awaitable[bool]], *, within_s: float = 20.0) -> None:
    """Ask again and again until the answer is yes."""
    async with asyncio.timeout(within_s):
        while not await check():  # noqa: ASYNC110 - what is awaited happens elsewhere
            await asyncio.sleep(0.02)


class World:
    """A ledger, a gate and its keeper, with a clock to set."""

    def __init__(self, database: Database, client: Client, owner: Client) -> None:
        self.database = database
        self.client = client
        self.owner = owner
        """May also do what the gate never does."""
        self.clock = SetClock()
        self.tally = Tally()
        self.gate = RedisGate(client, self.clock)
        self.keeper = self.another_keeper(self.gate)

    def another_keeper(self, gate: RedisGate) -> Keeper:
        return Keeper(
            self.database,
            gate,
            markets=[UK],
            clock=self.clock,
            ids=IdFactory(),
            meter=self.tally,
        )

    async def stock(self, units: Mapping[Cell, int]) -> None:
        rows = [
            {
                "sku": cell.sku,
                "location": cell.location,
                "market": UK,
                "on_hand": on_hand,
                **dict.fromkeys(
                    ("unavailable", "safety", "held", "allocated", "incoming", "counted_version"),
                    0,
                ),
            }
            for cell, on_hand in units.items()
        ]
        async with self.database.write() as connection:
            await connection.execute(insert(stock_levels), rows)

    async def commit(self, name: str, *lines: tuple[Cell, int], kind: str = "allocated") -> None:
        """Write an operation to the ledger, as the unit of work does."""
        async with self.database.write() as connection:
            await connection.execute(insert(stock_movements), [self.movement(name, kind)])
            for cell, units in lines:
                await connection.execute(
                    stock_levels.update()
                    .where(stock_levels.c.sku == cell.sku, stock_levels.c.location == cell.location)
                    .values(allocated=stock_levels.c.allocated + units)
                )

    def movement(self, name: str, kind: str) -> dict[str, Any]:
        return {
            "operation_id": name,
            "kind": kind,
            "market": UK,
            "order_id": None,
            "at_us": to_us(self.clock.now()),
            "lines": b"[]",
            "reason": "",
        }


async def reserve(made: World, name: str, *lines: tuple[Cell, int]) -> str:
    (answer,) = await made.gate.reserve(UK, (operation(name, *lines),))
    assert isinstance(answer, Granted)
    return answer.epoch


async def kinds(made: World) -> dict[str, str]:
    async with made.database.read() as connection:
        rows = await connection.execute(
            select(stock_movements.c.operation_id, stock_movements.c.kind)
        )
        return {row.operation_id: row.kind for row in rows}


async def remembered(made: World) -> int:
    under = MarketKeys(UK).under(made.gate.epoch(UK))
    counts = [
        await made.owner.execute_command("HLEN", under.operations),
        await made.owner.execute_command("ZCARD", under.times),
        await made.owner.execute_command("ZCARD", under.shifts),
    ]
    return sum(counts)


async def tamper(made: World, cell: Cell, units: int) -> None:
    key = MarketKeys(UK).under(made.gate.epoch(UK)).cells(cell.sku)
    await made.client.execute_command("HINCRBY", key, cell.location, units)


@asynccontextmanager
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    database = Database(database_url)
    try:
        async with database.write() as connection:
            await connection.run_sync(metadata.create_all)
        async with connected(redis_url) as client, connected(owner_of(redis_url)) as owner:
            yield World(database, client, owner)
    finally:
        await database.close()


class LossyWire:
    """A TCP address before Redis' socket that can lose answers to what Redis has done."""

    def __init__(self, url: str) -> None:
        self._who, _, path = url.removeprefix("unix://").partition("@")
        self._path = path
        self.losing = False
        self.lost = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"redis://{self._who}@127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_unix_connection(self._path)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, out))
                tasks.create_task(self._answer(there, writer))
        except* (ConnectionError, EOFError):
            pass
        finally:
            out.close()
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            out.write(data)
            await out.drain()
        raise EOFError

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(65536):
            if self.losing:
                self.lost += 1
                raise EOFError
            writer.write(data)
            await writer.drain()
        raise EOFError
