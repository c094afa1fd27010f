"""The decision of a batch: route every order and hold that waits, and reserve its stock at the gate.

One look at the gate and one reserve call for each market and attempt. A plan is reserved whole or
not at all; what came too late is planned again on what the gate then has, a few times.
"""

import asyncio
from typing import Protocol

import msgspec

from config import crash
from config.errors import OutcomeUnknown, Rejected, Unavailable
from config.ids import LocationId, MarketId, OperationId, Sku
from config.limits import REROUTE_MAX, ROUTE_BATCH_MS_MAX, ROUTE_LOOP_MS_MAX
from handlers.decided import Decided, allocate, keep_hold, leave_unfilled
from handlers.desk import Desk
from handlers.wishes import Wish, hold_wishes, order_wishes, stranded
from routing.sourcing.estimate import estimate_ms
from routing.sourcing.problem import Problem, RoutePlan
from routing.sourcing.solve import solve, solve_at_once
from store.gate_port import Cell, Gate, Granted, Operation, Short
from store.ports import Shift, Take

View = dict[Sku, dict[LocationId, int]]
_ASK_AGAIN = 2


class NoStock(Rejected):
    """There is not enough stock for all lines; ask for less, or for another place."""

    slug = "no-stock"


class Ledger(Protocol):
    """What the truth has free, read in the batch's own transaction."""

    async def available(self, market: MarketId, skus: frozenset[Sku]) -> dict[Cell, int]:
        """Return the units available per cell of these SKUs; negative where too much is promised."""
        ...


_Asked = tuple[Wish, RoutePlan, Operation]


async def decide(desk: Desk, gate: Gate, ledger: Ledger) -> Decided:
    """Route and reserve everything that waits on the desk; orders are never lost, only held."""
    decided = Decided()
    for order_id in stranded(desk):
        decided.postpone(desk, order_id)
    by_market: dict[MarketId, list[Wish]] = {}
    for wish in [*order_wishes(desk), *hold_wishes(desk)]:
        by_market.setdefault(wish.market, []).append(wish)
    for market, wishes in by_market.items():
        await _Market(desk, gate, ledger, market, decided).decide(wishes)
    return decided


