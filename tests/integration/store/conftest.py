"""The store under test."""

import threading
from collections.abc import AsyncIterator

import pytest

from store.engine import Database
from store.unit_of_work import SqlStore


@pytest.fixture
def store(database: Database) -> SqlStore:
    """A store on each database, with every table."""
    return SqlStore(database, partitions=4)


@pytest.fixture
async def driver_threads_end() -> AsyncIterator[None]:
    """Wait for SQLite's threads: one that could not open its file still answers the test's loop."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if "_connection_worker_thread" in thread.name:
            thread.join(5)
