"""Which operations are told as adjustments, and with which level; what is news, and when it is due."""

import pytest

from config.ids import LocationId, MarketId, OperationId, OrderId, Sku
from handlers.desk import Move
from handlers.inventory import adjusted, is_due, is_news
from store.gate_port import Cell
from store.ports import Movement, Offer, Shift, Told
from store.records import Level

LEEDS, YORK = LocationId("leeds"), LocationId("york")
LAMP = Cell(Sku("LAMP"), LEEDS)
RUG = Cell(Sku("RUG"), LEEDS)


def move(kind: str, *, order: bool = False, **shifts: Shift) -> Move:
    movement = Movement(
        operation_id=OperationId("o"),
        kind=kind,
        market=MarketId("uk"),
        lines=(),
        at_us=0,
        order_id=OrderId("1") if order else None,
    )
    return Move(movement, {Cell(Sku(sku), LEEDS): s for sku, s in shifts.items()}, "pos", "")


def level(cell: Cell, **units: int) -> Level:
    return Level(sku=cell.sku, location=cell.location, **units)


def test_each_adjustment_shows_the_level_as_it_left_it() -> None:
    moves = [
        move("counted", LAMP=Shift(on_hand=3)),
        move("shipped", LAMP=Shift(on_hand=-1, allocated=-1)),
        move("adjusted", LAMP=Shift(on_hand=-2, safety=1), RUG=Shift(on_hand=4)),
    ]
    levels = {LAMP: level(LAMP, on_hand=5, safety=1), RUG: level(RUG, on_hand=4)}
    found = [
        (r.cell.sku, r.level.on_hand, r.level.safety, r.reason) for r in adjusted(moves, levels)
    ]
    assert found == [("LAMP", 7, 0, "count"), ("LAMP", 5, 1, "import"), ("RUG", 4, 0, "import")]


def test_a_short_pick_takes_what_was_promised_with_what_was_there() -> None:
    moves = [
        move("adjusted", order=True, LAMP=Shift(on_hand=-1, allocated=-1)),
        move("adjusted", order=True, LAMP=Shift(on_hand=-2, allocated=-2)),
    ]
    found = adjusted(moves, {LAMP: level(LAMP, on_hand=2, allocated=1)})
    assert [(r.level.on_hand, r.level.allocated) for r in found] == [(4, 3), (2, 1)]
    assert {r.reason for r in found} == {"short_pick"}


@pytest.mark.parametrize("kind", ["shipped", "released", "hold_released", "allocated"])
def test_goods_and_promises_that_move_adjust_nothing(kind: str) -> None:
    assert adjusted([move(kind, LAMP=Shift(on_hand=-1))], {LAMP: level(LAMP)}) == []


def test_a_count_of_what_was_known_adjusts_nothing() -> None:
    counted = move("counted", LAMP=Shift(counted_version=7))
    given_back = move("counted", order=True, LAMP=Shift(on_hand=2))
    assert adjusted([counted, given_back], {LAMP: level(LAMP)}) == []


@pytest.mark.parametrize(
    ("offer", "news"),
    [
        (Offer({}), False),
        (Offer({LEEDS: 0}), True),
        (Offer({LEEDS: 1}, Told(1, 0, {LEEDS: 1})), False),
        (Offer({LEEDS: 1}, Told(1, 0, {LEEDS: 2})), True),
        (Offer({LEEDS: 1, YORK: 0}, Told(1, 0, {LEEDS: 1})), True),
    ],
)
def test_another_number_or_place_is_news(offer: Offer, *, news: bool) -> None:
    assert is_news(offer) is news


@pytest.mark.parametrize(
    ("now_us", "due"), [(1_999_999, False), (2_000_000, True), (999_999, True), (1_000_000, False)]
)
def test_a_sku_may_be_told_of_again_after_a_second(now_us: int, *, due: bool) -> None:
    assert is_due(Offer({LEEDS: 1}, Told(1, 1_000_000, {})), now_us) is due
    assert is_due(Offer({LEEDS: 1}), now_us)
