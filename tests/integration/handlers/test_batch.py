"""The batch: one culprit, lost answers, lost races, a gate that is wrong, engines that are away."""

import msgspec
import pytest

from config.errors import Conflict, EngineDown, OutcomeUnknown, Unavailable
from config.ids import MarketId
from gateway.engines.redis import RedisServer
from handlers.directory import Directory
from handlers.message import Outcome
from routing.network import Network
from store.engine import Database
from tests.integration.handlers.asking import (
    PAY,
    by_hand,
    hold,
    lines,
    message,
    order,
    payment,
    stock,
)
from tests.integration.handlers.broken import (
    FailingStore,
    LateGate,
    LosingGate,
    LosingStore,
    PoisonStore,
    ReapedStore,
)
from tests.integration.handlers.world import (
    MARKETS,
    NETWORK,
    SOURCES,
    UK,
    US,
    World,
    cell,
    opened,
    place,
    refused,
)
from tests.integration.store.gate_world import PAST_GRACE_S, eventually


async def test_a_defect_quarantines_its_message_and_nothing_else(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    world.batch = world.another_batch(PoisonStore(world.store, "bad"))
    batch = [message(order(str(n)), key="bad" if n == 3 else "") for n in range(7)]
    settled = await world.ask(*batch)
    names = [outcome.name for outcome in settled if isinstance(outcome, Outcome)]
    assert names == ["applied"] * 3 + ["quarantined"] + ["applied"] * 3
    assert "LookupError" in next(row.reason for row in await world.inbox() if row.key == "bad")
    assert await world.free("LAMP") == 3
    assert await world.events("message") == ["message.quarantined"]


async def test_a_defect_of_a_persons_request_is_theirs_alone(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    world.batch = world.another_batch(PoisonStore(world.store, "bad"))
    good, bad = await world.ask(message(order()), by_hand(hold(LAMP=1), key="bad"))
    assert isinstance(good, Outcome)
    assert isinstance(bad, LookupError)
    assert await world.free("LAMP") == 8


async def test_a_refusal_within_a_batch_does_not_hurt_its_neighbours(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    settled = await world.ask(
        message(order("1")), message(order("2", source="stranger")), message(order("3"))
    )
    names = [outcome.name for outcome in settled if isinstance(outcome, Outcome)]
    assert names == ["applied", "quarantined", "applied"]


async def test_nothing_of_a_refused_message_is_applied(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    outcome = await world.send(order("1"), order("2", source="stranger"))
    assert outcome.name == "quarantined"
    assert await world.orders() == []


async def test_a_gate_that_is_too_generous_is_put_right_and_nothing_oversold(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=2)
    await world.tamper(cell("LAMP"), 50)
    await world.ask(*(message(order(str(n))) for n in range(5)))
    states = [placed.state for placed in await world.orders()]
    assert states == ["routed", "routed", "held", "held", "held"]
    assert world.tally.cells == 1


async def test_a_gate_that_shows_what_others_take_is_asked_again(world: World) -> None:
    await world.stock(LAMP_leeds=0, LAMP_york=1)
    world.batch = world.another_batch(gate=LateGate(world.gate, {cell("LAMP"): 5}))
    await world.send(order())
    assert (await world.group()).location == "york"


async def test_more_hard_routes_than_a_batch_has_time_for_are_decided_by_the_next_ones(
    sqlite_world: World,
) -> None:
    world, orders = sqlite_world, range(13)
    more = tuple(place(f"p{n:02}", "store", 52 + n / 10) for n in range(14))
    network = msgspec.structs.replace(NETWORK, locations=(*NETWORK.locations, *more))
    world.batch = world.another_batch(network=network)
    await world.staff(stock(**{f"S{n}_{one.id}": 2 for n in orders for one in more}))
    settled = await world.ask(*(message(order(str(n), lines(**{f"S{n}": 9}))) for n in orders))
    names = [outcome.name for outcome in settled if isinstance(outcome, Outcome)]
    assert (names.count("applied"), names[-3:]) == (len(orders) - 4, ["accepted"] * 3)
    await world.sweep()
    assert {placed.state for placed in await world.orders()} == {"routed"}


async def test_a_commit_whose_answer_was_lost_is_found_and_told(world: World) -> None:
    await world.stock(LAMP_leeds=3)
    world.batch = world.another_batch(LosingStore(world.store, kept=True))
    again = message(order("1"), key="same")
    settled = await world.ask(again, message(order("2")), message(order("1"), key="same"))
    names = [outcome.name for outcome in settled if isinstance(outcome, Outcome)]
    assert names == ["applied", "applied", "duplicate"]
    assert await world.free("LAMP") == 1
    assert len(await world.orders()) == 2


async def test_a_commit_that_was_lost_with_its_answer_is_done_again(world: World) -> None:
    await world.stock(LAMP_leeds=2)
    world.batch = world.another_batch(LosingStore(world.store, kept=False, times=1))
    settled = await world.ask(message(order("1")), message(order("2")))
    assert [outcome.name for outcome in settled if isinstance(outcome, Outcome)] == ["applied"] * 2
    assert [placed.state for placed in await world.orders()] == ["routed", "routed"]
    assert len(await world.movements("voided")) == 2


async def test_a_lost_answer_to_an_action_of_our_own_is_settled_too(world: World) -> None:
    await world.stock(LAMP_leeds=2)
    epoch = world.gate.epoch(UK)
    world.gate.close(UK)
    await world.send(order())
    world.gate.learn(UK, epoch)
    world.batch = world.another_batch(LosingStore(world.store, kept=True))
    assert (await world.decide((await world.order()).id)).name == "applied"
    assert (await world.order()).state == "routed"
    assert await world.free("LAMP") == 1


async def test_an_action_of_our_own_that_the_reaper_voided_is_not_told_as_done(
    world: World,
) -> None:
    async def reap() -> None:
        world.clock.advance(PAST_GRACE_S)
        await world.keeper.tend(UK)

    await world.stock(LAMP_leeds=2)
    epoch = world.gate.epoch(UK)
    world.gate.close(UK)
    await world.send(order())
    world.gate.learn(UK, epoch)
    world.batch = world.another_batch(ReapedStore(world.store, reap))
    assert (await world.decide((await world.order()).id)).name == "applied"
    assert (await world.order()).state == "routed"
    assert len(await world.movements("voided")) == 1


async def test_a_lost_race_is_run_again(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    world.batch = world.another_batch(FailingStore(world.store, Conflict, 3))
    assert (await world.send(order())).name == "applied"
    assert (await world.order()).state == "routed"


async def test_who_always_loses_is_asked_to_come_again(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    world.batch = world.another_batch(FailingStore(world.store, Conflict, 10**6))
    (settled,) = await world.batch.run([message(order())])
    assert isinstance(refused(settled), Unavailable)
    assert await world.free("LAMP") == 1


async def test_without_the_database_nothing_is_half_done(world: World) -> None:
    await world.stock(LAMP_leeds=2)
    broken = world.another_batch(FailingStore(world.store, EngineDown, 1))
    messages = [message(order("1"), key="a"), by_hand(hold(LAMP=1), key="b")]
    settled = await broken.run(messages)
    assert [type(refused(one)) for one in settled] == [EngineDown, EngineDown]
    assert await world.orders() == []
    settled = await world.ask(*messages)
    assert [one.name for one in settled if isinstance(one, Outcome)] == ["applied", "applied"]


async def test_a_lost_answer_of_the_gate_is_asked_for_again(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    world.batch = world.another_batch(gate=LosingGate(world.gate, 2))
    await world.send(order())
    assert (await world.order()).state == "routed"


async def test_a_gate_that_never_answers_leaves_the_order_for_later(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    world.batch = world.another_batch(gate=LosingGate(world.gate, 3))
    assert (await world.send(order())).name == "accepted"
    assert (await world.order()).state == "captured"
    world.clock.advance(PAST_GRACE_S)
    await world.keeper.tend(UK)
    world.batch = world.another_batch()
    await world.sweep()
    assert (await world.order()).state == "routed"


async def test_an_order_of_a_market_that_left_the_network_waits_for_its_return(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=1)
    epoch = world.gate.epoch(UK)
    world.gate.close(UK)
    assert (await world.send(order())).name == "accepted"
    world.batch = world.another_batch(directory=_without(UK))
    order_id = (await world.order()).id
    assert (await world.decide(order_id)).name == "applied"
    assert await world.reader.undecided([US], 9) == []
    assert await world.reader.undecided([UK], 9) == [order_id]
    world.batch = world.another_batch()
    world.gate.learn(UK, epoch)
    await world.sweep()
    assert (await world.order()).state == "routed"


def _without(market: MarketId) -> Directory:
    """Return the world without a market, its places and its sources."""
    network = Network(
        markets=tuple(one for one in NETWORK.markets if one.id != market),
        locations=tuple(place for place in NETWORK.locations if place.market != market),
    )
    return Directory(network, tuple(one for one in SOURCES if one.market != market))


async def test_an_order_that_a_closed_gate_left_remembers_who_said_no(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    epoch = world.gate.epoch(UK)
    world.gate.close(UK)
    await world.work("reject")
    assert (await world.reader.undecided(MARKETS, 9)) == [(await world.order()).id]
    world.gate.learn(UK, epoch)
    # The gate did not hear of what the rejection freed; its keeper brings it.
    await world.keeper.repair(UK, frozenset({cell("LAMP")}))
    await world.sweep()
    assert [group.state for group in await world.groups()] == ["rejected"]
    assert (await world.order()).state == "held"


async def test_without_redis_orders_are_accepted_and_decided_when_it_is_back(
    database: Database, own_redis: RedisServer
) -> None:
    async with opened(database, own_redis.url) as world:
        await world.stock(LAMP_leeds=3)
        own_redis.kill()
        outcome = await world.send(order("1", lines(LAMP=2)))
        assert outcome.name == "accepted"
        assert (await world.order("1")).state == "captured"
        with pytest.raises(Unavailable):
            await world.staff(hold(LAMP=1))
        assert (await world.send(payment(), source=PAY)).name == "applied"
        own_redis.start()
        await eventually(lambda: _is_open(world))
        await world.sweep()
        assert (await world.order("1")).state == "routed"
        await world.check_invariants()


async def test_an_answer_that_nobody_can_find_is_unknown(sqlite_world: World) -> None:
    world = sqlite_world
    await world.stock(LAMP_leeds=1)
    broken = world.another_batch(LosingStore(world.store, kept=False, times=10**6))
    settled = await broken.run([by_hand(hold(LAMP=1))])
    assert isinstance(refused(settled[0]), OutcomeUnknown)
    world.clock.advance(PAST_GRACE_S)
    await world.keeper.tend(UK)


async def _is_open(world: World) -> bool:
    try:
        for market in ("uk", "us"):
            await world.keeper.look(type(UK)(market))
    except Unavailable:
        return False
    return True
