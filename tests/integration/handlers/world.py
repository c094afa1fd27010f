"""A whole house for the use cases: a migrated database, an open gate, a network, the batch, a clock."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from sqlalchemy import select

from config.errors import ImvError
from config.ids import IdFactory, LocationId, MarketId, Sku
from handlers.actions import DecideOrders, Task
from handlers.announcer import Announcer, Moved
from handlers.batch import Batch, Settled
from handlers.directory import Directory, Source
from handlers.intake import Intake
from handlers.message import Message, Outcome
from handlers.sweeper import Sweeper
from routing.network import Location, Market, Network
from store.engine import Database
from store.gate import RedisGate
from store.gate_keeper import Keeper
from store.gate_keys import MarketKeys
from store.gate_port import Cell, Gate
from store.ports import Changes, Store
from store.readers import Reader
from store.records import ExceptionRecord, Fulfilment, Level, Order
from store.tables import exceptions, inbox, orders, stock_levels, stock_movements
from store.unit_of_work import SqlStore
from tests.integration.handlers import asking, invariants
from tests.integration.store.gate_world import SetClock, Tally, connected

UK = MarketId("uk")
US = MarketId("us")
MARKETS = (UK, US)


def cell(sku: str, place: str = "leeds") -> Cell:
    return Cell(Sku(sku), LocationId(place))


def place(name: str, kind: Any, latitude: float, market: MarketId = UK, **more: Any) -> Location:
    return Location(
        id=LocationId(name),
        kind=kind,
        market=market,
        name=name.title(),
        latitude=latitude,
        longitude=-1.5,
        pickup=kind == "store",
        external={"shop": f"place-{name}", "pos": f"till-{name}"},
        **more,
    )


NETWORK = Network(
    markets=(Market(UK, "GBP", "Europe/London"), Market(US, "USD", "America/New_York")),
    locations=(
        place("leeds", "store", 53.8),
        place("york", "store", 53.96),
        place("bath", "store", 51.38),
        place("hub", "warehouse", 52.5),
        place("boston", "store", 42.36, US),
        place("dallas", "warehouse", 32.78, US),
    ),
)
SOURCES = (
    Source(asking.SHOP, UK, frozenset({LocationId("hub")})),
    Source(asking.POS, UK, frozenset({LocationId("leeds")})),
    Source(asking.PAY, UK),
    Source(asking.US_SHOP, US),
)


class Heard:
    """Hears of every commit."""

    def __init__(self) -> None:
        self.commits = 0
        self.moved = Moved()

    def __call__(self, outcomes: list[Settled], changes: Changes) -> None:  # noqa: ARG002
        self.commits += 1
        self.moved.note(changes)


class World:
    """The parts, wired once; `ask` sends messages in one batch."""

    def __init__(self, database: Database, gate: RedisGate, clock: SetClock) -> None:
        self.database = database
        self.gate = gate
        self.clock = clock
        self.ids = IdFactory()
        self.tally = Tally()
        self.heard = Heard()
        self.store: Store = SqlStore(database, partitions=4)
        self.reader = Reader(database)
        self.keeper = Keeper(
            database, gate, markets=MARKETS, clock=clock, ids=self.ids, meter=self.tally
        )
        self.batch = self.another_batch()
        self.sent: list[Message] = []

    def another_batch(
        self,
        store: Store | None = None,
        gate: Gate | None = None,
        network: Network = NETWORK,
        directory: Directory | None = None,
    ) -> Batch:
        """Make a batch runner, as another process would have, on these ports."""
        return Batch(
            store=store or self.store,
            gate=gate or self.gate,
            keeper=self.keeper,
            directory=directory or Directory(network, SOURCES),
            clock=self.clock,
            ids=self.ids,
            committed=self.heard,
            look_s=0.01,
        )

    @asynccontextmanager
    async def intake(self, batch: Batch | None = None, queue: int = 4096) -> AsyncIterator[Intake]:
        """Run an intake; at the end it is closed and drained."""
        intake = Intake(batch or self.batch, self.clock, messages_max=queue, answer_s=60)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(intake.run())
            try:
                yield intake
            finally:
                intake.close()

    async def ask(self, *messages: Message) -> list[Settled]:
        """Run messages as one batch; they are remembered for `check_invariants`."""
        self.clock.advance(0.001)
        self.sent += messages
        return await self.batch.run(list(messages))

    async def one(self, message: Message) -> Outcome:
        """Run one message; an error is raised."""
        (settled,) = await self.ask(message)
        if isinstance(settled, Outcome):
            return settled
        raise settled

    async def send(self, *tasks: Task, **changes: Any) -> Outcome:
        """Run tasks as one message of their own."""
        return await self.one(asking.message(*tasks, **changes))

    async def staff(self, *tasks: Task) -> Outcome:
        """Run tasks as a person asks for them; an error is raised."""
        return await self.one(asking.by_hand(*tasks))

    async def stock(self, **units: int) -> None:
        await self.staff(asking.stock(**units))

    async def sweep(self) -> None:
        """Do everything that is due now."""
        async with self.intake() as intake:
            sweeper = Sweeper(
                self.reader,
                intake,
                self.clock,
                ids=self.ids,
                markets=MARKETS,
                gate_open=lambda: True,
            )
            await sweeper.sweep()

    def announcer(self, intake: Intake, moved: Moved | None = None) -> Announcer:
        """Make one as a process has it; without `moved` it hears of this world's commits."""
        heard = self.heard.moved if moved is None else moved
        return Announcer(self.reader, intake, heard, clock=self.clock, ids=self.ids)

    async def announce(self, moved: Moved | None = None, *, after_s: float = 1.0) -> None:
        """Have the first turn of an announcer after a while."""
        self.clock.advance(after_s)
        async with self.intake() as intake:
            await self.announcer(intake, moved).turn()

    async def decide(self, *order_ids: Any) -> Outcome:
        return await self.one(
            asking.message(DecideOrders(tuple(order_ids)), recorded=False, operator=True)
        )

    # --- looking ---------------------------------------------------------------------------

    async def rows(self, statement: Any) -> list[Any]:
        async with self.database.read() as connection:
            return list(await connection.execute(statement))

    async def orders(self) -> list[Order]:
        found = await self.rows(select(orders.c.document).order_by(orders.c.id))
        return [msgspec.json.decode(row.document, type=Order) for row in found]

    async def order(self, ref: str = "1", source: str = asking.SHOP) -> Order:
        (found,) = [
            order
            for order in await self.orders()
            if (order.source, order.external_id) == (source, ref)
        ]
        return found

    async def groups(self, ref: str = "1", source: str = asking.SHOP) -> list[Fulfilment]:
        return await self.reader.fulfilments_of((await self.order(ref, source)).id)

    async def group(self, ref: str = "1") -> Fulfilment:
        (found,) = await self.groups(ref)
        return found

    async def work(self, *actions: Any, ref: str = "1") -> None:
        """Do actions one after the other on an order's only fulfilment."""
        for action in actions:
            group = await self.group(ref)
            await self.staff(asking.act(group.id, action, group.version))

    async def level(self, sku: str, where: str = "leeds") -> Level:
        statement = select(stock_levels).where(
            stock_levels.c.sku == sku, stock_levels.c.location == where
        )
        (row,) = await self.rows(statement)
        values = row._asdict()
        del values["market"]
        return Level(**values)

    async def free(self, sku: str, where: str = "leeds") -> int:
        return (await self.level(sku, where)).available

    async def movements(self, kind: str = "") -> list[Any]:
        found = await self.rows(select(stock_movements).order_by(stock_movements.c.operation_id))
        return [row for row in found if not kind or row.kind == kind]

    async def open_exceptions(self) -> dict[str, list[ExceptionRecord]]:
        """Return what a person would see, by code."""
        found: dict[str, list[ExceptionRecord]] = {}
        statement = select(exceptions).where(exceptions.c.state != "resolved")
        for row in await self.rows(statement.order_by(exceptions.c.id)):
            record = msgspec.json.decode(row.document, type=ExceptionRecord)
            found.setdefault(record.code, []).append(record)
        return found

    async def events(self, entity: str = "") -> list[str]:
        """Return the published events as `entity.name`, in order."""
        named = [event.name for event in await invariants.events_of(self.database)]
        return [name for name in named if name.startswith(entity)]

    async def published(self, name: str) -> list[dict[str, Any]]:
        """Return the data of the events of a name, in order."""
        found = await invariants.events_of(self.database)
        return [event.row for event in found if event.name == name]

    async def inbox(self) -> list[Any]:
        return await self.rows(select(inbox).order_by(inbox.c.received_us, inbox.c.id))

    async def tamper(self, where: Cell, units: int) -> None:
        """Make the gate wrong about a cell."""
        key = MarketKeys(UK).under(self.gate.epoch(UK)).cells(where.sku)
        await self.gate.scripts.write("HINCRBY", key, where.location, units)

    async def open_gate(self) -> None:
        for market in MARKETS:
            # On a machine that stood still for longer than a builder's lease it begins again.
            assert await self.keeper.rebuild(market) or await self.keeper.rebuild(market)

    async def check_invariants(self) -> None:
        """Prove what must hold whenever nothing is on its way."""
        await invariants.check(self)

    async def gate_levels(self, market: MarketId, skus: set[Sku]) -> Mapping[Cell, int]:
        shown, _ = await self.gate.view(market, tuple(sorted(skus)), operations=False)
        return {
            Cell(sku, where): units
            for sku, cells in shown.items()
            for where, units in cells.items()
            if where
        }


@asynccontextmanager
async def opened(database: Database, redis_url: str) -> AsyncIterator[World]:
    """Open a world with an empty ledger and an open gate; at the end its invariants are checked."""
    clock = SetClock()
    async with connected(redis_url) as client:
        world = World(database, RedisGate(client, clock), clock)
        await world.open_gate()
        yield world


def refused(settled: Settled) -> ImvError:
    assert isinstance(settled, ImvError), settled
    return settled
