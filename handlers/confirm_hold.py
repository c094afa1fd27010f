"""An order that confirms a hold takes exactly the stock that was kept for it."""

import msgspec

from config.ids import OperationId
from handlers.draft import Draft
from handlers.groups import assign
from routing.sourcing.eligibility import may_serve
from routing.sourcing.problem import Assignment, RoutePlan
from store.gate_port import Cell
from store.ports import HoldFile, OrderFile, Shift
from store.records import Hold, Order


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
    if order.method == "pickup" and order.location is None:
        return False
    assignments = _match(draft, file, hold_file.hold)
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
    file = msgspec.structs.replace(file, plan=_plan(hold_file.hold, assignments))
    assign(draft, file, assignments, OperationId(hold_file.hold.id))
    return True


def _plan(hold: Hold, assignments: tuple[Assignment, ...]) -> RoutePlan | None:
    """Return the hold's own plan, for the order's lines."""
    if hold.plan is None:
        return None
    note = f"decided when hold {hold.id} was placed"
    return msgspec.structs.replace(
        hold.plan, assignments=assignments, reasons=(*hold.plan.reasons, note)
    )


def _serves(draft: Draft, order: Order, hold: Hold) -> bool:
    """Tell whether the hold's places do what the order needs.

    No parcel comes from where nothing is shipped, and nobody collects at a warehouse.
    """
    places = [draft.facts.directory.locations.get(part.location) for part in hold.lines]
    return hold.market == order.market and all(
        place is not None
        and order.location in {None, place.id}
        and may_serve(place, order.market, order.method)
        for place in places
    )


def _match(draft: Draft, file: OrderFile, hold: Hold) -> tuple[Assignment, ...] | None:
    """Deal the held units out to the order's lines; None when they are not exactly the same."""
    order = file.order
    if order.method not in {"ship", "pickup"} or not _serves(draft, order, hold):
        return None
    left = {Cell(part.sku, part.location): part.quantity for part in hold.lines}
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
    return None if any(left.values()) else tuple(result)


def _end(draft: Draft, hold_file: HoldFile, state: str, file: OrderFile) -> None:
    hold = msgspec.structs.replace(hold_file.hold, state=state, order_id=file.order.id)
    draft.save_hold(HoldFile(hold, hold_file.lock))
