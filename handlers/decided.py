"""What a decision comes to: an order assigned, unfilled or undecided; a hold that is kept."""

import msgspec

from config.clock import to_us
from config.ids import MarketId, OrderId
from handlers.cancel import publish_state
from handlers.desk import Desk, HoldWish
from handlers.draft import Draft
from handlers.groups import assign
from handlers.lifecycle import derive_state
from handlers.work_items import What
from routing.sourcing.problem import RoutePlan
from store.gate_port import Operation
from store.ports import HoldFile, Movement, Take
from store.records import Hold, HoldLine

_BY = "routing"


class Decided(msgspec.Struct):
    """What became of the wishes: of holds an answer each, of orders which are decided later."""

    undecided: set[OrderId] = msgspec.field(default_factory=set)
    refused: dict[str, Exception] = msgspec.field(default_factory=dict)
    """Holds that get an error, by the message that asked."""
    held: dict[str, bytes] = msgspec.field(default_factory=dict)
    """Holds that got their stock: their row as JSON, by the message that asked."""
    hard_ms: float = 0.0
    """What the hard routes of this batch take, as estimated."""

    def postpone(self, desk: Desk, order_id: OrderId) -> None:
        """Have an order decided later; it is never lost."""
        draft = Draft(desk, _BY)
        draft.save(msgspec.structs.replace(desk.files[order_id], undecided=True))
        draft.accept()
        self.undecided.add(order_id)


def allocate(
    desk: Desk, order_id: OrderId, plan: RoutePlan, operation: Operation, market: MarketId
) -> None:
    """Assign an order's units to their places, as the gate granted them."""
    draft = Draft(desk, _BY)
    file = msgspec.structs.replace(desk.files[order_id], plan=plan)
    _book(desk, market, operation, "allocated", order_id)
    assign(draft, file, plan.assignments, operation.id)
    draft.accept()


def keep_hold(
    desk: Desk, wish: HoldWish, plan: RoutePlan, operation: Operation, *, epoch: str
) -> bytes:
    """Keep the units that the gate granted to a hold; return its row as JSON."""
    hold: Hold = msgspec.structs.replace(
        wish.hold,
        epoch=epoch,
        plan=plan,
        lines=tuple(HoldLine(c.sku, c.location, units) for c, units in operation.lines),
    )
    _book(desk, hold.market, operation, "held", None)
    draft = Draft(desk, wish.message.by)
    draft.save_hold(HoldFile(hold))
    draft.accept()
    return msgspec.json.encode(hold)


def leave_unfilled(desk: Desk, order_id: OrderId, plan: RoutePlan) -> None:
    """No route: the order is held, with a work item that says what is missing. Never lost."""
    draft = Draft(desk, _BY)
    file = desk.files[order_id]
    what: What = {
        "missing": [f"{d.sku}: {d.quantity}" for d in plan.unfilled],
        "reasons": list(plan.reasons),
    }
    draft.work_items.open("UNFILLABLE", order_id, what, file=file)
    order = msgspec.structs.replace(file.order, hold_reasons=("UNFILLABLE",))
    file = msgspec.structs.replace(file, order=order, plan=plan, undecided=False)
    if derive_state(file) == file.order.state:
        draft.save(file)
    else:
        publish_state(draft, file, "changed", "no stock for all lines")
    draft.accept()


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
