"""The composition root: every adapter is built here, once, and everything that runs is run here."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from config.clock import Clock, SystemClock
from config.errors import Misconfigured, Unavailable
from config.ids import IdFactory, MarketId, SourceId
from config.log import get_log
from config.settings import Settings
from gateway.health import Health
from gateway.metrics import Metrics
from gateway.outbound import open_outbound
from gateway.rates import Rates
from gateway.relay import RelaySettings, open_relay
from gateway.security import Tokens
from gateway.snapshots import SqlSnapshots
from gateway.sources import open_channels, sources_of
from gateway.stream.hub import Hub
from gateway.stream.revocations import Revocations
from gateway.urls import Urls
from handlers.announcer import Announcer, Moved
from handlers.batch import Batch, Settled
from handlers.completer import Completer
from handlers.directory import Directory
from handlers.intake import Intake
from handlers.sources.channel import Channel
from handlers.sweeper import Sweeper
from outbox.beginning import agree
from outbox.nats_subscriber import NatsSubscriber
from routing.network import Network, parse
from store.engine import Database
from store.gate import RedisGate
from store.gate_keeper import Keeper
from store.networks import keep_networks
from store.patient_gate import PatientGate
from store.ports import Changes
from store.readers import Reader
from store.redis_client import open_redis
from store.retention import Retention
from store.tickets import TicketStore
from store.tokens import TokenStore
from store.unit_of_work import SqlStore

_log = get_log("gateway")


class House(msgspec.Struct, frozen=True):
    """Everything that the edge serves from."""

    settings: Settings
    clock: Clock
    ids: IdFactory
    directory: Directory
    channels: Mapping[SourceId, Channel]
    intake: Intake
    reader: Reader
    gate: RedisGate
    tokens: Tokens
    token_store: TokenStore
    hub: Hub
    metrics: Metrics
    health: Health
    refusals: Rates


@asynccontextmanager
async def open_house(
    settings: Settings,
    urls: Urls,
    environ: Mapping[str, str],
    *,
    relay: bool = False,
    wake: Callable[[], None] = lambda: None,
) -> AsyncIterator[House]:
    """Build everything, run what runs, and at the end stop it in order.

    Taken messages are finished, then the relay and the rest end, then connections close. `relay` has one
    run in here; one that runs elsewhere may be told of each commit by `wake`.

    Raises:
        Misconfigured: settings, network file or a source are wrong. EngineDown: no database.
    """
    floor = _Floor(SystemClock(), IdFactory(), Metrics())
    clock, ids, metrics = floor.clock, floor.ids, floor.metrics
    directory = Directory(read_network(settings), sources_of(settings))
    async with AsyncExitStack() as stack:
        database = Database(urls.database, checkpoints=True)
        stack.push_async_callback(database.close)
        reader = Reader(database)
        partitions = await agree(database, settings.relay.partitions)
        await keep_networks(database, directory.networks())
        incarnation = await reader.incarnation()
        stock = _open_stock(stack, urls, database, directory, floor)
        if relay:
            mover = await stack.enter_async_context(open_relay(relay_settings(settings, urls)))
            wake = mover.notify
        subscriber = NatsSubscriber(urls.nats_readers or urls.nats)
        stack.push_async_callback(subscriber.close)
        commits = _Commits(metrics, wake)
        batch = Batch(
            store=SqlStore(database, partitions),
            gate=stock.patient,
            keeper=stock.keeper,
            directory=directory,
            clock=clock,
            ids=ids,
            committed=commits,
        )
        intake = Intake(
            batch,
            clock,
            messages_max=settings.gateway.queue_messages_max,
            answer_s=settings.gateway.answer_within_s,
        )
        http = open_outbound()
        stack.push_async_callback(http.aclose)
        channels, platforms = open_channels(settings, environ, http, clock)
        token_store = TokenStore(database)
        refusals = Rates(settings.gateway.refusals_per_s, clock)
        hub = Hub(subscriber, SqlSnapshots(reader), incarnation, clock)
        metrics.watch(asyncio.get_running_loop(), lambda: hub.sessions)
        health = Health(
            reader,
            stock.gate,
            subscriber,
            stock.markets,
            metrics,
            database=database,
            intake=intake,
            clock=clock,
        )
        house = House(
            settings=settings,
            clock=clock,
            ids=ids,
            directory=directory,
            channels=channels,
            intake=intake,
            reader=reader,
            gate=stock.gate,
            tokens=Tokens(token_store, TicketStore(database), clock, refusals),
            refusals=refusals,
            token_store=token_store,
            hub=hub,
            metrics=metrics,
            health=health,
        )
        sweeper = Sweeper(
            reader, intake, clock, ids=ids, markets=stock.markets, gate_open=stock.is_open
        )
        announcer = Announcer(reader, intake, commits.moved, clock=clock, ids=ids)
        completer = Completer(reader, intake, platforms, clock=clock, ids=ids, more=commits.thin)
        background = [*stock.running, sweeper.run, announcer.run, completer.run]
        background += [hub.run, health.run]
        revocations = Revocations(token_store, hub, forget=house.tokens.forget)
        background += [revocations.run, Retention(database, clock).run]
        if relay:
            background.append(mover.run)
        async with _running(intake, background):
            yield house


class _Floor(msgspec.Struct, frozen=True):
    """What everything stands on."""

    clock: Clock
    ids: IdFactory
    metrics: Metrics


class _Stock(msgspec.Struct, frozen=True):
    """The stock gate, the one that tells it again, and its keeper."""

    gate: RedisGate
    patient: PatientGate
    keeper: Keeper
    markets: tuple[MarketId, ...]

    @property
    def running(self) -> list[Any]:
        """Return what works beside the traffic."""
        return [self.keeper.run, self.patient.run]

    def is_open(self) -> bool:
        """Tell whether every market's gate decides now."""
        try:
            return all(self.gate.epoch(market) for market in self.markets)
        except Unavailable:
            return False


