"""What consumers hear of stock: adjustments, overselling, and availability once a second."""

import asyncio
from typing import Any

import msgspec
import pytest

from config.clock import iso, to_us
from config.errors import Conflict
from config.ids import LocationId, MarketId, Sku
from config.limits import AVAILABILITY_SKUS_MAX
from handlers.actions import ImportStock, PublishAvailability, ShortUnits, StockRow
from handlers.announcer import Moved
from outbox.table import outbox
from store.engine import Database
from store.ports import Changes, MarketSku, Told
from tests.integration.handlers.asking import (
    PLACED,
    POS,
    act,
    by_hand,
    cancel,
    count,
    end_hold,
    hold,
    lines,
    message,
    order,
    pickup,
    sold_at,
    stock,
)
from tests.integration.handlers.broken import FailingStore, LosingStore
from tests.integration.handlers.world import UK, US, World, opened

_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ADJUSTED, OVERSOLD = "inventory.adjusted", "inventory.oversold"
CHANGED = "inventory.availability_changed"


def units_of(event: dict[str, Any]) -> dict[str, int]:
    return {one["location"]: one["available"] for one in event["locations"]}


async def told(world: World) -> list[tuple[str, int, dict[str, int]]]:
    """Return SKU, version and units of everything told of availability, in order."""
    found = await world.published(CHANGED)
    return [(event["sku"], event["version"], units_of(event)) for event in found]


# --- levels --------------------------------------------------------------------------------


async def test_a_count_is_told_with_the_whole_level_and_why(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=2), delivery=pickup()))
    await world.send(count("LAMP", "leeds", 9), source=POS)
    assert (await world.published(ADJUSTED))[-1] == {
        "id": "level:LAMP@leeds",
        "version": 2,
        "sku": "LAMP",
        "location": "leeds",
        "market": "uk",
        "on_hand": 9,
        "unavailable": 0,
        "safety": 0,
        "held": 0,
        "allocated": 2,
        "available": 7,
        "reason": "count",
        "source": "pos",
        "updated_at": iso(world.clock.now()),
    }


async def test_its_subject_ends_in_the_sku_and_it_carries_the_trace_of_its_cause(
    world: World,
) -> None:
    await world.stock(**{"A.B_leeds": 5})
    counted = message(count("A.B", "leeds", 4), source=POS, traceparent=_TRACE)
    await world.one(counted)
    rows = await world.rows(
        outbox.select().where(outbox.c.type == "imv.inventory.adjusted.v1").order_by("position")
    )
    assert [row.subject for row in rows] == ["imv.v1.inventory.adjusted.A%2EB"] * 2
    assert [row.traceparent for row in rows] == ["", _TRACE]


async def test_an_import_tells_of_every_level_that_it_changes_and_of_no_other(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=5, LAMP_york=2, RUG_leeds=3)
    before = len(await world.published(ADJUSTED))
    safe = StockRow(sku=Sku("RUG"), location=LocationId("leeds"), on_hand=3, safety_stock=1)
    await world.staff(ImportStock((*stock(LAMP_leeds=5, LAMP_york=4).rows, safe)))
    later = (await world.published(ADJUSTED))[before:]
    assert before == 3
    assert [(e["id"], e["on_hand"], e["safety"], e["available"]) for e in later] == [
        ("level:LAMP@york", 4, 0, 4),
        ("level:RUG@leeds", 3, 1, 2),
    ]
    assert {(e["reason"], e["source"]) for e in later} == {("import", "api:staff")}


async def test_counts_of_one_batch_are_told_one_by_one_each_with_its_own_level(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=5)
    await world.ask(
        *(message(count("LAMP", "leeds", n, version=n), source=POS) for n in (7, 8)),
        by_hand(stock(LAMP_leeds=6)),
    )
    events = await world.published(ADJUSTED)
    assert [(e["version"], e["on_hand"], e["reason"]) for e in events] == [
        (1, 5, "import"),
        (2, 7, "count"),
        (3, 8, "count"),
        (4, 6, "import"),
    ]


async def test_a_short_pick_is_an_adjustment(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=2), delivery=pickup()))
    await world.work("acknowledge", "start")
    await _short(world, 1)
    last = (await world.published(ADJUSTED))[-1]
    assert (last["reason"], last["on_hand"], last["allocated"]) == ("short_pick", 4, 1)


async def _short(world: World, units: int) -> None:
    group = await world.group()
    missing = (ShortUnits(group.lines[0].line_id, units),)
    action = act(group.id, "short", group.version)
    await world.staff(msgspec.structs.replace(action, lines=missing))


