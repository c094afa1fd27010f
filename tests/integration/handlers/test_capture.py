"""Orders come in: once, twice, in new versions, before their items are known."""

from datetime import timedelta

import msgspec

from config.ids import Sku
from handlers.commands import Delivery, LineAsked
from handlers.message import Outcome
from tests.integration.handlers.asking import (
    POS,
    catalog,
    lines,
    message,
    order,
    pickup,
    sold_at,
)
from tests.integration.handlers.world import NETWORK, World


async def test_an_order_is_captured_accepted_routed_and_assigned(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    outcome = await world.send(order(asked=lines(LAMP=2)))
    assert outcome.name == "applied"
    placed = await world.order()
    assert (outcome.order_id, placed.state) == (placed.id, "routed")
    assert await world.events("order") == ["order.captured", "order.accepted", "order.routed"]
    assert await world.events("fulfilment") == ["fulfilment.assigned"]
    assert (await world.level("LAMP")).allocated == 2
    (booked,) = await world.movements("allocated")
    assert booked.operation_id == placed.reservation


async def test_a_duplicate_gets_the_first_ids_and_changes_nothing(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    first = await world.send(order(), key="same")
    again = await world.send(order(), key="same")
    assert again.name == "duplicate"
    assert (again.message_id, again.order_id) == (first.message_id, first.order_id)
    assert len(await world.orders()) == 1
    assert await world.free("LAMP") == 4


async def test_duplicates_within_one_batch_make_one_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    settled = await world.ask(*(message(order(), key="same") for _ in range(3)))
    first, *others = settled
    assert isinstance(first, Outcome)
    for other in others:
        assert isinstance(other, Outcome)
        assert (other.name, other.message_id) == ("duplicate", first.message_id)
        assert other.order_id == first.order_id
    assert await world.free("LAMP") == 4


async def test_the_same_fact_under_two_keys_makes_one_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    assert (await world.send(order())).name == "ignored"
    assert await world.free("LAMP") == 4


async def test_another_body_under_a_known_key_is_quarantined_once(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(), key="same")
    for _ in range(2):
        outcome = await world.send(order(asked=lines(LAMP=3)), key="same")
        assert outcome.name == "quarantined"
    assert await world.events("message") == ["message.quarantined"]
    assert len([row for row in await world.inbox() if row.outcome == "quarantined"]) == 1
    assert await world.free("LAMP") == 4


async def test_contradictions_within_one_batch_are_quarantined_once(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    other = order(asked=lines(LAMP=3))
    settled = await world.ask(
        message(order(), key="same"), message(other, key="same"), message(other, key="same")
    )
    assert [s.name for s in settled if isinstance(s, Outcome)] == [
        "applied",
        "quarantined",
        "quarantined",
    ]
    assert await world.events("message") == ["message.quarantined"]


async def test_a_newer_version_takes_fewer_units(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=3)))
    await world.send(order(asked=lines(LAMP=1), version=2))
    assert await world.free("LAMP") == 4
    assert (await world.order()).lines[0].open == 1


async def test_a_newer_version_takes_more_units(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=1)))
    await world.send(order(asked=lines(LAMP=3), version=2))
    assert await world.free("LAMP") == 2
    assert (await world.order()).state == "routed"


async def test_a_newer_version_adds_and_removes_lines(world: World) -> None:
    await world.stock(LAMP_leeds=5, RUG_leeds=5)
    await world.send(order(asked=lines(LAMP=1)))
    await world.send(order(asked=lines(RUG=2), version=2))
    assert (await world.free("LAMP"), await world.free("RUG")) == (5, 3)
    assert "order.amended" in await world.events()


async def test_a_newer_version_changes_what_is_told_of_the_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(total_minor=100))
    await world.send(order(total_minor=250, customer_label="Ada L.", version=2))
    placed = await world.order()
    assert (placed.total_minor, placed.customer_label, placed.version) == (250, "Ada L.", 4)


async def test_fewer_units_after_picking_come_back_from_the_group(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=3)))
    await world.work("acknowledge", "pick")
    await world.send(order(asked=lines(LAMP=1), version=2))
    (line,) = (await world.order()).lines
    assert (line.allocated, line.picked, line.cancelled) == (1, 1, 2)
    assert (await world.group()).lines[0].quantity == 1
    assert (await world.order()).state == "in_fulfilment"


async def test_more_units_after_picking_become_a_group_of_their_own(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=1)))
    await world.work("acknowledge", "pick")
    await world.send(order(asked=lines(LAMP=2), version=2))
    assert [group.state for group in await world.groups()] == ["picked", "assigned"]
    assert (await world.order()).state == "in_fulfilment"


async def test_units_exchanged_between_lines_are_found_though_nothing_else_is_free(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=2)
    await world.send(order(asked=lines(LAMP=2)))
    other = LineAsked(line_ref="other", sku="LAMP", quantity=2)
    outcome = await world.send(order(asked=(other,), version=2))
    assert outcome.name == "accepted"
    await world.sweep()
    assert (await world.order()).state == "routed"
    assert not await world.open_exceptions()


