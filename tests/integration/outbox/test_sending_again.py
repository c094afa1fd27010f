"""A stream that was lost is filled again in order, also while the relay stamps what is new."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.lease_statements import Lease
from outbox.message import Published
from outbox.partitions import Partitions
from outbox.statements import insert_events, restage
from outbox.table import outbox, outbox_pending
from store.engine import Database
from tests.integration.outbox.relaying import CLOCK, IDS, event

_SOON_S = 0.3


class Slow:
    """Transactions, the next of which stands still before its commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next = False
        self.reached = asyncio.Event()
        self.goes_on = asyncio.Event()

    def hold_next(self) -> None:
        self._next = True

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        held, self._next = self._next, False
        async with self._database.write() as connection:
            yield connection
            if held:
                self.reached.set()
                await self.goes_on.wait()

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._database.read()


async def test_what_was_lost_is_stamped_before_what_came_meanwhile(database: Database) -> None:
    """The stamp may wait for the row that is rewound, and must then see what was put back with it."""
    slow = Slow(database)
    partitions = Partitions(slow, CLOCK, IDS, partitions=1)
    await partitions.prepare()
    await partitions.refresh(())
    await _insert(database, 2)
    (lost,), _ = await partitions.turn((), [0])
    await partitions.turn([Published(lost, 7)], ())
    await _insert(database, 1)
    (lease,) = await partitions.idle()
    slow.hold_next()
    async with asyncio.TaskGroup() as group:
        group.create_task(partitions.send_again(lease, 0))
        await slow.reached.wait()
        turning = group.create_task(partitions.turn((), [0]))
        await asyncio.wait((turning,), timeout=_SOON_S)  # as far as it gets
        slow.goes_on.set()
    ((batch,), _) = turning.result()
    assert batch.expected == 0
    assert batch.positions[: len(lost.positions)] == lost.positions
    assert len(batch.positions) == len(lost.positions) + 1


async def _insert(database: Database, count: int) -> None:
    async with database.write() as connection:
        await insert_events(connection, [event("o", n) for n in range(count)], 1)


async def test_all_that_is_kept_is_put_back_in_parts_whatever_is_missing_or_waits_already(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.statements._RESTAGE_ROWS", 3)
    async with database.write() as connection:
        await insert_events(connection, [event(f"o-{n}", n) for n in range(40)], 2)
        await connection.execute(delete(outbox).where(outbox.c.version.in_([0, 5, 6, 7, 8, 20])))
        waits = (outbox_pending.c.position % 7 == 0) & (outbox_pending.c.partition == 0)
        await connection.execute(delete(outbox_pending).where(~waits))
    kept = select(outbox.c.position).where(outbox.c.partition == 0).order_by(outbox.c.position)
    pending = select(outbox_pending.c.partition, outbox_pending.c.position)
    async with database.write() as connection:
        there = list((await connection.execute(kept)).scalars())
        before = {position for _, position in await connection.execute(pending)} & {*there}
        rows = await restage(connection, 0)
        after = [tuple(row) for row in await connection.execute(pending)]
    assert rows == len(there) - len(before)
    assert 0 < len(before) < rows
    assert {(0, one) for one in there} <= {*after}
    assert {partition for partition, _ in after} == {0}


async def test_a_partition_that_has_gone_on_gets_nothing_back(database: Database) -> None:
    partitions = Partitions(database, CLOCK, IDS, partitions=1)
    await partitions.prepare()
    await partitions.refresh(())
    await _insert(database, 2)
    (batch,), _ = await partitions.turn((), [0])
    then = Lease(0, batch.epoch, 0, None)
    await partitions.turn([Published(batch, 7)], ())
    assert await partitions.send_again(then, 3) is None
    assert not await partitions.is_pending([0])
    (now,) = await partitions.idle()
    assert now.marker == 7
