"""An order that confirms a hold takes exactly the stock that was kept for it."""

import msgspec

from config.ids import OperationId
from handlers.draft import Draft
from handlers.groups import assign
from routing.sourcing.problem import Assignment
from store.gate_port import Cell
from store.ports import HoldFile, OrderFile, Shift


def confirm_hold(draft: Draft, file: OrderFile) -> bool:
    """Turn the hold into the order's allocation; False: route the order as any other.

    A hold that has ended, or that does not match the order line by line, is not used: it is given
    back, and the order is decided once that is committed (an expired hold revives only by a fresh
    check of availability).
    """
    order = file.order
    hold_file = draft.hold(order.hold_id) if order.hold_id else None
    if hold_file is None or hold_file.hold.state != "held":
        return False
    if any(line.unassigned and not line.sku for line in order.lines):
        return False
    assignments = _match(file, hold_file)
    cells = {
        Cell(line.sku, line.location): Shift(held=-line.quantity) for line in hold_file.hold.lines
    }
    if assignments is None:
        draft.move("hold_released", hold_file.hold.market, cells, reason="does not match the order")
        _end(draft, hold_file, "released", file)
        draft.save(msgspec.structs.replace(file, undecided=True))
        return True
    moved = {cell: shift.plus(Shift(allocated=-shift.held)) for cell, shift in cells.items()}
    draft.move("allocated", order.market, moved, order_id=order.id, reason="hold confirmed")
    _end(draft, hold_file, "confirmed", file)
    assign(draft, file, assignments, OperationId(hold_file.hold.id))
    return True


def _match(file: OrderFile, hold_file: HoldFile) -> tuple[Assignment, ...] | None:
    """Deal the held units out to the order's lines; None when they are not exactly the same."""
    order = file.order
    if order.method not in {"ship", "pickup"} or hold_file.hold.market != order.market:
        return None
    left = {Cell(part.sku, part.location): part.quantity for part in hold_file.hold.lines}
    result: list[Assignment] = []
    for line in order.lines:
        need = line.unassigned if line.requires_shipping else 0
        for cell, free in left.items():
            if cell.sku == line.sku and (units := min(need, free)):
                result.append(Assignment(line.id, cell.sku, cell.location, units))
                left[cell] = free - units
                need -= units
        if need:
            return None
    if any(left.values()):
        return None
    if order.location and any(one.location != order.location for one in result):
        return None
    return tuple(result)


def _end(draft: Draft, hold_file: HoldFile, state: str, file: OrderFile) -> None:
    hold = msgspec.structs.replace(hold_file.hold, state=state, order_id=file.order.id)
    draft.save_hold(HoldFile(hold, hold_file.lock))
