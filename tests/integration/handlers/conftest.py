"""The world under test, on each database."""

from collections.abc import AsyncIterator

import pytest

from store.engine import Database
from tests.integration.handlers.world import World, opened


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    """A world on each database; whatever a test did, the invariants hold after it."""
    async with opened(database, redis_url) as made:
        yield made
        await made.check_invariants()


@pytest.fixture
async def sqlite_world(sqlite_database: Database, redis_url: str) -> AsyncIterator[World]:
    """The same on SQLite alone, where the database makes no difference."""
    async with opened(sqlite_database, redis_url) as made:
        yield made
        await made.check_invariants()
