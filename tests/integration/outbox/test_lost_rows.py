"""Events that are gone while they wait: nobody waits for them, and none is made so."""

import asyncio

from sqlalchemy import delete, func, select

from config.limits import OUTBOX_KEPT_S, RELAY_BATCH_MAX
from outbox.message import Published
from outbox.nats_publisher import NatsPublisher
from outbox.partitions import Partitions
from outbox.statements import forget_lost, insert_events
from outbox.table import outbox, outbox_pending
from store.engine import Database
from tests.integration.outbox.relaying import (
    CLOCK,
    IDS,
    ShiftedClock,
    a_relay,
    assert_each_once_in_order,
    drained,
    event,
    running,
)
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
    assert not await partitions.prune([0])
    assert await _lost(database) == 0
    ((batch,), _) = await partitions.turn((), [0])
    assert len(batch.positions) == 3 - lost


async def test_a_relay_goes_on_behind_more_events_that_are_gone_than_a_batch_holds(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    first, *events = [event("o", number) for number in range(RELAY_BATCH_MAX + 20)]
    kept = events[RELAY_BATCH_MAX:]
    async with running(a_relay(database, publisher, partitions=1)):
        async with database.write() as connection:
            await insert_events(connection, [first], partitions=1)
        await drained(database)  # from now on it prunes once a minute
        async with database.write() as connection:
            await insert_events(connection, events, partitions=1)
            await connection.execute(
                delete(outbox).where(outbox.c.version.between(1, RELAY_BATCH_MAX))
            )
        await drained(database)
    await assert_each_once_in_order(nats_url, [first, *kept])


async def test_only_partitions_that_are_asked_for_lose_what_is_gone(database: Database) -> None:
    """Many that wait in one partition do not stand before those that are gone in another."""
    async with database.write() as connection:
        await insert_events(connection, [event(f"o-{n}", n) for n in range(40)], partitions=2)
        await connection.execute(delete(outbox).where(outbox.c.version < 20))
        counted = select(outbox_pending.c.partition, func.count()).group_by(
            outbox_pending.c.partition
        )
        before = dict(map(tuple, await connection.execute(counted)))
        lost = await forget_lost(connection, 1, 1000)
        after = dict(map(tuple, await connection.execute(counted)))
    assert 0 < lost == before[1] - after[1]
    assert after[0] == before[0]


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
        pruning = group.create_task(later.prune([0]))
        await asyncio.wait((pruning,), timeout=_SOON_S)  # as far as it gets
        slow.goes_on.set()
    assert await _lost(database) == 0
    ((again,), _) = await partitions.turn((), [0])
    assert again.positions == batch.positions