async def test_an_older_version_is_stale(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=1), version=5))
    outcome = await world.send(order(asked=lines(LAMP=3), version=4))
    assert (outcome.name, outcome.reason[:5]) == ("ignored", "stale")
    assert await world.free("LAMP") == 4


async def test_a_version_of_the_same_instant_applies_but_never_revives(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=3), version=5))
    await world.send(order(asked=lines(LAMP=1), version=5))
    await world.send(order(asked=lines(LAMP=3), version=5))
    assert await world.free("LAMP") == 4


async def test_an_update_that_comes_before_its_create_is_the_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=2), version=2))
    assert (await world.send(order(asked=lines(LAMP=1), version=1))).name == "ignored"
    assert await world.free("LAMP") == 3


async def test_a_version_with_no_units_left_cancels_the_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    await world.send(order(asked=(), version=2))
    assert (await world.order()).state == "cancelled"
    assert await world.free("LAMP") == 5


async def test_two_lines_of_one_sku_are_both_placed(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    twice = tuple(LineAsked(line_ref=ref, sku="LAMP", quantity=2) for ref in "ab")
    await world.send(order(asked=twice))
    assert await world.free("LAMP") == 1
    assert [line.quantity for line in (await world.group()).lines] == [2, 2]


async def test_the_last_units_go_to_the_orders_that_came_first(world: World) -> None:
    await world.stock(LAMP_leeds=3)
    await world.ask(*(message(order(str(n), lines(LAMP=2))) for n in range(3)))
    assert [o.state for o in await world.orders()] == ["routed", "held", "held"]


async def test_a_smaller_order_may_take_what_a_larger_one_could_not(world: World) -> None:
    await world.stock(LAMP_leeds=3)
    await world.ask(*(message(order(str(n), lines(LAMP=2 - n // 2))) for n in range(3)))
    assert [o.state for o in await world.orders()] == ["routed", "held", "routed"]


async def test_an_order_without_stock_is_held_with_its_plan(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    outcome = await world.send(order(asked=lines(LAMP=2)))
    assert outcome.name == "applied"
    held = await world.order()
    assert (held.state, held.hold_reasons) == ("held", ("UNFILLABLE",))
    (problem,) = (await world.open_exceptions())["UNFILLABLE"]
    assert problem.what["missing"] == ["LAMP: 1"]
    parts = await world.reader.order_parts(held.id)
    assert parts
    assert b"unfilled" in (parts[2] or b"")


async def test_fewer_units_can_free_an_order_that_was_held(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    await world.send(order(asked=lines(LAMP=2)))
    await world.send(order(asked=lines(LAMP=1), version=2))
    assert (await world.order()).state == "routed"
    assert not await world.open_exceptions()


async def test_an_order_is_split_over_locations_when_none_has_it_all(world: World) -> None:
    await world.stock(LAMP_leeds=1, RUG_york=1)
    await world.send(order(asked=lines(LAMP=1, RUG=1)))
    assert sorted(group.location for group in await world.groups()) == ["leeds", "york"]


async def test_a_pickup_goes_to_its_own_store_alone(world: World) -> None:
    await world.stock(LAMP_leeds=1, LAMP_york=9, LAMP_hub=9)
    await world.send(order("1", delivery=pickup("place-leeds")))
    await world.send(order("2", delivery=pickup("place-leeds")))
    assert (await world.group("1")).location == "leeds"
    assert (await world.order("2")).state == "held"


async def test_an_unmapped_item_is_shown_and_routed_once_it_is_mapped(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    asked = (LineAsked(line_ref="a", item="v77", quantity=1),)
    await world.send(order(asked=asked))
    assert (await world.order()).state == "held"
    (problem,) = (await world.open_exceptions())["UNMAPPED_ITEM"]
    assert problem.what["items"] == ["v77"]
    await world.staff(catalog("LAMP", "v77"))
    await world.sweep()
    assert (await world.order()).state == "routed"
    assert (await world.order()).lines[0].sku == Sku("LAMP")
    assert not await world.open_exceptions()


async def test_what_is_mapped_is_found_behind_many_that_are_not(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    for number in range(5):
        unknown = (LineAsked(line_ref="a", item=f"v{number}", quantity=1),)
        await world.send(order(str(number), asked=unknown))
    await world.staff(catalog("LAMP", "v4"))
    page = await world.reader.now_mapped("", 2)
    assert (page.order_ids, bool(page.after)) == ([], True)
    page = await world.reader.now_mapped(page.after, 2)
    page = await world.reader.now_mapped(page.after, 2)
    assert page.order_ids == [(await world.order("4")).id]
    assert page.after == ""


async def test_an_item_known_by_its_own_sku_is_released_too(world: World) -> None:
    unknown = (LineAsked(line_ref="a", item="v1", sku="LAMP", quantity=1),)
    await world.send(order(asked=unknown))
    assert (await world.order()).state == "held"
    await world.stock(LAMP_leeds=5)
    await world.sweep()
    assert (await world.order()).state == "routed"


async def test_removing_the_unmapped_line_frees_the_rest(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=(*lines(LAMP=1), LineAsked(line_ref="a", item="x", quantity=1))))
    assert (await world.order()).state == "held"
    await world.send(order(asked=lines(LAMP=1), version=2))
    assert (await world.order()).state == "routed"
    assert not await world.open_exceptions()


async def test_when_only_what_is_not_shipped_is_left_the_order_is_accepted(world: World) -> None:
    voucher = LineAsked(line_ref="v", quantity=1, requires_shipping=False)
    await world.send(order(asked=(*lines(LAMP=1), voucher)))
    assert (await world.order()).state == "held"
    await world.send(order(asked=(voucher,), version=2))
    assert (await world.order()).state == "accepted"
    assert not await world.open_exceptions()


async def test_an_unmapped_place_is_remembered_through_amendments(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(delivery=pickup("nowhere")))
    await world.send(order(asked=lines(LAMP=2), delivery=pickup("nowhere"), version=2))
    held = await world.order()
    assert (held.state, held.hold_reasons) == ("held", ("UNMAPPED_PLACE:nowhere",))
    await world.decide(held.id)
    assert (await world.order()).hold_reasons == ("UNMAPPED_PLACE:nowhere",)
    assert list(await world.open_exceptions()) == ["UNMAPPED_PLACE"]


async def test_a_newer_version_with_a_known_place_frees_the_order(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(delivery=pickup("nowhere")))
    await world.send(order(delivery=pickup(), version=2))
    assert (await world.group()).location == "leeds"
    assert not await world.open_exceptions()


async def test_another_store_is_taken_before_the_work_begins(world: World) -> None:
    await world.stock(LAMP_leeds=5, LAMP_york=5)
    await world.send(order(delivery=pickup("leeds")))
    await world.send(order(delivery=pickup("york"), version=2))
    first, second = await world.groups()
    assert (first.state, second.state, second.location) == ("cancelled", "assigned", "york")
    assert await world.free("LAMP", "leeds") == 5


async def test_another_store_is_too_late_once_the_work_has_begun(world: World) -> None:
    await world.stock(LAMP_leeds=5, LAMP_york=5)
    await world.send(order(delivery=pickup("leeds")))
    await world.work("acknowledge", "start")
    await world.send(order(delivery=pickup("york"), version=2))
    assert (await world.order()).location == "leeds"
    assert (await world.group()).state == "picking"


async def test_an_order_for_no_market_of_ours_is_quarantined(world: World) -> None:
    outcome = await world.send(order(source="stranger"))
    assert (outcome.name, "market" in outcome.reason) == ("quarantined", True)


async def test_a_counter_sale_is_shipped_at_its_store_and_not_routed(world: World) -> None:
    await world.stock(LAMP_leeds=5, LAMP_york=5)
    await world.send(order(source=POS, delivery=sold_at("till-leeds")), source=POS)
    sold = await world.order(source=POS)
    assert sold.state == "fulfilled"
    assert (await world.level("LAMP")).on_hand == 4
    (group,) = await world.groups(source=POS)
    assert (group.state, group.location) == ("collected", "leeds")


async def test_a_counter_sale_below_zero_is_booked_and_shown(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    sale = order(asked=lines(LAMP=3), source=POS, delivery=sold_at())
    await world.send(sale, source=POS)
    assert (await world.level("LAMP")).on_hand == -2
    assert list(await world.open_exceptions()) == ["NEGATIVE_ON_HAND"]
    await world.stock(LAMP_leeds=4)
    assert not await world.open_exceptions()


async def test_units_added_to_a_counter_sale_are_sold_too(world: World) -> None:
    await world.stock(LAMP_leeds=5, RUG_leeds=5)
    sale = order(source=POS, delivery=sold_at())
    await world.send(sale, source=POS)
    more = order(asked=lines(LAMP=1, RUG=2), version=2, source=POS, delivery=sold_at())
    await world.send(more, source=POS)
    assert (await world.free("LAMP"), await world.free("RUG")) == (4, 3)
    assert (await world.order(source=POS)).state == "fulfilled"


async def test_a_sale_and_an_order_of_one_batch_do_not_share_a_unit(world: World) -> None:
    await world.stock(LAMP_leeds=1)
    await world.ask(message(order(source=POS, delivery=sold_at()), source=POS), message(order("2")))
    assert (await world.order("2")).state == "held"
    assert (await world.level("LAMP")).available == 0


async def test_a_promise_is_kept_by_a_place_that_is_open_now(sqlite_world: World) -> None:
    world = sqlite_world
    leeds, *others = NETWORK.locations
    closed = msgspec.structs.replace(leeds, opening_hours={"thu": ("09:00", "17:00")})
    network = msgspec.structs.replace(NETWORK, locations=(closed, *others))
    world.batch = world.another_batch(network=network)
    await world.stock(LAMP_leeds=2, LAMP_york=2)
    here = Delivery(latitude=53.8, longitude=-1.5, country="GB")
    soon = msgspec.structs.replace(here, latest=world.clock.now() + timedelta(days=1))
    await world.send(order("1", delivery=here))
    await world.send(order("2", delivery=soon))
    assert [(await world.group(ref)).location for ref in "12"] == ["leeds", "york"]
