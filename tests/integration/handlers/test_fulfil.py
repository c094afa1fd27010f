"""Fulfilment: what staff do, what carriers tell, and what is not there."""

import pytest

from config.errors import InvalidTransition, NotFound, Rejected, StaleVersion
from handlers.commands import LineAsked
from handlers.message import Outcome
from store.records import Fulfilment
from tests.integration.handlers.asking import (
    act,
    by_hand,
    cancel,
    catalog,
    lines,
    message,
    order,
    pickup,
    report,
)
from tests.integration.handlers.world import World

SHIP = ("acknowledge", "start", "pick", "pack", "hand-off", "deliver")
PICKUP = ("acknowledge", "start", "pick", "stage", "ready", "collect")


async def test_a_shipped_group_goes_all_its_way(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=2)))
    await world.work(*SHIP)
    placed = await world.order()
    (line,) = placed.lines
    assert (placed.state, line.delivered, line.picked, line.allocated) == ("fulfilled", 2, 2, 0)
    assert ((await world.level("LAMP")).on_hand, await world.free("LAMP")) == (3, 3)
    assert await world.events("fulfilment") == [
        "fulfilment.assigned",
        "fulfilment.acknowledged",
        "fulfilment.picking",
        "fulfilment.picked",
        "fulfilment.packed",
        "fulfilment.handed_off",
        "fulfilment.delivered",
    ]


async def test_a_pickup_goes_all_its_way(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(delivery=pickup()))
    await world.work(*PICKUP)
    assert (await world.order()).state == "fulfilled"
    assert (await world.group()).state == "collected"
    assert (await world.level("LAMP")).on_hand == 4


async def test_an_action_that_is_not_possible_is_refused_and_changes_nothing(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    before = await world.events()
    with pytest.raises(InvalidTransition) as caught:
        await world.work("collect")
    assert caught.value.facts["possible"] == ["acknowledge", "reject"]
    assert await world.events() == before


async def test_an_action_on_an_old_version_shows_the_present_row(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    group = await world.group()
    first, second = await world.ask(
        *(by_hand(act(group.id, "acknowledge", group.version)) for _ in range(2))
    )
    assert isinstance(first, Outcome)
    assert isinstance(second, StaleVersion)
    assert second.facts["row"]["state"] == "acknowledged"


async def test_an_action_on_nothing_is_refused(world: World) -> None:
    with pytest.raises(NotFound):
        await world.staff(act("nothing", "acknowledge", 1))


async def test_a_short_pick_takes_the_units_out_of_stock_and_line(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=3)))
    await world.work("acknowledge", "pick")
    group = await world.group()
    await world.staff(act(group.id, "short", group.version, LAMP=1))
    (line,) = (await world.order()).lines
    assert (line.short, line.allocated, line.picked, line.unassigned) == (1, 2, 2, 0)
    level = await world.level("LAMP")
    assert (level.on_hand, level.available) == (4, 2)
    (part,) = (await world.group()).lines
    assert (part.quantity, part.short) == (2, 1)
    assert len((await world.open_exceptions())["SHORT_PICK"]) == 1


async def test_a_second_short_pick_adds_no_second_work_item(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=3)))
    await world.work("acknowledge")
    for _ in range(2):
        group = await world.group()
        await world.staff(act(group.id, "short", group.version, LAMP=1))
    assert len((await world.open_exceptions())["SHORT_PICK"]) == 1


async def test_a_short_pick_of_everything_holds_the_order_until_it_is_cancelled(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=1)))
    await world.work("acknowledge")
    group = await world.group()
    await world.staff(act(group.id, "short", group.version, LAMP=1))
    assert ((await world.group()).state, (await world.order()).state) == ("rejected", "held")
    await world.send(cancel(LAMP=1))
    assert (await world.order()).state == "cancelled"
    assert not await world.open_exceptions()


