"""Any life of two orders over scarce stock: what is kept agrees, and a repeat changes nothing."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.errors import Rejected
from handlers.actions import FulfilmentAction, Task
from handlers.message import Message, Outcome
from store.records import Fulfilment, Order
from tests.integration.handlers.asking import (
    PAY,
    SHOP,
    act,
    by_hand,
    cancel,
    lines,
    message,
    order,
    payment,
    pickup,
    refund,
    refunded,
)
from tests.integration.handlers.world import World

STOCKED = {"leeds": 3, "york": 2, "hub": 2}
DAY_S = 86_400.0
ACTIONS: tuple[FulfilmentAction, ...] = (
    "acknowledge",
    "start",
    "pick",
    "stage",
    "ready",
    "collect",
    "pack",
    "hand-off",
    "deliver",
    "reject",
)
whose = st.sampled_from("AB")
steps = st.one_of(
    st.tuples(st.just("snapshot"), whose, st.integers(0, 5)),
    st.tuples(st.just("snapshot"), whose, st.integers(1, 4)),
    st.tuples(st.just("late snapshot"), whose, st.integers(1, 4)),
    st.tuples(st.just("cancel"), whose, st.integers(0, 3)),
    st.tuples(st.just("paid"), whose, st.integers(1, 3)),
    st.tuples(st.just("refund"), whose, st.integers(1, 2)),
    st.tuples(st.just("act"), whose, st.integers(0, len(ACTIONS) - 1)),
    st.tuples(st.just("work"), whose, st.integers(1, len(ACTIONS))),
    st.tuples(st.just("short"), whose, st.just(1)),
    st.tuples(
        st.sampled_from(["again", "clock on", "clock back", "sweep", "rebuild"]), whose, whose
    ),
)
_numbers = iter(range(10**9))


class Life:
    """Two orders for one item, which nobody else wants; the reference is how many units there are."""

    def __init__(self, world: World) -> None:
        number = next(_numbers)
        self.world = world
        self.sku = f"LIFE{number}"
        self._refs = {name: f"{name}{number}" for name in "AB"}
        self._version = 100
        self._sent: list[Message] = []
        self._waiting: list[Message] = []

    async def begin(self) -> None:
        await self.world.stock(**{f"{self.sku}_{place}": n for place, n in STOCKED.items()})

    async def do(self, step: str, name: str, number: Any, *, batch: int) -> None:
        if task := self._told(step, name, number):
            self._waiting.append(message(task, source=PAY if step == "paid" else SHOP))
        if step == "again" and self._sent:
            self._waiting.append(self._sent[len(self._waiting) % len(self._sent)])
        if len(self._waiting) >= batch or not task:
            await self.flush()
        await self._work(step, name, number)

    async def _work(self, step: str, name: str, number: Any) -> None:
        match step:
            case "act":
                await self._act(name, ACTIONS[number])
            case "work":
                await self._act(name, *ACTIONS[:number])
            case "short":
                await self._act(name, "short")
            case "clock on":
                self.world.clock.advance(DAY_S)
            case "clock back":
                self.world.clock.advance(-DAY_S)
            case "sweep":
                await self.world.sweep()
            case "rebuild":
                await self.world.open_gate()

    def _told(self, step: str, name: str, number: Any) -> Task | None:
        ref = self._refs[name]
        self._version += 1
        match step:
            case "snapshot" | "late snapshot":
                version = self._version if step == "snapshot" else self._version - 50
                asked = lines(**{self.sku: number})
                told = order(ref, asked, version, total_minor=100 * number)
                if name == "B":
                    told = msgspec.structs.replace(told, delivery=pickup())
                return told
            case "cancel":
                units = {self.sku: number} if number else {}
                return cancel(ref, self._version, **units)
            case "paid":
                return payment("captured", 100 * number, self._version, ref, f"p{ref}")
            case "refund":
                back = (refunded(self.sku, number, "cancel"),)
                return refund("succeeded", self._version, ref, back, f"p{ref}")
        return None

    async def flush(self) -> None:
        """Send what waits as one batch: every webhook has an outcome, and none meets a defect."""
        batch, self._waiting = self._waiting, []
        for one, settled in zip(batch, await self.world.ask(*batch), strict=True):
            assert isinstance(settled, Outcome), (one, settled)
            assert not (settled.reason or "").startswith("cannot be applied"), (one, settled)
            if one in self._sent:
                assert settled.name == "duplicate"
            self._sent.append(one)

    async def _act(self, name: str, *actions: FulfilmentAction) -> None:
        for action in actions:
            for group in await self._groups(name):
                short = {self.sku: 1} if action == "short" else {}
                task = act(group.id, action, group.version, **short)
                (settled,) = await self.world.ask(by_hand(task))
                assert isinstance(settled, Outcome | Rejected), settled

    async def end(self) -> None:
        """Everything that was sent comes again: nothing that anybody can see changes."""
        await self.flush()
        await self.world.sweep()
        await self._check_units()
        before = await self._seen()
        for one in self._sent:
            (settled,) = await self.world.ask(one)
            assert isinstance(settled, Outcome)
            assert settled.name == "duplicate"
        assert await self._seen() == before
        await self.world.check_invariants()

    async def _check_units(self) -> None:
        """What is not on the shelves is gone with an order, or was missed there."""
        gone = missed = 0
        for name in "AB":
            for group in await self._groups(name):
                missed += sum(line.short for line in group.lines)
            gone += sum(line.handed_off for one in await self._orders(name) for line in one.lines)
        levels = [await self.world.level(self.sku, place) for place in STOCKED]
        assert sum(level.on_hand for level in levels) == sum(STOCKED.values()) - gone - missed
        assert all(level.available >= 0 for level in levels)

    async def _seen(self) -> tuple[Any, ...]:
        kept = [await self._orders(name) for name in "AB"]
        levels = [await self.world.level(self.sku, place) for place in STOCKED]
        return kept, levels, len(await self.world.events())

    async def _orders(self, name: str) -> list[Order]:
        """Return the order, of which there is one at most."""
        found = [one for one in await self.world.orders() if one.external_id == self._refs[name]]
        assert len(found) <= 1
        return found

    async def _groups(self, name: str) -> list[Fulfilment]:
        found = [await self.world.reader.fulfilments_of(x.id) for x in await self._orders(name)]
        return [group for groups in found for group in groups]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(
    script=[("snapshot", "A", 4), ("work", "A", 8), ("cancel", "A", 0), ("snapshot", "A", 5)],
    batch=1,
)
@example(
    script=[("cancel", "B", 2), ("snapshot", "B", 3), ("act", "B", 0), ("short", "B", 1)], batch=2
)
@given(script=st.lists(steps, min_size=3, max_size=14), batch=st.integers(1, 4))
async def test_any_life_of_orders_keeps_every_promise(
    sqlite_world: World, script: Sequence[tuple[str, str, Any]], batch: int
) -> None:
    life = Life(sqlite_world)
    await life.begin()
    for step, name, number in script:
        await life.do(step, name, number, batch=batch)
    await life.end()
