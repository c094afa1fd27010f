"""The relay delivers every event once and in order, whatever stops it."""

import asyncio
from collections.abc import Callable

import msgspec
import nats
import pytest
from nats.js.errors import NotFoundError
from sqlalchemy import select

from config import limits
from config.errors import Misconfigured
from gateway.engines.nats import NatsServer
from outbox.beginning import agree
from outbox.event import STREAM, SUBJECTS, Event
from outbox.message import Batch
from outbox.nats_publisher import NatsPublisher
from outbox.partitions import Partitions
from outbox.statements import insert_events
from outbox.stream import StreamOptions
from outbox.table import relay_partition
from store.engine import Database
from tests.integration.outbox.relaying import (
    CLOCK,
    IDS,
    PARTITIONS,
    Interrupted,
    ShiftedClock,
    a_relay,
    assert_each_once_in_order,
    commit,
    drained,
    event,
    events_of,
    eventually,
    kill,
    lose_stream,
    running,
    stored,
)

MakePublisher = Callable[..., NatsPublisher]
LATER = ShiftedClock(60.0)
"""Past the end of a dead relay's leases."""


async def test_events_arrive_once_in_order_with_their_headers(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    events = events_of(10, range(60))
    relay = a_relay(database, publisher)
    async with running(relay):
        for start in range(0, len(events), 50):
            await commit(database, events[start : start + 50], relay)
        await drained(database)
    await assert_each_once_in_order(nats_url, events)
    first = next(one for one in await stored(nats_url) if one.subject.endswith(".o-0"))
    assert first.subject == "imv.v1.order.changed.o-0"
    assert (first.headers or {})["ce-type"] == "imv.order.changed.v1"
    assert first.data == b'{"id": "o-0", "version": 0}'


@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_relay_killed_around_its_publish_is_followed_without_loss_or_repeat(
    database: Database, publisher: NatsPublisher, nats_url: str, point: str
) -> None:
    events = events_of(5, range(10))
    await commit(database, events)
    interrupted = Interrupted(publisher, at=point)
    async with running(a_relay(database, interrupted)) as task:
        await interrupted.reached.wait()
        await kill(task)
    async with running(a_relay(database, publisher, LATER)):
        await drained(database)
    await assert_each_once_in_order(nats_url, events)


async def test_a_batch_whose_answer_was_lost_is_found_by_its_marker(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    events = events_of(1, range(10))
    await commit(database, events)
    interrupted = Interrupted(publisher, at="answer")
    async with running(a_relay(database, interrupted)):
        await drained(database)
    assert interrupted.reached.is_set()
    await assert_each_once_in_order(nats_url, events)


async def test_a_server_that_stands_still_during_a_publish_gets_nothing_twice(
    sqlite_database: Database, publisher_of: MakePublisher, own_nats: NatsServer
) -> None:
    events = events_of(5, range(4))
    relay = a_relay(sqlite_database, publisher_of(own_nats.url))
    async with running(relay):
        await commit(sqlite_database, events[:10], relay)
        await drained(sqlite_database)
        own_nats.pause()
        await commit(sqlite_database, events[10:], relay)
        await asyncio.sleep(7)  # longer than a publish may take, so that it ends as unknown
        own_nats.resume()
        await drained(sqlite_database)
    await assert_each_once_in_order(own_nats.url, events)


async def test_a_repeat_beyond_the_duplicate_window_is_refused(
    database: Database, publisher_of: MakePublisher, nats_url: str
) -> None:
    publisher = publisher_of(nats_url, StreamOptions(duplicate_window_s=0.1))
    events = events_of(3, range(3))
    await commit(database, events)
    late = Interrupted(publisher, at="before")
    async with running(a_relay(database, late)) as task:
        await late.reached.wait()
        async with running(a_relay(database, publisher, LATER)):
            await drained(database)
        await asyncio.sleep(0.3)  # the server forgets the ids
        late.goes_on.set()
        await eventually(lambda: _true(late.refused))
        await asyncio.sleep(0.3)
        assert not task.done()
    assert set(late.refused) == {"wrong last sequence"}
    await assert_each_once_in_order(nats_url, events)


async def test_a_relay_that_lost_its_lease_writes_nothing(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    late = Interrupted(publisher, at="after")
    await commit(database, [event("o-1", 1)])
    async with running(a_relay(database, late)):
        await late.reached.wait()
        async with running(follower := a_relay(database, publisher, LATER)):
            await drained(database)
            before = await _stamps(database)
            late.goes_on.set()
            await commit(database, [event("o-1", 2)], follower)
            await drained(database)
        after = await _stamps(database)
    assert [epoch for epoch, _ in before] == [epoch for epoch, _ in after]
    versions = [message.data for message in await stored(nats_url)]
    assert versions == [b'{"id": "o-1", "version": 1}', b'{"id": "o-1", "version": 2}']


async def _stamps(database: Database) -> list[tuple[int, str | None]]:
    async with database.read() as connection:
        columns = select(relay_partition.c.epoch, relay_partition.c.batch_id)
        rows = await connection.execute(columns.order_by(relay_partition.c.partition))
        return [(epoch, batch_id) for epoch, batch_id in rows]


async def test_events_flow_on_after_nats_was_killed(
    database: Database, publisher_of: MakePublisher, own_nats: NatsServer
) -> None:
    events = events_of(7, range(60))
    relay = a_relay(database, publisher_of(own_nats.url))
    async with running(relay):
        for start in range(0, len(events), 20):
            await commit(database, events[start : start + 20], relay)
            if start in (100, 300):
                own_nats.kill()
                own_nats.start()
        await drained(database)
    await assert_each_once_in_order(own_nats.url, events)


async def test_a_backlog_waits_for_nats_and_drains_in_order(
    database: Database, publisher_of: MakePublisher, own_nats: NatsServer
) -> None:
    own_nats.kill()
    events = events_of(20, range(100))
    await commit(database, events)
    async with running(a_relay(database, publisher_of(own_nats.url))):
        own_nats.start()
        await drained(database)
    await assert_each_once_in_order(own_nats.url, events)


async def test_a_known_id_waits_until_the_server_has_forgotten_it(
    database: Database, publisher_of: MakePublisher, nats_url: str
) -> None:
    publisher = publisher_of(nats_url, StreamOptions(duplicate_window_s=5))
    await publisher.ensure_stream()
    one = event("o-1", 1)
    client = await nats.connect(nats_url)
    await client.jetstream().publish(one.subject, b"{}", headers={"Nats-Msg-Id": one.id})
    await client.close()
    watched = Interrupted(publisher, at="nowhere")
    await commit(database, [one])
    async with running(a_relay(database, watched)):
        await drained(database)
    assert "known id" in watched.refused
    assert len(await stored(nats_url)) == 2


async def test_a_marker_of_nobody_is_followed_while_the_lease_is_ours(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    """As after a restored backup: the stream is ahead of the database."""
    await publisher.ensure_stream()
    for partition in range(PARTITIONS):
        foreign = Batch(f"foreign-{partition}", partition, 9, 0, ())
        await publisher.publish_batch(foreign, ())
    watched = Interrupted(publisher, at="nowhere")
    events = events_of(6, range(6))
    await commit(database, events)
    async with running(a_relay(database, watched)):
        await drained(database)
    assert "wrong last sequence" in watched.refused
    await assert_each_once_in_order(nats_url, events)


async def test_a_stream_that_was_lost_is_made_anew_and_gets_all_that_is_kept(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    relay = a_relay(database, publisher)
    before, after = events_of(30, range(3)), [event("o-1", 3)]
    async with running(relay):
        await commit(database, before, relay)
        await drained(database)
        await lose_stream(nats_url)
        await commit(database, after, relay)
        await _all_stored(nats_url, len(before) + len(after))
    await assert_each_once_in_order(nats_url, before + after)


async def test_a_stream_lost_while_nothing_happens_is_filled_without_a_new_event(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    relay, events = a_relay(database, publisher), events_of(30, range(3))
    async with running(relay):
        await commit(database, events, relay)
        await drained(database)
        await lose_stream(nats_url)
        await _all_stored(nats_url, len(events))
    await assert_each_once_in_order(nats_url, events)


async def test_a_broker_that_lost_everything_while_we_were_away_is_filled_at_the_start(
    sqlite_database: Database, publisher_of: MakePublisher, own_nats: NatsServer
) -> None:
    events = events_of(30, range(3))
    await commit(sqlite_database, events)
    async with running(a_relay(sqlite_database, publisher_of(own_nats.url))):
        await drained(sqlite_database)
    await lose_stream(own_nats.url)
    async with running(a_relay(sqlite_database, publisher_of(own_nats.url))):
        await _all_stored(own_nats.url, len(events))
    await assert_each_once_in_order(own_nats.url, events)


async def test_markers_that_were_too_old_to_be_kept_send_nothing_again(
    database: Database, publisher_of: MakePublisher, nats_url: str
) -> None:
    publisher = publisher_of(nats_url, StreamOptions(max_age_s=0.5, duplicate_window_s=0.1))
    relay = a_relay(database, publisher)
    async with running(relay):
        await commit(database, events_of(8, range(2)), relay)
        await drained(database)
        await eventually(lambda: _holds(nats_url, 0))
    before = await _last_sequence(nats_url)
    async with running(relay := a_relay(database, publisher)):
        await commit(database, [event("o-1", 2)], relay)
        await drained(database)
    assert await _last_sequence(nats_url) == before + 2  # the event and its marker, however old


async def _last_sequence(url: str) -> int:
    """Return the number of the newest message that the stream was ever given."""
    client = await nats.connect(url)
    try:
        return int((await client.jetstream().stream_info(STREAM)).state.last_seq)
    finally:
        await client.close()


async def _true(value: object) -> bool:
    return bool(value)


async def _all_stored(url: str, count: int) -> None:
    await eventually(lambda: _holds(url, count))


async def _holds(url: str, count: int) -> bool:
    client = await nats.connect(url)
    try:
        state = (await client.jetstream().stream_info(STREAM, subjects_filter=SUBJECTS)).state
        return sum((state.subjects or {}).values()) == count
    except NotFoundError:
        return False
    finally:
        await client.close()


async def test_relays_share_the_partitions_and_give_them_back_when_they_stop(
    database: Database,
) -> None:
    first, second = (Partitions(database, CLOCK, IDS, partitions=PARTITIONS) for _ in range(2))
    await first.prepare()
    await second.prepare()
    assert len((await first.refresh(()))[0]) == PARTITIONS
    assert (await second.refresh(()))[0] == []
    kept, settled = await first.refresh({0, 1, 2, 3})
    assert (len(kept), settled) == (PARTITIONS // 2, False)
    assert (await second.refresh(()))[0] == []
    kept, settled = await first.refresh(())
    assert (len(kept), settled) == (PARTITIONS // 2, True)
    ours = {lease.partition for lease in (await second.refresh(()))[0]}
    assert ours == set(range(PARTITIONS)) - {lease.partition for lease in kept}
    await first.release([lease.partition for lease in kept])
    assert len((await second.refresh(()))[0]) == PARTITIONS


async def test_two_relays_empty_one_outbox(
    database: Database, publisher: NatsPublisher, publisher_of: MakePublisher, nats_url: str
) -> None:
    events = events_of(16, range(40))
    one, two = a_relay(database, publisher), a_relay(database, publisher_of(nats_url))
    async with running(one), running(two):
        for start in range(0, len(events), 80):
            await commit(database, events[start : start + 80], one)
        await drained(database)
    await assert_each_once_in_order(nats_url, events)


async def test_another_number_of_partitions_is_refused(
    database: Database, publisher: NatsPublisher
) -> None:
    await Partitions(database, CLOCK, IDS, partitions=PARTITIONS).prepare()
    with pytest.raises(ExceptionGroup) as raised:
        await a_relay(database, publisher, partitions=PARTITIONS + 1).run()
    assert raised.group_contains(Misconfigured, match="set it to 4")


async def test_a_database_keeps_the_number_of_partitions_that_its_first_user_wanted(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    assert await agree(database, PARTITIONS) == PARTITIONS
    assert await agree(database, None) == PARTITIONS
    events = events_of(8, range(5))
    relay = a_relay(database, publisher, partitions=None)
    async with running(relay):
        await commit(database, events, relay)
        await drained(database)
    await assert_each_once_in_order(nats_url, events)


async def test_a_database_whose_events_no_relay_has_seen_gets_a_partition_for_each(
    database: Database,
) -> None:
    async with database.write() as connection:
        await insert_events(connection, events_of(16, range(1)), PARTITIONS)
    assert await agree(database, None) == PARTITIONS


async def test_whoever_asks_first_gets_one_number_for_all(database: Database) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(agree(database, None)) for _ in range(5)]
    assert {task.result() for task in asked} == {limits.PARTITIONS}
    with pytest.raises(Misconfigured, match=r"set it to 1, or leave it out"):
        await agree(database, 2)


async def test_a_batch_is_bounded_by_its_bytes(
    database: Database, publisher: NatsPublisher, nats_url: str
) -> None:
    partitions = Partitions(database, CLOCK, IDS, partitions=1)
    await partitions.prepare()
    await partitions.refresh(())
    big = [_big_event(version) for version in range(5)]
    async with database.write() as connection:
        await insert_events(connection, big, 1)
    batches, _ = await partitions.turn((), [0])
    assert [len(batch.positions) for batch in batches] == [3]
    async with running(a_relay(database, publisher, LATER, partitions=1)):
        await drained(database)
    await assert_each_once_in_order(nats_url, big)


def _big_event(version: int) -> Event:
    return msgspec.structs.replace(event("o-1", version), data=b'"' + b"x" * 1_500_000 + b'"')
