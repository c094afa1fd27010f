"""An instance that does not run, opened for the length of one command."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final

import msgspec

from config import log
from config.clock import to_ms
from config.ids import MarketId, MessageId, SourceId
from config.settings import environment
from gateway.cli.instance import Instance
from gateway.database import open_database
from gateway.engines.embedded import running_engines, sqlite_url
from gateway.engines.folder import DataFolder
from gateway.lifespan import House, open_house
from gateway.urls import Urls
from handlers.actions import ImportCatalog, ImportStock
from handlers.message import Message, Outcome
from store.gate_port import GateClosed
from store.migrate import migrate
from store.tokens import TokenStore

_SOURCE: Final = SourceId("api:command")
_GATE_S: Final = 5.0
_POLL_S: Final = 0.05


@asynccontextmanager
async def open_tokens(instance: Instance) -> AsyncIterator[TokenStore]:
    """Open the tokens; of all engines only the database is needed, and it is migrated first."""
    log.configure(level="error")
    with database_of(instance) as url:
        await migrate(url)
        async with open_database(url) as transactions:
            yield TokenStore(transactions)


@asynccontextmanager
async def open_offline(instance: Instance) -> AsyncIterator[House]:
    """Open the house, with embedded engines of its own where the instance has those.

    Children must be started by the main thread, so this must be run there.

    Raises:
        Misconfigured: the data folder is in use, or settings, network or a source are wrong.
        EngineDown: no database.
    """
    log.configure(level="error")
    with engines_of(instance) as urls:
        await migrate(urls.database)
        async with open_house(
            instance.settings, urls, environment(), relay=instance.embedded
        ) as house:
            await _wait_for_gate(house)
            yield house


async def _wait_for_gate(house: House) -> None:
    """Give the gate a moment to open, so that it learns of changes now and not by reconciling."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_GATE_S):
            while not all(  # noqa: ASYNC110 - the gate is only to be looked at
                map(partial(_is_open, house), house.directory.markets)
            ):
                await asyncio.sleep(_POLL_S)


def _is_open(house: House, market: MarketId) -> bool:
    with suppress(GateClosed):
        return bool(house.gate.epoch(market))
    return False


@contextmanager
def database_of(instance: Instance) -> Iterator[str]:
    """Give the URL of the database; an embedded one is locked meanwhile."""
    if instance.settings.engines.database:
        yield instance.settings.engines.database
        return
    with DataFolder(instance.data) as folder:
        yield sqlite_url(folder.path)


@contextmanager
def engines_of(instance: Instance) -> Iterator[Urls]:
    """Give the engines' addresses; embedded ones run meanwhile, as they do in `imv up`."""
    if not instance.embedded:
        yield instance.urls()
        return
    with ExitStack() as stack:
        folder = stack.enter_context(DataFolder(instance.data))
        yield stack.enter_context(running_engines(instance.settings.engines, folder)).urls


async def submit(house: House, task: ImportStock | ImportCatalog, by: str) -> Outcome:
    """Do a task through the house's intake, as a request of an operator would be done."""
    now, body = house.clock.now(), msgspec.json.encode(task)
    name = MessageId(house.ids.new(to_ms(now)))
    return await house.intake.submit(
        Message(
            id=name,
            source=_SOURCE,
            key=name,
            topic=by,
            fingerprint=hashlib.sha256(body).digest(),
            body=body,
            received_at=now,
            tasks=(task,),
            by=by,
            operator=True,
        )
    )
