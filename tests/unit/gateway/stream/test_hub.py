"""The hub gives every screen its topics without a gap, and never looks alive when it is not."""

import pytest

from config.errors import Overloaded
from config.limits import BACKLOG_EVENTS_MAX
from gateway.stream.channels import CHANNELS_COLD_MAX
from gateway.stream.mailbox import FRAMES_WAITING_MAX
from gateway.stream.topics import Topic
from outbox.ports import Connected, Disconnected, StreamPosition
from tests.stream_fakes import BOARD, START, Screen, World, encoded, fulfilment, settle


async def caught_up(world: World, *screens: Screen) -> None:
    await settle()
    for screen in screens:
        await world.read(screen)


async def test_a_new_screen_gets_a_welcome_then_the_rows_then_what_comes(world: World) -> None:
    world.change("1", "assigned")
    screen = world.connect(Screen())
    await caught_up(world, screen)
    world.change("2", "assigned")
    world.change("1", "acknowledged")
    await caught_up(world, screen)
    assert screen.kinds == ["welcome", "snapshot", "event", "event"]
    assert screen.rows == world.table.open("board:S-001")


async def test_nothing_is_read_before_somebody_watches(world: World) -> None:
    world.change("1", "assigned")
    await settle()
    assert world.stream.read_after == []
    screen = world.connect(Screen())
    await caught_up(world, screen)
    assert len(world.stream.read_after) == 1
    assert screen.rows == world.table.open("board:S-001")


async def test_a_closed_fulfilment_leaves_the_board(world: World) -> None:
    world.change("1", "ready")
    screen = world.connect(Screen())
    await caught_up(world, screen)
    world.change("1", "collected")
    await caught_up(world, screen)
    assert screen.rows == {}


async def test_an_event_during_the_snapshots_query_comes_after_it(world: World) -> None:
    world.change("1", "assigned")
    await settle()
    world.table.free.clear()
    screen = world.connect(Screen())
    await settle()
    world.change("1", "acknowledged")
    world.change("2", "assigned")
    await settle()
    world.table.free.set()
    await caught_up(world, screen)
    assert screen.kinds == ["welcome", "snapshot", "event", "event"]
    assert screen.rows == world.table.open("board:S-001")


async def test_screens_that_come_together_share_one_query(world: World) -> None:
    world.table.free.clear()
    screens = [world.connect(Screen()) for _ in range(50)]
    await settle()
    world.table.free.set()
    await caught_up(world, *screens)
    assert world.table.queries == 1
    assert all("snapshot" in screen.kinds for screen in screens)


