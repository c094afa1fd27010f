"""The outbox's statements on both databases: order, bounds, backlog and pruning."""

from config.limits import OUTBOX_KEPT_S, RELAY_BATCH_MAX
from outbox.message import Published
from outbox.partitions import Partitions
from outbox.statements import Backlog, backlog, insert_events, load_batches
from store.engine import Database
from tests.integration.outbox.relaying import CLOCK, IDS, ShiftedClock, event


async def _one_partition(database: Database) -> Partitions:
    partitions = Partitions(database, CLOCK, IDS, partitions=1)
    await partitions.prepare()
    await partitions.refresh(())
    return partitions


async def _insert(database: Database, first: int, count: int) -> None:
    async with database.write() as connection:
        await insert_events(connection, [event("o", first + n) for n in range(count)], 1)


async def test_events_are_claimed_in_the_order_in_which_they_were_given(
    database: Database,
) -> None:
    partitions = await _one_partition(database)
    await _insert(database, 0, 3)
    await _insert(database, 3, 0)
    await _insert(database, 3, 2)
    (batch,), _ = await partitions.turn((), [0])
    async with database.read() as connection:
        (messages,) = await load_batches(connection, [batch])
    assert [message.data for message in messages] == [event("o", n).data for n in range(5)]
    assert list(batch.positions) == sorted(batch.positions)


async def test_a_stamped_batch_keeps_its_composition_and_bars_the_next_one(
    database: Database,
) -> None:
    partitions = await _one_partition(database)
    await _insert(database, 0, 3)
    (batch,), _ = await partitions.turn((), [0])
    await _insert(database, 3, 3)
    assert await partitions.turn((), [0]) == ([], True)
    (lease,), _ = await partitions.refresh(())
    assert lease.batch == batch
    (following,), _ = await partitions.turn([Published(batch, 7)], [0])
    assert (following.expected, len(following.positions)) == (7, 3)


async def test_a_batch_is_bounded_by_its_number_of_events(database: Database) -> None:
    partitions = await _one_partition(database)
    await _insert(database, 0, RELAY_BATCH_MAX + 1)
    (batch,), _ = await partitions.turn((), [0])
    assert len(batch.positions) == RELAY_BATCH_MAX


async def test_a_mark_without_its_lease_does_nothing(database: Database) -> None:
    partitions = await _one_partition(database)
    await _insert(database, 0, 1)
    (batch,), _ = await partitions.turn((), [0])
    follower = Partitions(database, ShiftedClock(60), IDS, partitions=1)
    ((lease,), _) = await follower.refresh(())
    assert lease.batch
    assert (lease.batch.id, lease.batch.epoch) == (batch.id, batch.epoch + 1)
    assert await partitions.turn([Published(batch, 7)], ()) == ([], False)
    assert not await partitions.expect(batch, 7)
    assert await follower.is_pending([0])
    assert await follower.turn([Published(lease.batch, 7)], ()) == ([], True)
    assert not await follower.is_pending([0])


async def test_the_backlog_is_counted_with_its_first_event(database: Database) -> None:
    async with database.read() as connection:
        assert await backlog(connection) == Backlog(0, None)
    oldest = event("o", 0)
    async with database.write() as connection:
        await insert_events(connection, [oldest, event("o", 1)], 1)
    async with database.read() as connection:
        assert await backlog(connection) == Backlog(2, oldest.at_us)


async def test_only_published_rows_of_old_age_are_pruned(database: Database) -> None:
    partitions = await _one_partition(database)
    await _insert(database, 0, 3)
    (batch,), _ = await partitions.turn((), [0])
    await partitions.turn([Published(batch, 7)], ())
    await _insert(database, 3, 2)
    assert not await partitions.prune([0])
    assert await _rows(database) == 5
    later = Partitions(database, ShiftedClock(OUTBOX_KEPT_S + 60), IDS, partitions=1)
    assert not await later.prune([0])
    assert await _rows(database) == 2
    async with database.read() as connection:
        assert (await backlog(connection)).count == 2


async def test_positions_rise_over_an_emptied_outbox(database: Database) -> None:
    partitions = await _one_partition(database)
    await _insert(database, 0, 3)
    (batch,), _ = await partitions.turn((), [0])
    await partitions.turn([Published(batch, 7)], ())
    await Partitions(database, ShiftedClock(OUTBOX_KEPT_S + 60), IDS, partitions=1).prune([0])
    assert await _rows(database) == 0
    await _insert(database, 3, 1)
    (following,), _ = await partitions.turn((), [0])
    assert following.positions[0] > batch.positions[-1]


async def _rows(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.exec_driver_sql("SELECT count(*) FROM outbox")).scalar_one())
