"""Money facts: before their order, in any order, twice, and what refunds mean for units."""

from itertools import permutations

import msgspec
import pytest
from sqlalchemy import select

from config.ids import SourceId
from handlers.actions import Task
from store.tables import exceptions
from tests.integration.handlers.asking import (
    PAY,
    cancel,
    lines,
    message,
    order,
    payment,
    refund,
    refunded,
)
from tests.integration.handlers.world import World


async def test_a_payment_before_its_order_waits_for_it(world: World) -> None:
    assert (await world.send(payment(), source=PAY)).name == "parked"
    await world.send(order())
    (tender,) = (await world.order()).tenders
    assert (tender.state, tender.captured_minor) == ("captured", 2_000)
    assert "payment.captured" in await world.events()


async def test_a_payment_that_names_no_order_joins_by_its_own_reference(world: World) -> None:
    await world.send(payment("captured", version=2, ref=None), source=PAY)
    await world.send(order())
    assert not (await world.order()).tenders
    await world.send(payment("authorised", version=1), source=PAY)
    (tender,) = (await world.order()).tenders
    assert tender.state == "captured"


async def test_a_refund_before_its_payment_before_its_order_finds_its_way(world: World) -> None:
    assert (await world.send(refund(ref=None), source=PAY)).name == "parked"
    assert (await world.send(payment(), source=PAY)).name == "parked"
    await world.send(order())
    placed = await world.order()
    assert [r.amount_minor for r in placed.refunds] == [500]
    assert [t.captured_minor for t in placed.tenders] == [2_000]


async def test_the_whole_chain_finds_its_way_within_one_batch(world: World) -> None:
    await world.ask(
        message(refund(ref=None), source=PAY), message(payment(), source=PAY), message(order())
    )
    placed = await world.order()
    assert len(placed.refunds) == len(placed.tenders) == 1
    assert await world.reader.overdue(2**62, 10) == []


async def test_a_child_that_nobody_awaits_is_shown_and_still_waits(world: World) -> None:
    await world.send(refund(ref=None), source=PAY)
    await world.send(payment(), source=PAY)
    world.clock.advance(90_000)
    await world.sweep()
    assert len((await world.open_exceptions())["OUT_OF_ORDER"]) == 2
    await world.stock(LAMP_leeds=1)
    await world.send(order())
    assert not await world.open_exceptions()
    assert (await world.order()).refunds


@pytest.mark.parametrize("sequence", list(permutations(["authorised", "failed", "captured"])))
async def test_facts_of_one_second_end_in_the_same_tender(
    sqlite_world: World, sequence: tuple[str, ...]
) -> None:
    amounts = {"authorised": 2_500, "failed": 0, "captured": 2_000}
    await sqlite_world.send(order())
    for state in sequence:
        await sqlite_world.send(payment(state, amounts[state], version=7), source=PAY)
    (tender,) = (await sqlite_world.order()).tenders
    told = (tender.state, tender.authorised_minor, tender.captured_minor)
    assert told == ("captured", 2_500, 2_000)
    assert "CAPTURE_FAILED" not in await sqlite_world.open_exceptions()


async def test_a_dispute_that_comes_before_its_capture_keeps_the_amount(world: World) -> None:
    await world.send(order())
    await world.send(payment("disputed", version=3), source=PAY)
    await world.send(payment("captured", 1_900, version=2), source=PAY)
    (tender,) = (await world.order()).tenders
    assert (tender.state, tender.captured_minor) == ("disputed", 1_900)
    assert len((await world.open_exceptions())["PAYMENT_DISPUTED"]) == 1


@pytest.mark.parametrize("sent", [("a", "b", "a"), ("b", "a", "b")])
async def test_captures_told_one_by_one_add_up(world: World, sent: tuple[str, ...]) -> None:
    await world.send(order())
    await world.send(payment("authorised", 10_000), source=PAY)
    amounts = {"a": (4_000, 2), "b": (6_000, 3)}
    for part in sent:
        amount, version = amounts[part]
        one = msgspec.structs.replace(payment("captured", amount, version), part_ref=part)
        await world.send(one, source=PAY)
    (tender,) = (await world.order()).tenders
    told = (tender.state, tender.authorised_minor, tender.captured_minor)
    assert told == ("captured", 10_000, 10_000)