@pytest.mark.parametrize(
    "told_of",
    [
        message(count("LAMP", "leeds", 5), source=POS),  # the same as before
        message(count("LAMP", "leeds", 9)),  # by one who does not own it
        message(order(delivery=pickup())),  # promises
        message(order(source=POS, delivery=sold_at()), source=POS),  # goods that leave
    ],
    ids=["same", "other", "order", "sale"],
)
async def test_what_adjusts_nothing_is_not_told_as_an_adjustment(
    world: World, told_of: Any
) -> None:
    await world.stock(LAMP_leeds=5)
    await world.one(told_of)
    assert len(await world.published(ADJUSTED)) == 1


async def test_a_sale_that_its_owner_had_counted_adjusts_nothing(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    after = to_us(PLACED) + 1
    await world.send(count("LAMP", "till-leeds", 4, version=after), source=POS)
    await world.send(order(source=POS, delivery=sold_at()), source=POS)
    assert [e["on_hand"] for e in await world.published(ADJUSTED)] == [5, 4]


async def test_a_level_is_told_as_oversold_when_it_becomes_that_and_not_while_it_is(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=4), delivery=pickup()))
    for version, units in enumerate((2, 1, 6, 3), 1):
        await world.send(count("LAMP", "leeds", units, version=version), source=POS)
    events = await world.published(OVERSOLD)
    assert [(e["version"], e["on_hand"], e["available"]) for e in events] == [
        (3, 2, -2),
        (7, 3, -1),
    ]
    assert {(e["reason"], e["source"]) for e in events} == {("oversold", "pos")}


