"""The decision of a batch: route every order and hold that waits, and reserve its stock at the gate.

One look at the gate and one reserve call for each market and attempt. A plan is reserved whole or
not at all; what came too late is planned again on what the gate then has, a few times.
"""

import asyncio

import msgspec

from config.clock import to_us
from config.errors import OutcomeUnknown, Rejected, Unavailable
from config.ids import LocationId, MarketId, OperationId, OrderId, Sku
from config.limits import REROUTE_MAX, ROUTE_LOOP_MS_MAX
from handlers.actions import PlaceHold
from handlers.desk import Desk, HoldWish
from handlers.groups import assign
from handlers.lifecycle import derive_state
from routing.sourcing.estimate import estimate_ms
from routing.sourcing.problem import Demand, Problem, RoutePlan
from routing.sourcing.solve import solve
from store.gate_port import Cell, Gate, Granted, Operation, Short
from store.ports import HoldFile, Movement, OrderFile, Take
from store.records import Hold, HoldLine

View = dict[Sku, dict[LocationId, int]]
_ASK_AGAIN = 2


class NoStock(Rejected):
    """There is not enough stock for all lines; ask for less, or for another place."""

    slug = "no-stock"


class Wish(msgspec.Struct, frozen=True):
    """Something that waits for stock: an order (`order_id`) or a hold (`hold`)."""

    id: str
    market: MarketId
    problem: Problem
    order_id: OrderId | None = None
    hold: HoldWish | None = None


class Decided(msgspec.Struct):
    """What became of the wishes that no plan could fill, or that cannot be decided now."""

    undecided: set[OrderId] = msgspec.field(default_factory=set)
    refused: dict[str, Exception] = msgspec.field(default_factory=dict)
    """Holds that get an error, by the message that asked."""
    held: dict[str, bytes] = msgspec.field(default_factory=dict)
    """Holds that got their stock: their row as JSON, by the message that asked."""


async def decide(desk: Desk, gate: Gate) -> Decided:
    """Route and reserve everything that waits on the desk; orders are never lost, only held."""
    decided = Decided()
    by_market: dict[MarketId, list[Wish]] = {}
    for wish in [*_order_wishes(desk), *_hold_wishes(desk)]:
        by_market.setdefault(wish.market, []).append(wish)
    for market, wishes in by_market.items():
        await _Market(desk, gate, market, decided).decide(wishes)
    return decided


class _Market:
    """The wishes of one market against its gate."""

    def __init__(self, desk: Desk, gate: Gate, market: MarketId, decided: Decided) -> None:
        self._desk = desk
        self._gate = gate
        self._market = market
        self._decided = decided
        self._view: View = {}

    async def decide(self, wishes: list[Wish]) -> None:
        skus = frozenset(d.sku for wish in wishes for d in wish.problem.demands)
        try:
            self._view = await self._gate.available(self._market, skus)
            for _ in range(REROUTE_MAX + 1):
                wishes = await self._attempt(wishes)
                if not wishes:
                    return
            for wish in wishes:
                self._refuse(wish, await _solve(wish.problem, self._view))
        except Unavailable as error:
            self._defer(wishes, error)

    async def _attempt(self, wishes: list[Wish]) -> list[Wish]:
        """Plan all, reserve all that can be filled; return those that came too late."""
        asked: list[tuple[Wish, RoutePlan, Operation]] = []
        seen = {sku: dict(places) for sku, places in self._view.items()}
        for wish in wishes:
            plan = await _solve(wish.problem, seen)
            if plan.unfilled or not plan.assignments:
                self._refuse(wish, plan)
                continue
            operation = _operation(self._desk, plan)
            for cell, units in operation.lines:
                seen[cell.sku][cell.location] -= units
            asked.append((wish, plan, operation))
        answers = await self._reserve(tuple(operation for _, _, operation in asked))
        late = []
        for (wish, plan, operation), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Granted):
                for cell, units in operation.lines:
                    self._view[cell.sku][cell.location] -= units
                self._grant(wish, plan, operation, answer.epoch)
            else:
                for cell, units in answer.cells:
                    self._view.setdefault(cell.sku, {})[cell.location] = units
                late.append(wish)
        return late

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
        if wish.hold is not None:
            row = _keep(desk, wish.hold, operation, epoch)
            self._decided.held[wish.hold.message.id] = row
            return
        if wish.order_id is None:
            raise AssertionError("a wish is an order's or a hold's")
        draft = desk.draft("routing")
        file = msgspec.structs.replace(desk.files[wish.order_id], plan=plan)
        _book(desk, self._market, operation, "allocated", wish.order_id)
        assign(draft, file, plan.assignments, operation.id)
        draft.accept()

    def _refuse(self, wish: Wish, plan: RoutePlan) -> None:
        if wish.hold is not None:
            short = [f"{d.sku}: {d.quantity} missing" for d in plan.unfilled]
            self._decided.refused[wish.hold.message.id] = NoStock(", ".join(short), missing=short)
        elif wish.order_id is not None:
            hold_back(self._desk, wish.order_id, plan)

    def _defer(self, wishes: list[Wish], error: Unavailable) -> None:
        for wish in wishes:
            if wish.hold is not None:
                self._decided.refused[wish.hold.message.id] = error
            elif wish.order_id is not None and not _is_settled(self._desk, wish):
                file = self._desk.files[wish.order_id]
                draft = self._desk.draft("routing")
                draft.save(msgspec.structs.replace(file, undecided=True))
                draft.accept()
                self._decided.undecided.add(wish.order_id)


