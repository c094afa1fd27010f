"""A stream that was lost is filled again in order, also while the relay stamps what is new."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.message import Published
from outbox.partitions import Partitions
from outbox.statements import insert_events
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
