"""The database alone: opened for a command that needs nothing else, or awaited by a role that starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from config.errors import Unavailable
from config.log import get_log
from store.engine import Database

START_S: Final = 20.0
"""How long a role that starts waits for a database that is away, as while machines start."""
_RETRY_S: Final = 0.25
_log = get_log("gateway")


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open the database; it is closed at the end."""
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


async def wait_for_database(url: str, stopped: asyncio.Event, *, within_s: float = START_S) -> None:
    """Return when the database answers, when we are told to stop, or when the time is over.

    Whoever opens it then says why it cannot be.
    """
    told = False
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s), open_database(url) as database:
            while not stopped.is_set() and (reason := await _silence(database)):
                if not told:
                    _log.warning("database.awaited", reason=reason, seconds=within_s)
                    told = True
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), _RETRY_S)


async def _silence(database: Database) -> str:
    """Return why the database does not answer, '' when it does."""
    try:
        async with database.read():
            return ""
    except Unavailable as error:
        return error.detail