@pytest.mark.parametrize("short", [{}, {"RUG": 1}, {"LAMP": 4}])
async def test_a_short_pick_of_what_the_group_has_not_is_refused(
    sqlite_world: World, short: dict[str, int]
) -> None:
    await sqlite_world.stock(LAMP_leeds=5)
    await sqlite_world.send(order(asked=lines(LAMP=3)))
    await sqlite_world.work("acknowledge")
    group = await sqlite_world.group()
    with pytest.raises(Rejected):
        await sqlite_world.staff(act(group.id, "short", group.version, **short))


async def test_the_rest_of_a_short_group_is_sent_and_the_order_stays_open(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=3)))
    await world.work("acknowledge", "pick")
    group = await world.group()
    await world.staff(act(group.id, "short", group.version, LAMP=1))
    await world.work("pack", "hand-off")
    assert (await world.order()).state == "partly_fulfilled"
    await world.send(cancel(LAMP=1))
    assert (await world.order()).state == "fulfilled"
    assert not await world.open_exceptions()


async def test_a_rejected_group_is_routed_elsewhere(world: World) -> None:
    await world.stock(LAMP_leeds=5, LAMP_york=5)
    await world.send(order())
    first = await world.group()
    await world.work("reject")
    rejected, again = await world.groups()
    assert (rejected.state, again.state) == ("rejected", "assigned")
    assert again.location != first.location
    assert (await world.order()).state == "routed"
    assert await world.free("LAMP", first.location) == 5


async def test_a_rejected_pickup_has_nowhere_to_go_and_is_held(world: World) -> None:
    await world.stock(LAMP_leeds=5, LAMP_york=5)
    await world.send(order(delivery=pickup()))
    await world.work("acknowledge", "reject")
    assert (await world.order()).state == "held"
    assert "UNFILLABLE" in await world.open_exceptions()


async def test_no_later_decision_goes_back_to_a_place_that_said_no(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    await world.work("reject")
    await world.decide((await world.order()).id)
    await world.send(order(asked=lines(LAMP=2), version=2))
    assert [group.state for group in await world.groups()] == ["rejected"]
    assert (await world.order()).state == "held"


async def test_a_carrier_tells_of_its_way(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=2)))
    for state, expected in (
        ("open", "assigned"),
        ("handed_off", "handed_off"),
        ("in_transit", "in_transit"),
        ("delivered", "delivered"),
    ):
        await world.send(report(state))
        assert (await world.group()).state == expected
    assert (await world.group()).tracking == "T1"
    assert (await world.send(report("in_transit"))).name == "ignored"
    assert (await world.order()).lines[0].delivered == 2


@pytest.mark.parametrize("together", [True, False])
async def test_the_first_report_may_be_the_last_station(world: World, *, together: bool) -> None:
    await world.stock(LAMP_leeds=5)
    sent = [message(report("delivered")), message(order())]
    for batch in [sent] if together else [[one] for one in sent]:
        await world.ask(*batch)
    assert (await world.order()).state == "fulfilled"
    assert (await world.group()).state == "delivered"
    assert (await world.level("LAMP")).on_hand == 4
    assert not await world.reader.overdue(2**62, 9)


async def test_goods_that_left_while_their_order_was_held_are_not_sent_again(world: World) -> None:
    held = (LineAsked(line_ref="a", item="v1", quantity=2), *lines(RUG=1))
    await world.stock(RUG_york=5)
    await world.send(order(asked=held))
    await world.send(report("handed_off", place="place-leeds"))
    assert (await world.order()).state == "held"
    await world.stock(LAMP_leeds=5, LAMP_york=5)
    await world.staff(catalog("LAMP", "v1"))
    await world.sweep()
    assert (await world.order()).state == "fulfilled"
    group = await world.group()
    assert (group.location, group.tracking, _units(group)) == ("leeds", "T1", {"a": 2, "rug": 1})
    assert (await world.level("LAMP")).on_hand == 3
    await world.send(report("delivered", place="place-leeds"))
    assert (await world.group()).state == "delivered"


