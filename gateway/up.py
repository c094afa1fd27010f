"""`imv up`: everything, on embedded engines where none are named; started and stopped in order."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import uvloop

from config.clock import to_ms, to_us
from config.log import get_log
from config.settings import Settings
from gateway.app import serving_house
from gateway.database import open_database
from gateway.demo.traffic import Demo
from gateway.engines.child import Child
from gateway.engines.embedded import running_engines
from gateway.engines.folder import DataFolder
from gateway.engines.relay_child import RelayChild
from gateway.lifespan import House, open_house, relay_settings
from gateway.running import Running, remove_running, write_running
from gateway.security import OPERATOR
from gateway.serving import listen
from gateway.signals import stop_signal
from gateway.urls import url_of
from outbox.beginning import agree
from store.migrate import migrate
from store.tokens import Actor, TokenRow

_log = get_log("up")
RUN_NOTE = "imv run"
_WATCH_S = 0.5
_OURSELVES = Actor("imv up")


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The ready line; `token` is shown on the first run only."""

    ready: bool = True
    http: str
    nats: str
    data: str
    token: str | None


def up(
    settings: Settings,
    data: Path,
    environ: Mapping[str, str],
    *,
    demo: Demo | None,
    tell: Callable[[Ready], None],
) -> None:
    """Run until SIGINT or SIGTERM; children are started and stopped from this, the main thread.

    Raises:
        Misconfigured: a port in use, a missing program, a damaged or locked data folder.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(DataFolder(data))
        address = listen(settings.gateway.host, settings.gateway.port)
        stack.callback(address.close)
        engines = stack.enter_context(running_engines(settings.engines, folder))
        urls = engines.urls
        nats = (urls.nats_readers or urls.nats)[0]
        http = url_of(address)
        relay = RelayChild(relay_settings(settings, urls), log=folder.path / "relay.log")
        stack.callback(relay.stop)

        async def main() -> None:
            async with stop_signal() as stopped:
                await migrate(urls.database)
                async with open_database(urls.database) as database:  # now, not in the relay's log
                    await agree(database, settings.relay.partitions)
                relay.start()
                async with open_house(settings, urls, environ, wake=relay.wake) as house:
                    token = await _first_token(house)
                    credential = await _credential(house)
                    server = serving_house(house, address)
                    async with server, _kept_alive(*engines.children, relay):
                        write_running(folder.path, Running(http, nats, credential, os.getpid()))
                        tell(Ready(http=http, nats=nats, data=str(folder.path), token=token))
                        try:
                            await _until(stopped, house, demo, http, credential)
                        finally:
                            remove_running(folder.path)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())


@asynccontextmanager
async def _kept_alive(*children: Child) -> AsyncIterator[None]:
    """Start an engine again whenever it ends by itself; the gateway bridges the gap."""

    async def watch() -> None:
        while True:
            for child in children:
                if not child.alive:
                    _log.error("engine.ended", engine=child.name)
                    child.revive()
            await asyncio.sleep(_WATCH_S)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch(), name="engines")
        try:
            yield
        finally:
            task.cancel()


async def _until(
    stopped: asyncio.Event, house: House, demo: Demo | None, http: str, credential: str
) -> None:
    if demo is None:
        await stopped.wait()
        return
    async with asyncio.TaskGroup() as group:
        traffic = group.create_task(demo.run(house, http, credential), name="demo")
        await stopped.wait()
        traffic.cancel()


async def _first_token(house: House) -> str | None:
    """Make the operator's token on the first run; later runs show none."""
    if await house.token_store.any():
        return None
    return await house.token_store.create(_row(house, "operator"), _OURSELVES)


async def _credential(house: House) -> str:
    """Make this run's credential; those of earlier runs end."""
    await house.token_store.revoke_noted(RUN_NOTE, to_us(house.clock.now()), _OURSELVES)
    return await house.token_store.create(_row(house, RUN_NOTE), _OURSELVES)


def _row(house: House, note: str) -> TokenRow:
    now = house.clock.now()
    return TokenRow(house.ids.new(to_ms(now)), (OPERATOR,), note, to_us(now))
