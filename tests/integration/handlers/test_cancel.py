"""Cancels: of all and of some, before the order, after the hand-off, beside everything else."""

import msgspec

from store.records import Order
from tests.integration.handlers.asking import (
    cancel,
    lines,
    message,
    order,
    refund,
    refunded,
    report,
)
from tests.integration.handlers.world import World


async def test_a_cancel_gives_everything_back(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=2)))
    outcome = await world.send(cancel())
    assert outcome.name == "applied"
    assert (await world.order()).state == "cancelled"
    assert (await world.group()).state == "cancelled"
    assert await world.free("LAMP") == 5
    assert (await world.events())[-1] == "order.cancelled"


async def test_a_second_cancel_changes_nothing(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    await world.send(cancel())
    before = await world.events()
    assert (await world.send(cancel())).name == "ignored"
    assert await world.events() == before


async def test_some_units_are_cancelled(world: World) -> None:
    await world.stock(LAMP_leeds=5, RUG_leeds=5)
    await world.send(order(asked=lines(LAMP=3, RUG=1)))
    await world.send(cancel(LAMP=2))
    assert (await world.free("LAMP"), await world.free("RUG")) == (4, 4)
    assert (await world.order()).state == "routed"
    assert (await world.events())[-1] == "order.amended"


async def test_a_version_older_than_a_cancel_brings_nothing_back(world: World) -> None:
    await world.stock(LAMP_leeds=9, RUG_leeds=9)
    await world.send(order(asked=lines(LAMP=3)))
    await world.send(cancel(version=5, LAMP=1, RUG=1))
    for _ in range(2):
        await world.send(order(asked=lines(LAMP=4, RUG=2), version=4))
    assert _left(await world.order()) == {"lamp": 3, "rug": 1}
    await world.send(order(asked=lines(LAMP=4, RUG=2), version=6))
    placed = await world.order()
    assert (_left(placed), placed.cuts) == ({"lamp": 4, "rug": 2}, ())


async def test_a_cut_that_a_version_knows_of_is_not_made_again_for_a_newer_one(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=9)
    await world.send(order(asked=lines(LAMP=3)))
    first = refund(version=10, asked=(refunded("LAMP", 1),))
    second = msgspec.structs.replace(first, refund_ref="r2", version=20)
    await world.send(first)
    await world.send(order(asked=lines(LAMP=2), version=11))
    await world.send(second)
    await world.send(order(asked=lines(LAMP=2), version=15, number="tagged"))
    assert _left(await world.order()) == {"lamp": 1}
    await world.send(order(asked=lines(LAMP=1), version=21))
    (line,) = (await world.order()).lines
    assert (line.ordered, line.cancelled, line.allocated) == (3, 2, 1)


def _left(placed: Order) -> dict[str, int]:
    return {line.id: line.ordered - line.cancelled for line in placed.lines}


async def test_cancelling_the_last_units_one_by_one_cancels_the_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=2)))
    await world.send(cancel(LAMP=1))
    await world.send(cancel(LAMP=1))
    assert (await world.order()).state == "cancelled"
    assert await world.free("LAMP") == 5


async def test_a_cancel_before_the_order_leaves_a_tombstone(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    assert (await world.send(cancel())).name == "parked"
    await world.send(order())
    assert (await world.order()).state == "cancelled"
    assert await world.free("LAMP") == 5
    assert await world.events("fulfilment") == []


async def test_some_units_cancelled_before_the_order_are_taken_from_it(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(cancel(LAMP=1))
    await world.send(order(asked=lines(LAMP=3)))
    assert await world.free("LAMP") == 3


async def test_an_overdue_tombstone_is_shown_until_its_order_comes(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(cancel())
    world.clock.advance(90_000)
    await world.sweep()
    await world.sweep()
    assert list(await world.open_exceptions()) == ["OUT_OF_ORDER"]
    await world.send(order())
    assert (await world.order()).state == "cancelled"
    assert not await world.open_exceptions()


async def test_an_order_without_lines_can_be_cancelled(world: World) -> None:
    await world.send(order(asked=()))
    await world.send(cancel())
    assert (await world.order()).state == "cancelled"


async def test_a_cancel_in_the_batch_of_its_order_cancels_it(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.ask(message(order()), message(cancel()))
    assert (await world.order()).state == "cancelled"
    assert await world.free("LAMP") == 5


async def test_an_order_that_comes_cancelled_takes_no_stock(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(cancelled=True))
    assert (await world.order()).state == "cancelled"


async def test_a_cancel_of_a_held_order_ends_its_work_item(world: World) -> None:
    await world.stock(LAMP_leeds=0)
    await world.send(order())
    assert "UNFILLABLE" in await world.open_exceptions()
    await world.send(cancel())
    assert (await world.order()).state == "cancelled"
    assert not await world.open_exceptions()


async def test_a_partial_cancel_can_free_a_held_order(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    await world.send(order(asked=lines(LAMP=2)))
    await world.send(cancel(LAMP=1))
    assert (await world.order()).state == "routed"
    assert not await world.open_exceptions()


async def test_a_cancel_after_the_hand_off_is_a_race_for_a_person(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=2)))
    await world.work("acknowledge", "pick", "pack", "hand-off")
    await world.send(cancel())
    await world.send(cancel())
    assert (await world.order()).state == "fulfilled"
    (race,) = (await world.open_exceptions())["CANCEL_RACE"]
    assert race.what["lines"] == ["lamp: 2"]


async def test_what_is_still_with_us_is_cancelled_and_the_rest_is_a_race(world: World) -> None:
    await world.stock(LAMP_leeds=1, RUG_york=1)
    await world.send(order(asked=lines(LAMP=1, RUG=1)))
    await world.send(report("handed_off", LAMP=1))
    assert (await world.order()).state == "partly_fulfilled"
    await world.send(cancel())
    assert (await world.order()).state == "fulfilled"
    (race,) = (await world.open_exceptions())["CANCEL_RACE"]
    assert race.what["lines"] == ["lamp: 1"]
    assert await world.free("RUG", "york") == 1


async def test_a_snapshot_that_was_made_after_a_cancel_has_it_already(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=3)))
    await world.send(order(asked=lines(LAMP=2), version=5))
    outcome = await world.send(cancel(version=4, LAMP=1))
    assert outcome.name == "ignored"
    assert await world.free("LAMP") == 3


async def test_a_newer_version_does_not_revive_a_cancelled_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    await world.send(cancel())
    assert (await world.send(order(version=2))).name == "ignored"
    assert await world.free("LAMP") == 5


async def test_the_least_work_is_undone(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=1)))
    await world.work("acknowledge", "pick")
    await world.send(order(asked=lines(LAMP=2), version=2))
    await world.send(cancel(LAMP=1))
    assert [group.state for group in await world.groups()] == ["picked", "cancelled"]
