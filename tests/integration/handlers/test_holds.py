"""Holds: kept, given back, confirmed exactly or not, and raced for."""

import msgspec
import pytest

from config.errors import InvalidTransition, NotFound, Rejected, Unavailable
from handlers.commands import Delivery
from handlers.message import Outcome
from handlers.sourcing import NoStock
from routing.sourcing.problem import RoutePlan
from store.records import Hold
from tests.integration.handlers.asking import by_hand, end_hold, hold, lines, order, pickup
from tests.integration.handlers.world import NETWORK, World, refused


async def held(world: World, units: int) -> Hold:
    outcome = await world.staff(hold(LAMP=units))
    assert outcome.answer
    return msgspec.json.decode(outcome.answer, type=Hold)


async def test_a_hold_keeps_stock_until_it_is_released(world: World) -> None:
    await world.stock(LAMP_leeds=3)
    kept = await held(world, 2)
    level = await world.level("LAMP")
    assert (level.held, level.available) == (2, 1)
    assert (await world.staff(end_hold(kept.id))).name == "applied"
    assert (await world.staff(end_hold(kept.id))).name == "ignored"
    assert await world.free("LAMP") == 3


async def test_a_hold_without_enough_stock_is_refused_and_may_be_asked_again(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    with pytest.raises(NoStock):
        await world.one(by_hand(hold(LAMP=2), key="same"))
    await world.stock(LAMP_leeds=2)
    assert (await world.one(by_hand(hold(LAMP=2), key="same"))).name == "applied"
    assert (await world.one(by_hand(hold(LAMP=2), key="same"))).name == "duplicate"
    assert await world.free("LAMP") == 0


async def test_a_hold_in_no_market_is_refused(world: World) -> None:
    with pytest.raises(Rejected):
        await world.staff(hold("nowhere", LAMP=1))
    with pytest.raises(NotFound):
        await world.staff(end_hold("nothing"))


async def test_two_holds_race_for_the_last_unit(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    first, second = await world.ask(*(by_hand(hold(LAMP=1)) for _ in range(2)))
    assert isinstance(first, Outcome)
    assert isinstance(refused(second), NoStock)


async def test_a_hold_expires_when_its_time_is_over_and_not_before(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    kept = await held(world, 1)
    assert (await world.staff(end_hold(kept.id, expired=True))).name == "ignored"
    world.clock.advance(61)
    await world.sweep()
    assert await world.free("LAMP") == 1
    found = await world.reader.hold(kept.id)
    assert found
    assert found.state == "expired"


async def test_an_order_confirms_its_hold_with_the_same_units(world: World) -> None:
    await world.stock(LAMP_leeds=1, LAMP_york=1)
    kept = await held(world, 2)
    await world.send(order(asked=lines(LAMP=2), hold_id=kept.id))
    placed = await world.order()
    assert placed.state == "routed"
    assert str(placed.reservation) == kept.id
    assert {group.location for group in await world.groups()} == {"leeds", "york"}
    level = await world.level("LAMP")
    assert (level.held, level.allocated) == (0, 1)
    with pytest.raises(InvalidTransition):
        await world.staff(end_hold(kept.id))


async def test_a_hold_that_does_not_match_is_given_back_and_the_order_decided(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=3)
    kept = await held(world, 2)
    outcome = await world.send(order(asked=lines(LAMP=3), hold_id=kept.id))
    assert outcome.name == "accepted"
    await world.sweep()
    assert (await world.order()).state == "routed"
    assert (await world.level("LAMP")).allocated == 3


async def test_a_hold_at_another_store_does_not_match(world: World) -> None:
    await world.stock(LAMP_leeds=1, LAMP_york=1)
    outcome = await world.staff(hold("york", LAMP=1))
    kept = msgspec.json.decode(outcome.answer or b"", type=Hold)
    await world.send(order(delivery=pickup(), hold_id=kept.id))
    await world.sweep()
    assert (await world.group()).location == "leeds"
    assert await world.free("LAMP", "york") == 1


async def test_an_expired_hold_revives_only_by_a_fresh_look(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    kept = await held(world, 1)
    world.clock.advance(61)
    await world.sweep()
    await world.send(order("1"))
    await world.send(order("2", hold_id=kept.id))
    assert [(await world.order(ref)).state for ref in "12"] == ["routed", "held"]


async def test_one_hold_serves_one_order(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    kept = await held(world, 1)
    await world.send(order("1", hold_id=kept.id))
    await world.send(order("2", hold_id=kept.id))
    assert [(await world.order(ref)).state for ref in "12"] == ["routed", "held"]


async def test_without_a_gate_a_hold_is_not_possible_now(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    epoch = world.gate.epoch(hold(LAMP=1).market)
    world.gate.close(hold(LAMP=1).market)
    with pytest.raises(Unavailable):
        await world.staff(hold(LAMP=1))
    world.gate.learn(hold(LAMP=1).market, epoch)


@pytest.mark.parametrize("where", ["hub", "boston", "nowhere"])
async def test_a_hold_where_nobody_of_its_market_collects_is_refused(
    world: World, where: str
) -> None:
    await world.stock(LAMP_hub=1)
    with pytest.raises(Rejected, match=where):
        await world.staff(hold(where, LAMP=1))


async def test_an_order_takes_over_why_its_hold_keeps_stock_where_it_does(world: World) -> None:
    await world.stock(LAMP_leeds=1, LAMP_york=2)
    kept = await held(world, 2)
    await world.send(order(asked=lines(LAMP=2), hold_id=kept.id))
    _, _, stored = await world.reader.order_parts((await world.order()).id) or (b"", b"", b"")
    plan = msgspec.json.decode(stored or b"", type=RoutePlan)
    assert kept.plan
    assert (plan.terms, plan.inputs) == (kept.plan.terms, kept.plan.inputs)
    assert [(x.line_id, x.location, x.quantity) for x in plan.assignments] == [("lamp", "york", 2)]
    assert plan.reasons[-1] == f"decided when hold {kept.id} was placed"


async def test_a_pickup_without_a_place_does_not_become_one_at_a_warehouse(world: World) -> None:
    await world.stock(LAMP_hub=1)
    kept = await held(world, 1)
    await world.send(order(delivery=Delivery(method="pickup"), hold_id=kept.id))
    assert (await world.order()).state == "held"
    assert await world.groups() == []
    found = await world.reader.hold(kept.id)
    assert found
    assert found.state == "held"


async def test_a_parcel_is_not_taken_from_a_hold_where_nothing_is_shipped(world: World) -> None:
    leeds, *others = NETWORK.locations
    closed = msgspec.structs.replace(leeds, ship=False)
    network = msgspec.structs.replace(NETWORK, locations=(closed, *others))
    world.batch = world.another_batch(network=network)
    await world.stock(LAMP_leeds=1, LAMP_york=1)
    outcome = await world.staff(hold("leeds", LAMP=1))
    kept = msgspec.json.decode(outcome.answer or b"", type=Hold)
    await world.send(order(hold_id=kept.id))
    await world.sweep()
    assert (await world.group()).location == "york"
    assert await world.free("LAMP") == 1