class _Market:
    """The wishes of one market against its gate."""

    def __init__(
        self, desk: Desk, gate: Gate, ledger: Ledger, market: MarketId, decided: Decided
    ) -> None:
        self._desk = desk
        self._gate = gate
        self._ledger = ledger
        self._market = market
        self._decided = decided
        self._view: View = {}
        self._expected: dict[Cell, int] = {}
        self._open: dict[str, Wish] = {}

    async def decide(self, wishes: list[Wish]) -> None:
        """Settle every wish: granted, held for want of stock, or decided later."""
        self._open = {wish.id: wish for wish in wishes}
        skus = frozenset(d.sku for wish in wishes for d in wish.problem.demands)
        try:
            self._view = await self._gate.available(self._market, skus)
            self._expect(skus)
            for _ in range(REROUTE_MAX + 1):
                if self._open:
                    await self._attempt()
            late = Unavailable("others were faster each time; ask again")
            self._defer(late)
        except Unavailable as error:
            self._defer(error)

    def _expect(self, skus: frozenset[Sku]) -> None:
        """Count what earlier messages of this batch take from stock as gone already."""
        for cell, (_, shift) in self._desk.shifts.items():
            if cell.sku in skus and shift.available < 0:
                self._expected[cell] = shift.available
                self._see(cell, self._view.get(cell.sku, {}).get(cell.location, 0))

    def _see(self, cell: Cell, units: int) -> None:
        """Note what the gate has, less what this batch takes from stock."""
        places = self._view.setdefault(cell.sku, {})
        places[cell.location] = units + self._expected.get(cell, 0)

    async def _attempt(self) -> None:
        """Plan all, reserve all that can be filled; who came too late stays open.

        Then whoever stands behind may have been refused for units that nobody took, so nobody is
        refused in such an attempt.
        """
        asked, refused = await self._plan_all()
        crash.here("gate.before_reserve")
        answers = await self._reserve(tuple(operation for _, _, operation in asked))
        crash.here("gate.reserved")
        late = False
        for (wish, plan, operation), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Granted):
                self._grant(wish, plan, operation, answer.epoch)
                continue
            late = True
            for cell, units in answer.cells:
                self._see(cell, units)
        if not late:
            await self._refuse_all(refused)

    async def _plan_all(self) -> tuple[list[_Asked], list[tuple[Wish, RoutePlan]]]:
        """Plan every open wish on what those before it leave: what to reserve, and what cannot be."""
        asked: list[_Asked] = []
        refused: list[tuple[Wish, RoutePlan]] = []
        seen = {sku: dict(places) for sku, places in self._view.items()}
        for wish in list(self._open.values()):
            plan = await self._solve(wish, seen)
            if plan is None:
                continue
            if plan.unfilled or not plan.assignments:
                refused.append((wish, plan))
                continue
            operation = _operation(self._desk, plan)
            for cell, units in operation.lines:
                seen[cell.sku][cell.location] -= units
            asked.append((wish, plan, operation))
        return asked, refused

    async def _refuse_all(self, refused: list[tuple[Wish, RoutePlan]]) -> None:
        """Refuse those for whom the ledger has no more than the gate; the others are decided later.

        The gate may refuse wrongly: another process may hold units for a moment that it gives back, or
        may have died with them. An order that the truth could fill is undecided, not unfillable.
        """
        missing = frozenset(d.sku for _, plan in refused for d in plan.unfilled)
        truth = await self._truth(missing) if missing else {}
        for wish, plan in refused:
            more = any(
                units > self._view.get(d.sku, {}).get(place, 0)
                for d in plan.unfilled
                for place, units in truth.get(d.sku, {}).items()
            )
            other = await self._solve(wish, {**self._view, **truth}) if more else plan
            if other is None:
                continue
            if more and not other.unfilled:
                self._wait(wish, Unavailable("somebody else holds the last units; ask again"))
            else:
                self._refuse(wish, plan)

    async def _solve(self, wish: Wish, view: View) -> RoutePlan | None:
        """Solve on what is free now; None: too much for this batch, so it is decided later.

        What would hold up the event loop runs beside it. The batch's transaction is open meanwhile and
        every sender waits, so there is a bound on that; the first hard one is always solved.
        """
        rows = {demand.sku: view.get(demand.sku, {}) for demand in wish.problem.demands}
        plan = solve_at_once(msgspec.structs.replace(wish.problem, available=rows))
        if plan is not None:
            return plan
        free = {sku: {p: n for p, n in row.items() if n > 0} for sku, row in rows.items()}
        problem = msgspec.structs.replace(wish.problem, available=free)
        expected_ms = estimate_ms(problem)
        if expected_ms <= ROUTE_LOOP_MS_MAX:
            return solve(problem)
        before_ms = self._decided.hard_ms
        if before_ms and before_ms + expected_ms > ROUTE_BATCH_MS_MAX:
            self._wait(wish, Unavailable("many hard orders are routed now; ask again"))
            return None
        self._decided.hard_ms += expected_ms
        return await asyncio.to_thread(solve, problem)

    async def _truth(self, skus: frozenset[Sku]) -> View:
        """Return what the ledger has free, less what this batch takes."""
        cells = await self._ledger.available(self._market, skus)
        view: View = {}
        for cell, units in cells.items():
            take = self._desk.takes.get(cell, Take())
            _, shift = self._desk.shifts.get(cell, (self._market, Shift()))
            left = units - take.allocated - take.held + min(0, shift.available)
            view.setdefault(cell.sku, {})[cell.location] = left
        return view

    async def _reserve(self, operations: tuple[Operation, ...]) -> tuple[Granted | Short, ...]:
        """Reserve; a lost answer is asked for again with the same ids."""
        if not operations:
            return ()
        granted = self._desk.granted.setdefault(self._market, [])
        granted.extend(operation.id for operation in operations)
        for _ in range(_ASK_AGAIN):
            try:
                return await self._gate.reserve(self._market, operations)
            except OutcomeUnknown:
                continue
        return await self._gate.reserve(self._market, operations)

    def _grant(self, wish: Wish, plan: RoutePlan, operation: Operation, epoch: str) -> None:
        desk = self._desk
        desk.epochs[self._market] = epoch
        del self._open[wish.id]
        for cell, units in operation.lines:
            self._view[cell.sku][cell.location] -= units
        if wish.hold is not None:
            row = keep_hold(desk, wish.hold, plan, operation, epoch=epoch)
            self._decided.held[wish.hold.message.id] = row
        if wish.order_id is not None:
            allocate(desk, wish.order_id, plan, operation, self._market)

    def _refuse(self, wish: Wish, plan: RoutePlan) -> None:
        """No stock for all of it: refuse a hold, hold an order; or wait for what this batch frees."""
        del self._open[wish.id]
        if wish.hold is not None:
            short = [f"{d.sku}: {d.quantity} missing" for d in plan.unfilled]
            self._decided.refused[wish.hold.message.id] = NoStock(", ".join(short), missing=short)
        elif wish.order_id is not None and self._is_freed(wish.problem, plan):
            self._decided.postpone(self._desk, wish.order_id)
        elif wish.order_id is not None:
            leave_unfilled(self._desk, wish.order_id, plan)

    def _is_freed(self, problem: Problem, plan: RoutePlan) -> bool:
        """Tell whether this batch frees units of what is missing, which the gate cannot know yet."""
        missing = {demand.sku for demand in plan.unfilled}
        places = set(problem.only or (place.id for place in problem.locations))
        places -= set(problem.excluded)
        return any(
            cell.sku in missing and cell.location in places and shift.available > 0
            for cell, (_, shift) in self._desk.shifts.items()
        )

    def _defer(self, error: Unavailable) -> None:
        for wish in list(self._open.values()):
            self._wait(wish, error)

    def _wait(self, wish: Wish, error: Unavailable) -> None:
        """Have an order decided later; a hold's asker is told to ask again."""
        del self._open[wish.id]
        if wish.hold is not None:
            self._decided.refused[wish.hold.message.id] = error
        elif wish.order_id is not None:
            self._decided.postpone(self._desk, wish.order_id)


def _operation(desk: Desk, plan: RoutePlan) -> Operation:
    """Return what a plan needs of the gate, under a new id: its units by cell, in the cells' order."""
    cells: dict[Cell, int] = {}
    for one in plan.assignments:
        cell = Cell(one.sku, one.location)
        cells[cell] = cells.get(cell, 0) + one.quantity
    return Operation(OperationId(desk.facts.new_id()), tuple(sorted(cells.items())))