async def test_a_reconnect_resumes_whole_without_a_query(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    world.disconnect(screen)
    for number in range(10):
        world.change(str(number), "assigned")
    await settle()
    queries = world.table.queries
    world.connect(screen)
    await caught_up(world, screen)
    assert screen.kinds[2:] == ["welcome", "resumed"] + ["event"] * 10
    assert world.table.queries == queries
    assert screen.rows == world.table.open("board:S-001")


async def test_a_resume_past_the_backlog_is_a_snapshot(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    world.disconnect(screen)
    for number in range(BACKLOG_EVENTS_MAX + 1):
        world.change(str(number % 7), "assigned")
    await settle(3)
    world.connect(screen)
    await caught_up(world, screen)
    assert screen.kinds[2:] == ["welcome", "snapshot"]
    assert screen.rows == world.table.open("board:S-001")


@pytest.mark.parametrize("since", ["other:3", "nonsense", "x:-1", "x:", ":4", "{epoch}:999"])
async def test_a_cursor_that_is_not_of_this_stream_gives_a_snapshot(
    world: World, since: str
) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    world.disconnect(screen)
    screen.cursor = since.format(epoch=screen.cursor.partition(":")[0])
    world.connect(screen)
    await caught_up(world, screen)
    assert screen.kinds[2:] == ["welcome", "snapshot"]


async def test_a_snapshot_that_the_backlog_overtook_is_read_again(world: World) -> None:
    world.table.free.clear()
    screen = world.connect(Screen())
    await settle()
    for number in range(BACKLOG_EVENTS_MAX + 5):
        world.change(str(number % 9), "assigned")
    await settle()
    world.table.free.set()
    await caught_up(world, screen)
    assert world.table.queries == 2
    assert screen.rows == world.table.open("board:S-001")


async def test_a_slow_screen_gets_the_newest_state_of_each_row_in_order(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    for state in ("assigned", "acknowledged", "picking"):
        for name in ("1", "2", "3"):
            world.change(name, state)
    await caught_up(world, screen)
    assert screen.kinds.count("event") == 3
    assert screen.rows == world.table.open("board:S-001")


async def test_a_screen_that_stops_in_the_middle_resumes_without_a_gap(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    world.change("1", "assigned")
    world.change("2", "assigned")
    world.change("1", "acknowledged")
    await settle()
    await world.read(screen, most=1)
    world.disconnect(screen)
    world.connect(screen)
    await caught_up(world, screen)
    assert screen.rows == world.table.open("board:S-001")


async def test_one_who_does_not_read_is_told_bye_and_then_cut(world: World) -> None:
    screen = world.connect(Screen())
    await settle()
    assert screen.mailbox
    cuts: list[bool] = []
    screen.mailbox.cut = lambda: cuts.append(True)
    await screen.mailbox.take()  # its send does not return
    world.clock.forward(10.5)
    await settle()
    assert screen.mailbox.bye
    assert (screen.mailbox.bye.code, screen.mailbox.bye.reconnect) == (4008, True)
    assert not cuts
    world.clock.forward(2)
    await settle()
    assert cuts


async def test_a_mailbox_that_overflows_is_closed_as_slow(world: World) -> None:
    screen = world.connect(Screen())
    await settle()
    for number in range(FRAMES_WAITING_MAX + 1):
        world.change(str(number), "assigned")
    await settle()
    await world.read(screen)
    assert screen.bye
    assert screen.bye["code"] == 4008


async def test_pings_come_with_heads_and_must_be_answered(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    for _ in range(2):
        world.clock.forward(15)
        await caught_up(world, screen)
    assert screen.kinds.count("ping") == 2
    world.clock.forward(15)
    await caught_up(world, screen)
    assert screen.bye
    assert screen.bye["code"] == 4002


async def test_a_pong_keeps_the_session(world: World) -> None:
    screen = world.connect(Screen())
    for _ in range(5):
        world.clock.forward(15)
        await caught_up(world, screen)
        assert screen.mailbox
        screen.mailbox.unanswered = 0
    assert screen.bye is None


async def test_a_lost_stream_is_told_at_once_and_so_is_its_return(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    world.stream.say(Disconnected("gone"))
    await caught_up(world, screen)
    assert screen.frozen_since() == "2026-11-23T09:00:30.000000Z"
    world.stream.say(Connected(StreamPosition("1", 0)))
    await caught_up(world, screen)
    assert screen.live
    assert screen.kinds[-2:] == ["ping", "ping"]


async def test_who_comes_while_the_stream_is_down_gets_rows_marked_stale(world: World) -> None:
    world.change("1", "assigned")
    world.stream.say(Disconnected("gone"))
    await settle()
    screen = world.connect(Screen())
    await caught_up(world, screen)
    assert screen.kinds == ["welcome", "ping", "snapshot"]
    assert screen.stale_since
    assert screen.rows == world.table.open("board:S-001")


async def test_events_that_do_not_leave_make_screens_stale(world: World) -> None:
    screen = world.connect(Screen())
    world.table.pending_since = START
    await caught_up(world, screen)
    assert screen.live
    world.clock.forward(6)
    await caught_up(world, screen)
    assert screen.frozen_since() == "2026-11-23T09:00:30.000000Z"
    world.table.pending_since = None
    await caught_up(world, screen)
    assert screen.live


async def test_a_lost_database_makes_screens_stale_and_snapshots_wait(world: World) -> None:
    world.table.reachable = False
    screen = world.connect(Screen())
    await caught_up(world, screen)
    assert screen.stale_since
    assert "snapshot" not in screen.kinds
    world.table.reachable = True
    await caught_up(world, screen)
    assert screen.live
    assert "snapshot" in screen.kinds


async def test_another_stream_gives_snapshots_to_all_under_another_epoch(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    before = screen.cursor
    world.change("1", "assigned")  # published into the stream that is lost
    world.stream.restart("2")
    await caught_up(world, screen)
    assert screen.kinds[2:] == ["snapshot"]
    assert screen.cursor.partition(":")[0] != before.partition(":")[0]
    assert screen.rows == world.table.open("board:S-001")


async def test_a_stream_that_comes_back_shortened_is_another_epoch(world: World) -> None:
    for number in range(5):
        world.change(str(number), "assigned")
    screen = world.connect(Screen())
    await caught_up(world, screen)
    before = screen.cursor
    world.stream.restart("1", sequence=2)
    await caught_up(world, screen)
    assert screen.cursor.partition(":")[0] != before.partition(":")[0]


async def test_a_hub_without_a_stream_begins_stale_and_goes_live_later() -> None:
    world = World()
    assert world.hub.stale_since == START


async def test_an_event_that_is_no_row_makes_the_hub_read_the_rows_again(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    world.table.commit(fulfilment("1", "assigned"))
    world.stream.publish("imv.v1.fulfilment.assigned.S-001", b'{"no":"row"}')
    await caught_up(world, screen)
    assert screen.kinds[-1] == "snapshot"
    assert screen.rows == world.table.open("board:S-001")


async def test_events_of_other_topics_and_repeats_of_a_sequence_pass_by(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    world.change("1", "assigned", location="S-002")
    world.stream.publish("imv.v1.inventory.adjusted.TEA-1", encoded({"id": "x", "version": 1}))
    world.change("2", "assigned")
    world.stream.sequence -= 1
    world.stream.publish("imv.v1.fulfilment.changed.S-001", encoded(fulfilment("9")))
    await caught_up(world, screen)
    assert list(screen.rows) == ["2"]


async def test_an_order_can_be_watched(world: World) -> None:
    screen = world.connect(Screen(Topic("order", "o.1")))
    await caught_up(world, screen)
    world.stream.publish("imv.v1.order.closed.o%2E1", encoded({"id": "o.1", "version": 3}))
    await caught_up(world, screen)
    assert screen.rows["o.1"]["version"] == 3


async def test_a_revoked_token_loses_its_sessions_and_no_others(world: World) -> None:
    mine = world.connect(Screen(), bearer="t-1")
    other = world.connect(Screen(), bearer="t-2")
    await settle()
    assert world.hub.close_sessions("t-1") == 1
    await caught_up(world, mine, other)
    assert mine.bye
    assert (mine.bye["code"], mine.bye["reconnect"]) == (4501, False)
    assert other.bye is None


async def test_unsubscribed_topics_stay_silent(world: World) -> None:
    screen = world.connect(Screen())
    await caught_up(world, screen)
    assert screen.mailbox
    world.hub.unsubscribe(screen.mailbox, str(BOARD))
    world.change("1", "assigned")
    await caught_up(world, screen)
    assert screen.rows == {}


async def test_topics_that_nobody_watches_are_forgotten_in_the_end(world: World) -> None:
    for number in range(CHANNELS_COLD_MAX + 20):
        screen = world.connect(Screen(Topic("order", str(number))))
        await caught_up(world, screen)
        world.disconnect(screen)
    assert len(list(world.hub._channels)) == CHANNELS_COLD_MAX
    assert world.hub.sessions == 0


async def test_a_shutdown_spreads_the_returns_and_lets_nobody_in(world: World) -> None:
    screens = [world.connect(Screen()) for _ in range(20)]
    await settle()
    await world.hub.shutdown()
    await caught_up(world, *screens)
    byes = [screen.bye for screen in screens if screen.bye]
    assert {bye["code"] for bye in byes} == {1012}
    assert len({bye["retry_ms"] for bye in byes}) > 15
    with pytest.raises(Overloaded):
        world.hub.join("t")
