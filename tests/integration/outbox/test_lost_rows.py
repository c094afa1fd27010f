"""Events that are gone while they wait: nobody waits for them, and none is made so."""

import asyncio

from sqlalchemy import delete, func, select

from config.limits import OUTBOX_KEPT_S
from outbox.message import Published
from outbox.partitions import Partitions
from outbox.statements import insert_events
from outbox.table import outbox, outbox_pending
from store.engine import Database
from tests.integration.outbox.relaying import CLOCK, IDS, ShiftedClock, event
from tests.integration.outbox.test_sending_again import Slow

_SOON_S = 0.3


async def _owner(database: Database | Slow, *, ahead_s: float = 0) -> Partitions:
    clock = ShiftedClock(ahead_s) if ahead_s else CLOCK
    partitions = Partitions(database, clock, IDS, partitions=1)
    await partitions.prepare()
    await partitions.refresh(())
    return partitions


async def _insert(database: Database, count: int, *, first: int = 0) -> None:
    async with database.write() as connection:
        await insert_events(connection, [event("o", first + n) for n in range(count)], partitions=1)


async def _lost(database: Database) -> int:
    """Count what waits although its event is gone."""
    joined = outbox_pending.outerjoin(outbox, outbox.c.position == outbox_pending.c.position)
    question = select(func.count()).select_from(joined).where(outbox.c.position.is_(None))
    async with database.read() as connection:
        return int((await connection.execute(question)).scalar_one())


async def test_where_all_that_waits_is_gone_nothing_is_stamped_and_what_comes_next_goes_on(
    database: Database,
) -> None:
    partitions = await _owner(database)
    await _insert(database, 3)
    async with database.write() as connection:
        await connection.execute(delete(outbox))
    assert await partitions.turn((), [0]) == ([], True)
    await _insert(database, 1, first=3)
    ((batch,), _) = await partitions.turn((), [0])
    assert len(batch.positions) == 1


async def test_nobody_waits_for_events_that_are_gone(database: Database) -> None:
    partitions = await _owner(database)
    await _insert(database, 3)
    async with database.write() as connection:
        await connection.execute(delete(outbox).where(outbox.c.version < 2))
    lost = await _lost(database)
    assert lost > 0
    assert not await partitions.prune()
    assert await _lost(database) == 0
    ((batch,), _) = await partitions.turn((), [0])
    assert len(batch.positions) == 3 - lost


async def test_what_is_put_back_is_not_pruned_meanwhile(database: Database) -> None:
    """Old events are put back after a broker was lost; each transaction sees nothing of the other."""
    slow = Slow(database)
    partitions = await _owner(slow)
    await _insert(database, 3)
    ((batch,), _) = await partitions.turn((), [0])
    await partitions.turn([Published(batch, 7)], ())
    (lease,) = await partitions.idle()
    later = Partitions(database, ShiftedClock(OUTBOX_KEPT_S + 60), IDS, partitions=1)
    slow.hold_next()
    async with asyncio.TaskGroup() as group:
        group.create_task(partitions.send_again(lease, 0))
        await slow.reached.wait()
        pruning = group.create_task(later.prune())
        await asyncio.wait((pruning,), timeout=_SOON_S)  # as far as it gets
        slow.goes_on.set()
    assert await _lost(database) == 0
    ((again,), _) = await partitions.turn((), [0])
    assert again.positions == batch.positions
