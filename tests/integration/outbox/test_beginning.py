"""The number of partitions that a database begins with, when events were there before the number."""

import pytest

from config import limits
from config.errors import Misconfigured
from config.ids import partition_of
from outbox.beginning import agree, count_partitions
from outbox.statements import insert_events
from store.engine import Database
from tests.integration.outbox.relaying import event, events_of


async def _write(database: Database, keys: list[str], partitions: int) -> None:
    """Have events pend as a gateway wrote them that asked nobody for the number."""
    async with database.write() as connection:
        await insert_events(connection, [event(key, 0) for key in keys], partitions)


async def _count(database: Database) -> int:
    async with database.read() as connection:
        return await count_partitions(connection)


def _keys_in(partitions: set[int], of: int) -> list[str]:
    """Return keys that stand in these partitions alone, some in each."""
    keys = [one.key for one in events_of(64, range(1))]
    return [key for key in keys if partition_of(key, of) in partitions]


@pytest.mark.parametrize("wanted", [2, 8])
async def test_another_number_than_pending_events_were_written_with_is_refused(
    database: Database, wanted: int
) -> None:
    await _write(database, _keys_in({0, 1, 2, 3}, of=4), 4)
    with pytest.raises(Misconfigured, match=r"began with 4; set it to 4, or leave it out"):
        await agree(database, wanted)
    assert await _count(database) == 0
    assert await agree(database, 4) == 4
    assert await _count(database) == 4


async def test_the_number_is_found_when_its_last_partitions_are_empty(database: Database) -> None:
    keys = _keys_in({0, 2}, of=4)
    await _write(database, keys, 4)
    count = await agree(database, None)
    assert [partition_of(key, count) for key in keys] == [partition_of(key, 4) for key in keys]


async def test_a_number_that_moves_no_pending_key_may_be_wanted(database: Database) -> None:
    key = next(key for key in _keys_in({3}, of=8) if partition_of(key, 16) == 3)
    await _write(database, [key], 8)
    assert await agree(database, 16) == 16


async def test_what_was_written_with_several_numbers_still_gets_a_partition_for_each(
    database: Database,
) -> None:
    keys = _keys_in({0, 1, 2, 3}, of=4)
    await _write(database, keys, 4)
    await _write(database, keys, 3)
    assert await agree(database, None) == 4


async def test_without_events_a_database_begins_with_what_is_wanted(database: Database) -> None:
    assert await agree(database, limits.PARTITIONS_MAX) == limits.PARTITIONS_MAX
