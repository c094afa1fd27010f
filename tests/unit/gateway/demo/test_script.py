"""The script: every kind of thing happens, and nobody is swamped."""

from collections import Counter
from datetime import timedelta
from random import Random

from config.ids import LocationId
from gateway.demo.goods import read_network
from gateway.demo.purchases import Shoppers
from gateway.demo.script import CARDS_IN_ALL_MAX, CARDS_MAX, Script, Step
from tests.unit.gateway.demo.conftest import NOW


def script_of(shoppers: Shoppers, chance: Random) -> Script:
    return Script(shoppers, read_network().locations, chance)


def many(script: Script, open_cards: dict[LocationId, int]) -> list[Step]:
    times = [NOW + timedelta(seconds=i) for i in range(600)]
    return [step for now in times for step in script.next(now, open_cards)]


def test_every_source_sends_every_kind_of_message(shoppers: Shoppers, chance: Random) -> None:
    steps = many(script_of(shoppers, chance), {})
    assert {(step.sample.source, step.sample.topic) for step in steps} == {
        ("shop-main", "orders/create"),
        ("shop-main", "orders/cancelled"),
        ("shop-main", "refunds/create"),
        ("pay-1", "payment_intent.succeeded"),
        ("pos-1", "order.created"),
        ("pos-1", "order.updated"),
        ("pos-1", "payment.updated"),
        ("market-1", "ORDER_CONFIRMATION"),
        ("partner-1", "order.placed"),
        ("partner-1", "payment.captured"),
        ("partner-1", "order.cancelled"),
    }


def test_some_come_again_at_once_and_some_late(shoppers: Shoppers, chance: Random) -> None:
    again = [step.again_s for step in many(script_of(shoppers, chance), {}) if step.again_s]
    assert min(again) < 1.0
    assert 25.0 < max(again) < 300.0


def test_some_payments_come_before_their_order(shoppers: Shoppers, chance: Random) -> None:
    steps = many(script_of(shoppers, chance), {})
    placed = [step for step in steps if step.sample.topic == "orders/create"]
    assert 0 < sum(step.after_s > 0 for step in placed) < len(placed) / 4


def collected_at(steps: list[Step]) -> Counter[str]:
    names = [place.id for place in read_network().locations]
    return Counter(
        name
        for step in steps
        if step.sample.topic == "orders/create"
        for name in names
        if f"pickup-{name}".encode() in step.sample.body
    )


def test_the_first_store_is_the_busiest(shoppers: Shoppers, chance: Random) -> None:
    ((first, _), *others) = collected_at(many(script_of(shoppers, chance), {})).most_common()
    assert first == "S-001"
    assert len(others) == 5


def test_a_full_store_gets_no_more_pickups(shoppers: Shoppers, chance: Random) -> None:
    full = {LocationId("S-001"): CARDS_MAX}
    found = collected_at(many(script_of(shoppers, chance), full))
    assert "S-001" not in found
    assert found


def test_nobody_buys_while_everybody_is_busy(shoppers: Shoppers, chance: Random) -> None:
    assert many(script_of(shoppers, chance), {LocationId("W-01"): CARDS_IN_ALL_MAX}) == []