def hold_back(desk: Desk, order_id: OrderId, plan: RoutePlan) -> None:
    """No route: the order is held, with a work item that says what is missing. Never lost."""
    draft = desk.draft("routing")
    file = desk.files[order_id]
    what: dict[str, str | int | list[str]] = {
        "missing": [f"{d.sku}: {d.quantity}" for d in plan.unfilled],
        "reasons": list(plan.reasons),
    }
    draft.open_exception("UNFILLABLE", order_id, what, file=file)
    order = msgspec.structs.replace(file.order, hold_reasons=("UNFILLABLE",))
    file = msgspec.structs.replace(file, order=order, plan=plan, undecided=False)
    if file.order.state == "held":
        draft.save(file)
    else:
        state = derive_state(file)
        order = msgspec.structs.replace(order, state=state)
        file = msgspec.structs.replace(file, order=order)
        draft.order_event(file, "held" if state == "held" else "changed", "no stock for all lines")
    draft.accept()


def _is_settled(desk: Desk, wish: Wish) -> bool:
    """Tell whether an earlier attempt already placed or held this order."""
    if wish.order_id is None:
        return False
    order = desk.files[wish.order_id].order
    return "UNFILLABLE" in order.hold_reasons or not any(
        line.requires_shipping and line.unassigned for line in order.lines
    )


def _order_wishes(desk: Desk) -> list[Wish]:
    wishes = []
    for order_id, excluded in desk.to_route.items():
        file = desk.files[order_id]
        if file.order.state == "cancelled":
            continue
        problem = _problem(desk, file, excluded)
        if problem.demands:
            wishes.append(Wish(order_id, file.order.market, problem, order_id=order_id))
    return wishes


def _problem(desk: Desk, file: OrderFile, excluded: tuple[str, ...]) -> Problem:
    order, facts = file.order, desk.facts
    demands = tuple(
        Demand(line.id, line.sku, line.unassigned, line.unit_price_minor)
        for line in order.lines
        if line.requires_shipping and line.unassigned > 0 and line.sku
    )
    left = None
    if order.promise_latest is not None:
        left = (order.promise_latest - facts.now).total_seconds() / 3600
    return Problem(
        market=facts.directory.markets[order.market],
        locations=facts.directory.places_in(order.market),
        available={},
        demands=demands,
        method="pickup" if order.method == "pickup" else "ship",
        destination=order.destination,
        only=(order.location,) if order.location else (),
        excluded=tuple(LocationId(one) for one in excluded),
        hours_left=left,
    )


def _hold_wishes(desk: Desk) -> list[Wish]:
    directory = desk.facts.directory
    wishes = []
    for message_id, wish in desk.to_hold.items():
        asked = next(task for task in wish.message.tasks if isinstance(task, PlaceHold))
        market = asked.market
        problem = Problem(
            market=directory.markets[market],
            locations=directory.places_in(market),
            available={},
            demands=tuple(
                Demand(str(i), line.sku, line.quantity) for i, line in enumerate(asked.lines)
            ),
            method="pickup" if asked.location else "ship",
            only=(asked.location,) if asked.location else (),
        )
        wishes.append(Wish(message_id, market, problem, hold=wish))
    return wishes


async def _solve(problem: Problem, view: View) -> RoutePlan:
    """Solve on what is free now; what would hold up the event loop runs beside it."""
    skus = {demand.sku for demand in problem.demands}
    free = {sku: {p: n for p, n in view.get(sku, {}).items() if n > 0} for sku in skus}
    problem = msgspec.structs.replace(problem, available=free)
    if estimate_ms(problem) > ROUTE_LOOP_MS_MAX:
        return await asyncio.to_thread(solve, problem)
    return solve(problem)


def _operation(desk: Desk, plan: RoutePlan) -> Operation:
    cells: dict[Cell, int] = {}
    for one in plan.assignments:
        cell = Cell(one.sku, one.location)
        cells[cell] = cells.get(cell, 0) + one.quantity
    return Operation(OperationId(desk.facts.new_id()), tuple(sorted(cells.items())))


def _book(
    desk: Desk, market: MarketId, operation: Operation, kind: str, order_id: OrderId | None
) -> None:
    """Have the ledger take what the gate granted, under the same operation id."""
    column = "held" if kind == "held" else "allocated"
    for cell, units in operation.lines:
        before = desk.takes.get(cell, Take())
        more = {column: getattr(before, column) + units}
        desk.takes[cell] = msgspec.structs.replace(before, **more)
    desk.changes.movements.append(
        Movement(
            operation_id=operation.id,
            kind=kind,
            market=market,
            lines=tuple((c.sku, c.location, {column: units}) for c, units in operation.lines),
            at_us=to_us(desk.facts.now),
            order_id=order_id,
        )
    )


def _keep(desk: Desk, wish: HoldWish, operation: Operation, epoch: str) -> bytes:
    hold: Hold = msgspec.structs.replace(
        wish.hold,
        epoch=epoch,
        lines=tuple(HoldLine(c.sku, c.location, units) for c, units in operation.lines),
    )
    _book(desk, hold.market, operation, "held", None)
    draft = desk.draft(wish.message.by)
    draft.save_hold(HoldFile(hold))
    draft.accept()
    return msgspec.json.encode(hold)
