"""Stock facts: counts by those who own them and by others, imports, what goes below."""

import asyncio

import msgspec
import pytest

from config.clock import to_us
from config.errors import Rejected
from handlers.commands import Count, CountStock, LineAsked
from handlers.message import Outcome
from store.engine import Database
from store.records import Hold
from tests.integration.handlers.asking import (
    PLACED,
    POS,
    SHOP,
    by_hand,
    cancel,
    catalog,
    count,
    hold,
    lines,
    message,
    order,
    pickup,
    sold_at,
    stock,
)
from tests.integration.handlers.broken import LateGate, MeetingStore
from tests.integration.handlers.world import World, cell, opened


async def test_a_count_by_the_owner_sets_on_hand(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    assert (await world.send(count("LAMP", "till-leeds", 8), source=POS)).name == "applied"
    assert (await world.level("LAMP")).on_hand == 8


async def test_a_count_of_what_may_be_sold_adds_what_the_owners_orders_hold(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    mine = order(asked=lines(LAMP=2), source=POS, delivery=pickup())
    await world.send(mine, source=POS)
    await world.send(order("2", delivery=pickup()))
    await world.send(count("LAMP", "leeds", 3, meaning="available"), source=POS)
    level = await world.level("LAMP")
    assert (level.on_hand, level.allocated) == (5, 3)


async def test_what_was_cancelled_earlier_in_the_batch_is_no_commitment(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order("1", lines(LAMP=2), source=SHOP, delivery=pickup()))
    await world.stock(LAMP_hub=4, LAMP_leeds=0)
    await world.send(order("2", lines(LAMP=2)))
    await world.ask(
        message(cancel("2")), message(count("LAMP", "hub", 4, meaning="available"), source=SHOP)
    )
    assert (await world.level("LAMP", "hub")).on_hand == 4


async def test_an_older_count_changes_nothing(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(count("LAMP", "leeds", 8, version=5), source=POS)
    assert (await world.send(count("LAMP", "leeds", 2, version=4), source=POS)).name == "ignored"
    assert (await world.level("LAMP")).on_hand == 8


@pytest.mark.parametrize("units", [(9, 8), (8, 9)])
async def test_of_two_counts_in_one_second_the_lower_stands(
    world: World, units: tuple[int, int]
) -> None:
    await world.stock(LAMP_leeds=10)
    for n in units:
        await world.send(count("LAMP", "leeds", n, version=5), source=POS)
    assert (await world.level("LAMP")).on_hand == 8


async def test_counts_of_one_batch_follow_each_other(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.ask(
        *(message(count("LAMP", "leeds", 9 - n, version=n), source=POS) for n in (1, 2, 3))
    )
    assert (await world.level("LAMP")).on_hand == 6


async def test_a_count_after_a_sale_of_its_batch_is_the_truth(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    sale = order(source=POS, delivery=sold_at())
    await world.ask(message(sale, source=POS), message(count("LAMP", "leeds", 4), source=POS))
    assert (await world.level("LAMP")).on_hand == 4


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("count_first", [True, False])
async def test_a_sale_that_its_owner_has_counted_is_not_taken_twice(
    world: World, *, count_first: bool, together: bool
) -> None:
    await world.stock(LAMP_leeds=5, RUG_leeds=5)
    sale = message(order(asked=lines(LAMP=2), source=POS, delivery=sold_at()), source=POS)
    after = to_us(PLACED) + 1
    counted = message(count("LAMP", "till-leeds", 3, version=after), source=POS)
    sent = [counted, sale] if count_first else [sale, counted]
    for batch in [sent] if together else [[one] for one in sent]:
        await world.ask(*batch)
    assert (await world.level("LAMP")).on_hand == 3
    assert (await world.order(source=POS)).state == "fulfilled"


async def test_a_sale_after_its_owners_count_is_taken(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    before = to_us(PLACED) - 1
    await world.send(count("LAMP", "till-leeds", 4, version=before), source=POS)
    await world.send(order(source=POS, delivery=sold_at()), source=POS)
    assert (await world.level("LAMP")).on_hand == 3


async def test_a_count_by_somebody_else_knows_nothing_of_a_sale(world: World) -> None:
    await world.stock(LAMP_hub=5)
    after = to_us(PLACED) + 1
    await world.send(count("LAMP", "place-hub", 4, version=after), source=SHOP)
    await world.send(order(source=POS, delivery=sold_at("hub")), source=POS)
    assert (await world.level("LAMP", "hub")).on_hand == 3


async def test_a_sale_that_is_mapped_late_is_not_taken_twice_either(world: World) -> None:
    asked = (LineAsked(line_ref="a", item="v1", quantity=2),)
    sale = order(asked=asked, source=POS, delivery=sold_at())
    await world.send(sale, source=POS)
    await world.stock(LAMP_leeds=5)
    await world.staff(catalog("LAMP", "v1", source=POS))
    one = Count(item="v1", place="till-leeds", quantity=3, version=to_us(PLACED))
    await world.send(CountStock(counts=(one,)), source=POS)
    await world.sweep()
    assert (await world.order(source=POS)).state == "fulfilled"
    assert (await world.level("LAMP")).on_hand == 3


async def test_a_count_and_an_order_of_one_batch_oversell_nothing(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.ask(
        message(count("LAMP", "leeds", 1), source=POS), message(order(asked=lines(LAMP=3)))
    )
    assert (await world.order()).state == "held"
    assert "OVERSOLD" not in await world.open_exceptions()


async def test_a_difference_that_others_see_is_shown_until_they_agree(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    for version in (1, 2):
        await world.send(count("LAMP", "leeds", 9, version=version))
    (difference,) = (await world.open_exceptions())["STOCK_DIFFERENCE"]
    assert (difference.what["theirs"], difference.what["ours"]) == (9, 5)
    assert (await world.level("LAMP")).on_hand == 5
    await world.send(count("LAMP", "leeds", 5, version=3))
    assert not await world.open_exceptions()


async def test_a_count_of_something_unknown_is_shown_until_it_is_mapped(world: World) -> None:
    for version in (1, 2):
        asked = Count(item="v9", place="leeds", quantity=4, version=version)
        await world.send(CountStock(counts=(asked,)), source=POS)
    assert len((await world.open_exceptions())["UNMAPPED_ITEM"]) == 1
    await world.staff(catalog("LAMP", "v9", source=POS))
    assert not await world.open_exceptions()


async def test_a_count_by_sku_ends_its_work_item_when_the_sku_is_known(world: World) -> None:
    await world.send(count("NEW", "leeds", 4), source=POS)
    await world.send(count("LAMP", "nowhere", 4), source=POS)
    assert set(await world.open_exceptions()) == {"UNMAPPED_ITEM", "UNMAPPED_PLACE"}
    await world.stock(NEW_leeds=1)
    await world.send(count("NEW", "leeds", 4, version=2), source=POS)
    assert set(await world.open_exceptions()) == {"UNMAPPED_PLACE"}


async def test_promises_beyond_what_is_there_are_shown_until_they_end(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=4)))
    await world.send(count("LAMP", "leeds", 2), source=POS)
    assert list(await world.open_exceptions()) == ["OVERSOLD"]
    await world.send(cancel(LAMP=2))
    assert not await world.open_exceptions()


async def test_an_import_sets_levels_however_often(world: World) -> None:
    await world.ask(*(by_hand(stock(LAMP_leeds=n, RUG_york=2)) for n in (5, 7)))
    await world.stock(LAMP_leeds=6)
    assert (await world.level("LAMP")).on_hand == 6
    assert (await world.level("RUG", "york")).on_hand == 2


async def test_an_import_to_nowhere_is_refused_whole(world: World) -> None:
    with pytest.raises(Rejected):
        await world.stock(LAMP_leeds=1, LAMP_nowhere=1)
    settled = await world.ask(by_hand(stock(LAMP_leeds=3)))
    assert isinstance(settled[0], Outcome)


async def test_a_catalog_import_replaces_what_channels_call_an_item(world: World) -> None:
    await world.stock(LAMP_leeds=5, RUG_leeds=5)
    await world.staff(catalog("LAMP", "v1"))
    await world.staff(catalog("RUG", "v1"))
    asked = (LineAsked(line_ref="a", item="v1", quantity=1),)
    await world.send(order(asked=asked))
    assert (await world.order()).lines[0].sku == "RUG"


async def test_a_hold_confirmed_after_a_count_took_its_stock_is_shown_as_oversold(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=5)
    outcome = await world.staff(hold(LAMP=5))
    kept = msgspec.json.decode(outcome.answer or b"", type=Hold)
    await world.send(count("LAMP", "leeds", 2), source=POS)
    await world.send(order(asked=lines(LAMP=5), hold_id=kept.id))
    (shown,) = (await world.open_exceptions())["OVERSOLD"]
    assert (shown.subject, shown.what["allocated"]) == ("LAMP@leeds", 5)


async def test_a_plan_made_again_still_reckons_with_what_a_count_of_its_batch_takes(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=5, LAMP_york=2)
    world.batch = world.another_batch(gate=LateGate(world.gate, {cell("LAMP"): 9}))
    await world.ask(
        message(count("LAMP", "leeds", 2), source=POS), message(order(asked=lines(LAMP=6)))
    )
    assert (await world.order()).state == "held"
    assert (await world.level("LAMP")).available == 2
    assert "OVERSOLD" not in await world.open_exceptions()


async def test_two_processes_that_count_a_new_thing_at_once_do_not_add_their_counts(
    postgres_database: Database, redis_url: str
) -> None:
    met = asyncio.Barrier(2)
    async with opened(postgres_database, redis_url) as world:
        await world.staff(catalog("LAMP", "item-1", source=POS))
        batches = [world.another_batch(MeetingStore(world.store, met)) for _ in range(2)]
        counts = [
            message(count("LAMP", "leeds", units, version), source=POS)
            for units, version in ((5, 1), (4, 2))
        ]
        async with asyncio.TaskGroup() as group:
            for batch, one in zip(batches, counts, strict=True):
                group.create_task(batch.run([one]))
        assert (await world.level("LAMP")).on_hand == 4
        await world.check_invariants()
