"""Staff: each card goes its whole way, in the order that the gateway allows."""

from random import Random

import msgspec
import pytest

from config.ids import FulfilmentId, LineId, LocationId, Sku
from gateway.api.fulfilments import Act
from gateway.demo.staff import CROWDED, Card, Staff
from handlers.actions import FulfilmentAction
from handlers.lifecycle import follow
from store.records import CLOSED_STATES, Fulfilment, FulfilmentLine, Method
from tests.unit.gateway.demo.conftest import NOW

STORE = LocationId("S-001")


def fulfilment(number: int, method: Method) -> Fulfilment:
    line = FulfilmentLine(line_id=LineId("1"), sku=Sku("MUG-BLUE"), quantity=2)
    return Fulfilment(
        id=FulfilmentId(f"F{number}"),
        order_id="O1",  # type: ignore[arg-type]  # a test's
        order_number="1",
        source="shop-main",  # type: ignore[arg-type]  # a test's
        market="uk",  # type: ignore[arg-type]  # a test's
        location=STORE,
        method=method,
        state="assigned",
        version=0,
        lines=(line,),
        created_at=NOW,
        updated_at=NOW,
    )


class Board:
    """One store's board, with the gateway's own rules about what may follow what."""

    def __init__(self, *rows: Fulfilment) -> None:
        self.rows = {row.id: row for row in rows}
        self.actions: list[tuple[str, FulfilmentAction]] = []

    async def board(self, _location: LocationId) -> list[bytes]:
        rows = [row for row in self.rows.values() if row.state not in CLOSED_STATES]
        return [msgspec.json.encode(row) for row in rows]

    async def act(self, fulfilment_id: str, action: FulfilmentAction, act: Act) -> None:
        row = self.rows[FulfilmentId(fulfilment_id)]
        assert act.version == row.version
        state, _ = follow(row, action)
        self.actions.append((fulfilment_id, action))
        self.rows[row.id] = msgspec.structs.replace(row, state=state, version=row.version + 1)


@pytest.fixture
def chance() -> Random:
    return Random(1)  # noqa: S311 - the same in every run; without a rejected or a short card


async def rounds_until_done(board: Board, chance: Random) -> int:
    staff, rounds = Staff([STORE], board.board, board, chance), 0
    while await board.board(STORE):
        await staff.look()
        rounds += 1
        assert rounds < 1000
    return rounds


async def test_a_pickup_goes_its_whole_way_and_takes_its_time(chance: Random) -> None:
    board = Board(fulfilment(1, "pickup"))
    rounds = await rounds_until_done(board, chance)
    assert [action for _, action in board.actions] == [
        "acknowledge",
        "start",
        "pick",
        "stage",
        "ready",
        "collect",
    ]
    assert 10 < rounds < 300


async def test_a_parcel_is_packed_and_handed_off(chance: Random) -> None:
    board = Board(fulfilment(1, "ship"))
    await rounds_until_done(board, chance)
    assert [action for _, action in board.actions][-2:] == ["pack", "hand-off"]


async def test_many_cards_stand_in_a_mixture_of_states(chance: Random) -> None:
    board = Board(*(fulfilment(i, "pickup") for i in range(CROWDED)))
    staff = Staff([STORE], board.board, board, chance)
    for _ in range(20):
        await staff.look()
    assert len({row.state for row in board.rows.values()}) >= 3
    assert staff.open == {STORE: CROWDED}


async def test_now_and_then_a_parcel_is_rejected_and_a_unit_is_short(chance: Random) -> None:
    board = Board(*(fulfilment(i, "ship") for i in range(600)))
    await rounds_until_done(board, chance)
    counts = {name: sum(a == name for _, a in board.actions) for name in ("reject", "short")}
    assert 0 < counts["reject"] < 60
    assert 0 < counts["short"] < 60


async def test_a_card_that_staff_have_no_step_for_stays(chance: Random) -> None:
    board = Board(msgspec.structs.replace(fulfilment(1, "digital"), state="assigned"))
    staff = Staff([STORE], board.board, board, chance)
    for _ in range(50):
        await staff.look()
    assert board.actions == []


def test_a_card_is_read_from_the_boards_row() -> None:
    row = msgspec.json.encode(fulfilment(1, "pickup"))
    assert msgspec.json.decode(row, type=Card).version == 0
