"""The store under test."""

import pytest

from store.engine import Database
from store.unit_of_work import SqlStore


@pytest.fixture
def store(database: Database) -> SqlStore:
    """A store on each database, with every table."""
    return SqlStore(database, partitions=4)