async def test_goods_that_left_while_there_was_no_stock_are_not_sent_again(world: World) -> None:
    await world.stock(LAMP_leeds=0)
    await world.send(order(asked=lines(LAMP=2)))
    for _ in range(2):
        await world.send(report("handed_off", place="place-leeds", LAMP=1))
    assert (await world.order()).lines[0].handed_off == 1
    assert set(await world.open_exceptions()) == {"UNFILLABLE", "NEGATIVE_ON_HAND"}
    await world.send(report("handed_off", fulfilment_ref="f2", place="place-leeds", LAMP=1))
    assert (await world.order()).state == "fulfilled"
    assert set(await world.open_exceptions()) == {"NEGATIVE_ON_HAND"}


async def test_a_report_that_names_no_place_waits_until_the_goods_have_one(world: World) -> None:
    await world.stock(LAMP_leeds=0)
    await world.send(order())
    assert (await world.send(report("handed_off"))).name == "parked"
    await world.stock(LAMP_leeds=5)
    await world.decide((await world.order()).id)
    assert (await world.order()).state == "fulfilled"
    assert (await world.level("LAMP")).on_hand == 4


async def test_a_report_told_twice_takes_no_other_groups_goods(world: World) -> None:
    await world.stock(LAMP_leeds=1, LAMP_york=1)
    await world.send(order(asked=lines(LAMP=2)))
    for _ in range(2):
        await world.send(report("handed_off", LAMP=1))
    assert sorted(group.state for group in await world.groups()) == ["assigned", "handed_off"]
    await world.send(report("handed_off", fulfilment_ref="f2", LAMP=1))
    assert (await world.order()).state == "fulfilled"


async def test_a_report_that_grows_takes_only_what_is_new(world: World) -> None:
    await world.stock(LAMP_leeds=5, RUG_leeds=5, MUG_leeds=5)
    await world.send(order(asked=lines(LAMP=1, RUG=1, MUG=1)))
    await world.send(report("handed_off", LAMP=1))
    await world.send(report("handed_off", LAMP=1, RUG=1))
    groups = [(group.state, _units(group)) for group in await world.groups()]
    assert ("assigned", {"mug": 1}) in groups
    assert sum(state == "handed_off" for state, _ in groups) == 2
    await world.send(report("handed_off", LAMP=1, RUG=1, MUG=1))
    assert (await world.order()).state == "fulfilled"


async def test_our_own_hand_off_that_a_channel_tells_back_moves_nothing_more(world: World) -> None:
    await world.stock(LAMP_leeds=1, LAMP_york=1)
    await world.send(order(asked=lines(LAMP=2)))
    first, _ = await world.groups()
    for action in ("acknowledge", "pick", "pack", "hand-off"):
        (group,) = [one for one in await world.groups() if one.id == first.id]
        await world.staff(act(group.id, action, group.version))
    await world.send(report("handed_off", LAMP=1))
    assert sorted(group.state for group in await world.groups()) == ["assigned", "handed_off"]
    assert (await world.order()).state == "partly_fulfilled"


async def test_a_report_of_some_units_splits_the_group(world: World) -> None:
    await world.stock(LAMP_leeds=5, RUG_leeds=5)
    await world.send(order(asked=lines(LAMP=3, RUG=1)))
    for state in ("handed_off", "handed_off", "delivered"):
        await world.send(report(state, LAMP=2))
    rest, sent = await world.groups()
    assert (_units(rest), rest.state) == ({"lamp": 1, "rug": 1}, "assigned")
    assert (_units(sent), sent.state) == ({"lamp": 2}, "delivered")
    assert (await world.order()).state == "partly_fulfilled"
    await world.send(report("handed_off", fulfilment_ref="f2", LAMP=1, RUG=1))
    assert (await world.order()).state == "fulfilled"


async def test_a_channels_fulfilment_of_a_pickup_is_its_collection(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(delivery=pickup()))
    await world.send(report("handed_off"))
    assert (await world.group()).state == "collected"


def _units(group: Fulfilment) -> dict[str, int]:
    return {line.line_id: line.quantity for line in group.lines}