class _Commits:
    """Hears of every commit: counts and logs it, notes what it moved, wakes relay and completer."""

    def __init__(self, metrics: Metrics, wake: Callable[[], None]) -> None:
        self.thin = asyncio.Event()
        self.moved = Moved()
        self._metrics = metrics
        self._wake = wake

    def __call__(self, outcomes: list[Settled], changes: Changes) -> None:
        self._metrics.committed(outcomes, changes)
        self.moved.note(changes)
        _log.info(
            "batch.committed",
            messages=[message.id for message in changes.messages],
            orders=len(changes.orders),
            movements=len(changes.movements),
            events=len(changes.events),
        )
        if changes.events:
            self._wake()
        if changes.fetches:
            self.thin.set()


def _open_stock(
    stack: AsyncExitStack, urls: Urls, database: Database, directory: Directory, floor: _Floor
) -> _Stock:
    client = open_redis(urls.redis)
    stack.push_async_callback(client.aclose)
    gate = RedisGate(client, floor.clock)
    markets = tuple(directory.markets)
    keeper = Keeper(
        database, gate, markets=markets, clock=floor.clock, ids=floor.ids, meter=floor.metrics
    )
    return _Stock(gate, PatientGate(gate, floor.clock), keeper, markets)


def relay_settings(settings: Settings, urls: Urls) -> RelaySettings:
    """Return what a relay of this instance needs to know."""
    return RelaySettings(
        database=urls.database,
        nats=urls.nats,
        partitions=settings.relay.partitions,
        store_bytes=urls.store_bytes,
    )


@asynccontextmanager
async def _running(intake: Intake, background: Sequence[Any]) -> AsyncIterator[None]:
    """Run the intake and what works beside it; the intake ends last, with all it has taken."""
    async with asyncio.TaskGroup() as outer:
        outer.create_task(intake.run(), name="intake")
        async with asyncio.TaskGroup() as inner:
            tasks = [
                inner.create_task(run(), name=getattr(run, "__qualname__", "task"))
                for run in background
            ]
            try:
                yield
            finally:
                intake.close()
                for task in tasks:
                    task.cancel()


def read_network(settings: Settings) -> Network:
    """Read the network file; without one there is no market and no place."""
    if not settings.network.file:
        return Network()
    path = Path(settings.network.file)
    try:
        return parse(path.read_text())
    except OSError as error:
        raise Misconfigured(f"network file {path}: {error.strerror}") from error