async def test_one_tender_does_not_end_the_work_item_of_another(world: World) -> None:
    await world.send(order())
    await world.send(payment("failed", payment_ref="card"), source=PAY)
    await world.send(payment("captured", payment_ref="voucher"), source=PAY)
    assert len((await world.open_exceptions())["CAPTURE_FAILED"]) == 1
    await world.send(payment("captured", payment_ref="card", version=2), source=PAY)
    assert "CAPTURE_FAILED" not in await world.open_exceptions()


async def test_a_failure_that_ends_and_comes_again_in_one_message_is_two_work_items(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    states = ("failed", "authorised", "failed")
    await world.send(*(payment(s, version=n) for n, s in enumerate(states, 1)), source=PAY)
    rows = await world.rows(select(exceptions).where(exceptions.c.code == "CAPTURE_FAILED"))
    assert sorted(row.state for row in rows) == ["open", "resolved"]
    told = ["exception.opened", "exception.resolved", "exception.opened"]
    assert await world.events("exception") == told


async def test_a_failure_is_shown_once(world: World) -> None:
    await world.send(order())
    for version in (1, 2):
        await world.send(payment("failed", version=version), source=PAY)
        await world.send(payment("disputed", version=version, payment_ref="p2"), source=PAY)
    found = await world.open_exceptions()
    assert (len(found["CAPTURE_FAILED"]), len(found["PAYMENT_DISPUTED"])) == (1, 1)


async def test_a_payment_told_twice_is_one(world: World) -> None:
    await world.send(order())
    await world.send(payment(), source=PAY)
    before = await world.events()
    assert (await world.send(payment(), source=PAY)).name == "ignored"
    assert await world.events() == before


async def test_refunded_units_that_were_never_sent_go_back_on_sale(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=3)))
    await world.send(refund(version=2, asked=(refunded("LAMP", 1),)))
    (line,) = (await world.order()).lines
    assert (line.refunded, line.cancelled, line.allocated) == (1, 1, 2)
    assert await world.free("LAMP") == 3


async def test_a_refund_and_the_version_that_reflects_it_cancel_once(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    for ref, reflected_first in (("1", True), ("2", False)):
        await world.send(order(ref, lines(LAMP=3)))
        both: list[Task] = [
            order(ref, lines(LAMP=2), version=5),
            refund(version=4, ref=ref, asked=(refunded("LAMP", 1),)),
        ]
        for task in both if reflected_first else reversed(both):
            await world.send(task)
        (line,) = (await world.order(ref)).lines
        assert (line.open, line.refunded) == (2, 1)


async def test_refunded_units_that_have_left_are_a_race(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    await world.work("acknowledge", "pick", "pack", "hand-off")
    await world.send(refund(version=2, asked=(refunded("LAMP", 1),)))
    assert "CANCEL_RACE" in await world.open_exceptions()


async def test_a_refund_of_returned_goods_touches_no_stock(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    await world.work("acknowledge", "pick", "pack", "hand-off")
    await world.send(refund(version=2, asked=(refunded("LAMP", 1, "return"),)))
    assert not await world.open_exceptions()
    assert (await world.order()).lines[0].refunded == 1


async def test_a_refund_on_its_way_does_not_overwrite_the_one_that_arrived(world: World) -> None:
    await world.send(order())
    await world.send(refund("succeeded", version=4))
    assert (await world.send(refund("pending", version=4))).name == "ignored"
    assert (await world.order()).refunds[0].state == "succeeded"


async def test_a_refund_that_failed_counts_no_units(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order(asked=lines(LAMP=2)))
    one = (refunded("LAMP", 1, "none"),)
    await world.send(refund("pending", version=2, asked=one))
    await world.send(refund("failed", version=3, asked=one))
    assert (await world.order()).lines[0].refunded == 0


async def test_a_refund_of_a_cancelled_order_is_only_money(world: World) -> None:
    await world.stock(LAMP_leeds=5)
    await world.send(order())
    await world.send(cancel())
    await world.send(refund(version=9, asked=(refunded("LAMP", 1),)))
    assert (await world.order()).refunds
    assert "CANCEL_RACE" not in await world.open_exceptions()


async def test_one_reference_at_two_sources_is_two_payments(world: World) -> None:
    await world.send(order())
    for source in (PAY, SourceId("shop")):
        await world.send(payment(), source=source)
    assert len((await world.order()).tenders) == 2
