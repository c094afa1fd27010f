"""However much waits, a turn reads what it takes: PostgreSQL keeps plans from when nothing waited."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from config.limits import RELAY_BATCH_MAX
from outbox.message import Published
from outbox.partitions import Partitions
from store.engine import Database
from tests.integration.outbox.relaying import CLOCK, IDS

_WAITING = 100_000
_TURNS = 8
"""PostgreSQL keeps a plan after five."""
_EVENTS = f"""
INSERT INTO outbox (id, partition, subject, type, ordering_key, version, at_us, data)
SELECT CAST(n AS text), 0, 'imv.order.changed.' || n, 'imv.order.changed', 'o', n, 1, 'data'
FROM generate_series(1, {_WAITING}) AS n"""  # noqa: S608 - ours
_READ = """
SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
WHERE relname IN ('outbox', 'outbox_pending')"""


class Counted:
    """Transactions that tell how many rows of each table the last one read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.rows: dict[str, int] = {}

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.write() as connection:
            before = await _read(connection)
            yield connection
            self._count(before, await _read(connection))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.read() as connection:
            before = await _read(connection)
            yield connection
            self._count(before, await _read(connection))

    def assert_few(self) -> None:
        """Check that two batches' rows were read at most: a turn marks one and stamps one."""
        for name, count in self.rows.items():
            assert count <= 2 * RELAY_BATCH_MAX + 10, f"rows of {name} read"

    def _count(self, before: dict[str, int], after: dict[str, int]) -> None:
        self.rows = {name: count - before.get(name, 0) for name, count in after.items()}


async def test_a_turn_reads_what_it_takes_of_a_large_backlog(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.statements._RESTAGE_ROWS", _WAITING // 4)
    counted = Counted(postgres_database)
    partitions = Partitions(counted, CLOCK, IDS, partitions=1)
    await partitions.prepare()
    await partitions.refresh(())
    await _keep_events(postgres_database)
    for _ in range(_TURNS):
        assert await partitions.turn((), [0]) == ([], True)
        assert not await partitions.is_pending([0])
    (lease,) = await partitions.idle()

    assert await partitions.send_again(lease, 0) == _WAITING
    assert counted.rows["outbox"] <= _WAITING + 10
    assert counted.rows["outbox_pending"] == 0, "what waits already is not looked for row by row"

    published: list[Published] = []
    for sequence in range(1, _TURNS):
        (batch,), kept = await partitions.turn(published, [0])
        assert kept
        assert len(batch.positions) == RELAY_BATCH_MAX
        published = [Published(batch, sequence)]
        counted.assert_few()
        ((*messages,),) = await partitions.load([batch])
        assert len(messages) == RELAY_BATCH_MAX
        counted.assert_few()
        positions, _ = await partitions.load_upcoming(batch)
        assert len(positions) == RELAY_BATCH_MAX
        counted.assert_few()
        assert await partitions.is_pending([0])
        counted.assert_few()


async def _read(connection: AsyncConnection) -> dict[str, int]:
    """Tell what this connection has read since it last told the server, between transactions."""
    return {name: count for name, count in await connection.execute(text(_READ))}  # noqa: C416 - rows are no pairs


async def _keep_events(database: Database) -> None:
    """Have events that were all published, known to the planner as they are."""
    async with database.write() as connection:
        await connection.execute(text(_EVENTS))
    async with database.write() as connection:
        await connection.execute(text("ANALYZE outbox"))
        await connection.execute(text("ANALYZE outbox_pending"))
