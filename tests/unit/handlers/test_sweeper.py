"""The sweeper: what is due goes through the batch, and one bad row holds up no other."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from config.errors import InvalidTransition, Overloaded
from config.ids import HoldId, IdFactory, MarketId, MessageId, OrderId
from handlers.actions import DecideOrders, EndHold
from handlers.message import Message, Outcome
from handlers.sweeper import Sweeper
from store.ports import Parked, Ref
from store.readers import MappedPage


class Waiting:
    """Three orders and a hold."""

    async def undecided(self, markets: Sequence[MarketId], limit: int) -> list[OrderId]:  # noqa: ARG002
        return [OrderId("o1"), OrderId("o2")]

    async def now_mapped(self, after: str, limit: int) -> MappedPage:  # noqa: ARG002
        return MappedPage([OrderId("o2"), OrderId("o3")], "")

    async def reunited(self, since_us: int, limit: int) -> list[Ref]:  # noqa: ARG002
        return []

    async def expired_holds(self, now_us: int, limit: int) -> list[HoldId]:  # noqa: ARG002
        return [HoldId("h1")]

    async def overdue(self, now_us: int, limit: int) -> list[Parked]:  # noqa: ARG002
        return []


class Taking:
    """An intake that fails at one order."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.taken: list[str] = []

    async def submit(self, message: Message) -> Outcome:
        (task,) = message.tasks
        assert not message.recorded
        if isinstance(task, DecideOrders):
            self.taken += task.order_ids
            if self.error and task.order_ids == ("o1",):
                raise self.error
        if isinstance(task, EndHold):
            self.taken.append(task.hold_id)
        return Outcome(name="applied", message_id=MessageId("m"))


class StillClock:
    """A clock that stands."""

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


def sweeper(taking: Taking, *, is_open: bool = True, due: Waiting | None = None) -> Sweeper:
    due = due or Waiting()
    return Sweeper(
        due, taking, StillClock(), ids=IdFactory(), markets=(), gate_open=lambda: is_open
    )


class ManyHolds(Waiting):
    """More expired holds than one look shows; `gone` are ended."""

    def __init__(self, count: int) -> None:
        self.holds = [HoldId(f"h{n}") for n in range(count)]
        self.gone: list[str] = []

    async def expired_holds(self, now_us: int, limit: int) -> list[HoldId]:  # noqa: ARG002
        return [one for one in self.holds if one not in self.gone][:limit]


async def test_everything_due_is_sent_once() -> None:
    taking = Taking()
    await sweeper(taking).sweep()
    assert sorted(taking.taken) == ["h1", "o1", "o2", "o3"]


async def test_while_the_gate_is_closed_orders_wait() -> None:
    taking = Taking()
    await sweeper(taking, is_open=False).sweep()
    assert taking.taken == ["h1"]


@pytest.mark.parametrize("error", [InvalidTransition(), LookupError()])
async def test_one_that_fails_holds_up_no_other(error: Exception) -> None:
    taking = Taking(error)
    await sweeper(taking).sweep()
    assert sorted(taking.taken) == ["h1", "o1", "o2", "o3"]


async def test_when_nothing_can_be_done_now_the_sweep_says_so() -> None:
    with pytest.raises(Overloaded):
        await sweeper(Taking(Overloaded())).sweep()


async def test_a_crowd_of_expired_holds_is_ended_at_one_go() -> None:
    taking, due = Taking(), ManyHolds(200)
    due.gone = taking.taken
    sweeps = sweeper(taking, is_open=False, due=due)
    while await sweeps.sweep():
        assert len(taking.taken) <= 200
    assert sorted(taking.taken) == sorted(due.holds)


async def test_what_stays_due_is_not_tried_again_at_once() -> None:
    sweeps = sweeper(Taking(), is_open=False, due=ManyHolds(200))
    assert [await sweeps.sweep() for _ in range(3)] == [True, False, False]
