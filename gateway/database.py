"""The database alone, for a command that needs nothing else of the house."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from store.engine import Database


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open the database; it is closed at the end."""
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()