async def test_a_sale_of_more_than_there_was_is_told_as_negative(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    await world.send(order(asked=lines(LAMP=3), source=POS, delivery=sold_at()), source=POS)
    (event,) = await world.published(OVERSOLD)
    assert (event["reason"], event["on_hand"], event["source"]) == ("negative_on_hand", -2, "pos")
    assert event["market"] == "uk"


@pytest.mark.parametrize("kept", [True, False])
async def test_a_batch_that_is_run_again_counts_its_events_once(
    world: World, *, kept: bool
) -> None:
    for store in (
        FailingStore(world.store, Conflict, times=2),
        LosingStore(world.store, kept=kept),
    ):
        world.batch = world.another_batch(store)
        await world.stock(**{f"{type(store).__name__}_leeds": 5})
    events = await world.published(ADJUSTED)
    assert [(e["sku"], e["version"]) for e in events] == [("FailingStore", 1), ("LosingStore", 1)]


# --- availability --------------------------------------------------------------------------


async def test_availability_is_told_with_every_location_that_stocks_the_sku(world: World) -> None:
    await world.stock(LAMP_leeds=5, LAMP_york=0, RUG_hub=3)
    await world.announce()
    await world.send(order(asked=lines(LAMP=2), delivery=pickup()))
    await world.announce()
    assert await told(world) == [
        ("LAMP", 1, {"leeds": 5, "york": 0}),
        ("RUG", 1, {"hub": 3}),
        ("LAMP", 2, {"leeds": 3, "york": 0}),
    ]
    last = (await world.published(CHANGED))[-1]
    assert (last["id"], last["market"]) == ("availability:LAMP@uk", "uk")


async def test_it_is_silent_when_nothing_has_changed_since_it_was_told(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.announce()
    outcome = await world.staff(hold(LAMP=2))
    await world.staff(end_hold(_id_in(outcome.answer)))
    await world.send(order("2", delivery=pickup()))
    await world.send(cancel("2"))
    before = world.heard.commits
    await world.announce()
    await world.announce()
    assert len(await told(world)) == 1
    assert world.heard.commits == before


def _id_in(answer: bytes | None) -> str:
    return str(msgspec.json.decode(answer or b"")["id"])


async def test_many_changes_within_a_second_are_told_once_with_the_newest(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    await world.announce()
    for number in range(3):
        await world.send(order(f"{number}", delivery=pickup()))
        await world.announce(after_s=0.2)
    assert await told(world) == [("LAMP", 1, {"leeds": 9})]
    await world.announce(after_s=0.4)
    assert await told(world) == [("LAMP", 1, {"leeds": 9}), ("LAMP", 2, {"leeds": 6})]


async def test_a_clock_that_was_set_back_holds_up_nothing(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    await world.announce()
    await world.stock(LAMP_leeds=8)
    await world.announce(after_s=-3600)
    assert len(await told(world)) == 2


async def test_what_a_process_that_died_did_not_tell_is_found_by_the_next_one(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=5, RUG_leeds=5)
    await world.announce()
    await world.send(order(delivery=pickup()))
    await world.announce(Moved())
    assert (await told(world))[2:] == [("LAMP", 2, {"leeds": 4})]


async def test_what_cannot_be_told_now_is_told_later(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    async with world.intake() as intake:
        announcer = world.announcer(intake)
        await announcer.turn()
        await world.stock(LAMP_leeds=4)
        await announcer.turn()  # too early
        assert len(await told(world)) == 1
        world.clock.advance(1)
        await announcer.turn()
    assert await told(world) == [("LAMP", 1, {"leeds": 5}), ("LAMP", 2, {"leeds": 4})]


async def test_a_second_tells_of_so_many_skus_and_the_next_one_of_the_rest(
    sqlite_world: World,
) -> None:
    world, more = sqlite_world, 40
    names = [f"SKU-{number:04d}" for number in range(AVAILABILITY_SKUS_MAX + more)]
    await world.stock(**{f"{name}_leeds": 1 for name in names})
    async with world.intake() as intake:
        announcer = world.announcer(intake)
        for expected in (AVAILABILITY_SKUS_MAX, len(names), len(names)):
            await announcer.turn()
            world.clock.advance(1)
            assert len(await told(world)) == expected
    assert {sku for sku, _, _ in await told(world)} == set(names)


async def test_markets_are_told_apart(world: World) -> None:
    await world.stock(LAMP_leeds=5, LAMP_boston=7)
    await world.announce()
    found = {event["market"]: event for event in await world.published(CHANGED)}
    assert units_of(found["uk"]) == {"leeds": 5}
    assert units_of(found["us"]) == {"boston": 7}
    assert (found["uk"]["version"], found["us"]["version"]) == (1, 1)


async def test_it_tells_what_holds_with_the_commit_that_carries_it(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    asked = PublishAvailability((MarketSku(UK, Sku("LAMP")), MarketSku(US, Sku("LAMP"))))
    await world.ask(
        message(asked, recorded=False, operator=True),
        message(order(asked=lines(LAMP=2), delivery=pickup())),
        message(count("LAMP", "leeds", 9), source=POS),
    )
    assert await told(world) == [("LAMP", 1, {"leeds": 7})]


async def test_too_much_promised_is_told_as_it_is(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=4), delivery=pickup()))
    await world.send(count("LAMP", "leeds", 1), source=POS)
    await world.announce()
    assert await told(world) == [("LAMP", 1, {"leeds": -3})]


async def test_processes_that_tell_at_the_same_moment_tell_once(
    postgres_database: Database, redis_url: str
) -> None:
    async with opened(postgres_database, redis_url) as world:
        await world.stock(**{f"SKU-{number}_leeds": 1 for number in range(100)})
        world.clock.advance(1)
        async with (
            world.intake(world.another_batch()) as one,
            world.intake(world.another_batch()) as other,
            asyncio.TaskGroup() as group,
        ):
            for intake in (one, other):
                group.create_task(world.announcer(intake, Moved()).turn())
        assert [version for _, version, _ in await told(world)] == [1] * 100
        await world.check_invariants()


async def test_whoever_read_before_somebody_else_told_runs_again(world: World) -> None:
    """A commit that would tell of an older state under a version that is taken does not."""
    await world.stock(LAMP_leeds=5)
    await world.announce()
    await world.stock(LAMP_leeds=4)
    key = MarketSku(MarketId("uk"), Sku("LAMP"))
    async with world.store.unit_of_work() as work:
        offer = (await work.offers([key]))[key]
    assert offer.told
    assert (offer.told.version, offer.units) == (1, {"leeds": 4})
    await world.announce()
    with pytest.raises(Conflict):
        await _write_told(world, key, offer.told.version + 1)
    assert (await told(world))[-1] == ("LAMP", 2, {"leeds": 4})


async def _write_told(world: World, key: MarketSku, version: int) -> None:
    async with world.store.unit_of_work() as work:
        await work.write(Changes(told={key: Told(version, 1, {})}))


async def test_a_database_that_never_told_tells_everything_once(world: World) -> None:
    await world.stock(LAMP_leeds=5, RUG_york=2)
    await world.announce(Moved())
    assert [sku for sku, _, _ in await told(world)] == ["LAMP", "RUG"]
