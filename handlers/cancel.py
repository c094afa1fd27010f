"""Cancelling units: free ones first, then from fulfilments that are still with us."""

import msgspec

from config.ids import LineId
from handlers.commands import CancelOrder
from handlers.desk import Draft
from handlers.lifecycle import cancellable, derive_state, state_event, with_line_changes
from handlers.outcome import Applied
from store.gate_port import Cell
from store.ports import OrderFile, Shift
from store.records import Fulfilment, FulfilmentLine


def cancel_order(draft: Draft, command: CancelOrder) -> Applied | None:
    """Cancel what the command names, everything open when it names nothing; None: no such order.

    Units that have left are not cancelled: the first committed wins, and the rest is a work item.
    """
    file = draft.order_of_ref(command.order.source, command.order.ref)
    if file is None:
        return None
    order_id = file.order.id
    if not any(line.open for line in file.order.lines):
        return "ignored", order_id, f"nothing is open: the order is {file.order.state}"
    if not command.lines:
        cancel_everything(draft, file, command.reason)
        return "applied", order_id, ""
    by_ref = {line.line_ref: line for line in file.order.lines}
    wanted: dict[LineId, int] = {}
    for asked in command.lines:
        if asked.line_ref in by_ref:
            line_id = by_ref[asked.line_ref].id
            wanted[line_id] = wanted.get(line_id, 0) + asked.quantity
    file = cancel_units(draft, file, wanted, command.reason)
    publish_state(draft, file, "amended", command.reason)
    return "applied", order_id, ""


def cancel_everything(draft: Draft, file: OrderFile, reason: str) -> OrderFile:
    """Cancel every unit that is still with us and tell of the order's new state."""
    everything = {line.id: line.open for line in file.order.lines if line.open}
    order = msgspec.structs.replace(file.order, hold_reasons=())
    file = cancel_units(draft, msgspec.structs.replace(file, order=order), everything, reason)
    for code in ("UNFILLABLE", "UNMAPPED_ITEM", "UNMAPPED_PLACE"):
        draft.resolve_exception(code, file.order.id)
    file = msgspec.structs.replace(file, undecided=False)
    return publish_state(draft, file, "changed", reason)


def cancel_units(
    draft: Draft, file: OrderFile, wanted: dict[LineId, int], reason: str
) -> OrderFile:
    """Cancel so many units per line; what cannot be taken back any more becomes a work item."""
    changes: dict[LineId, dict[str, int]] = {}
    left = dict(wanted)
    for line in file.order.lines:
        free = min(left.get(line.id, 0), line.unassigned + line.short)
        short = max(0, free - line.unassigned)
        if free:
            changes[line.id] = {"cancelled": free, "short": -short}
            left[line.id] -= free
    file = draft.save(msgspec.structs.replace(file, order=with_line_changes(file.order, changes)))
    for group in file.fulfilments:
        if any(left.values()) and cancellable(group.fulfilment):
            file = _take_back(draft, file, group.fulfilment, left)
    if gone := {line: units for line, units in left.items() if units > 0}:
        what: dict[str, str | int | list[str]] = {
            "reason": reason,
            "lines": [f"{line}: {units}" for line, units in sorted(gone.items())],
        }
        draft.open_exception("CANCEL_RACE", file.order.id, what, file=file)
    return file


def release(
    draft: Draft, file: OrderFile, fulfilment: Fulfilment, units: dict[LineId, int], reason: str
) -> OrderFile:
    """Give allocated units of a fulfilment back to its location's stock."""
    cells: dict[Cell, Shift] = {}
    for line in fulfilment.lines:
        if back := units.get(line.line_id, 0):
            cell = Cell(line.sku, fulfilment.location)
            cells[cell] = cells.get(cell, Shift()).plus(Shift(allocated=-back))
            draft.commit_units(file.order, cell, -back)
    order = file.order
    draft.move("released", order.market, cells, order_id=order.id, reason=reason)
    changes = {line: {"allocated": -count} for line, count in units.items() if count}
    return draft.save(msgspec.structs.replace(file, order=with_line_changes(order, changes)))


def publish_state(draft: Draft, file: OrderFile, event: str, detail: str = "") -> OrderFile:
    """Set the header state that lines and fulfilments add up to, and publish it."""
    before = file.order.state
    after = derive_state(file)
    order = msgspec.structs.replace(file.order, state=after)
    name = state_event(before, after) if after != before else event
    name = event if name == "changed" else name
    return draft.order_event(msgspec.structs.replace(file, order=order), name, detail)


def _take_back(
    draft: Draft, file: OrderFile, fulfilment: Fulfilment, left: dict[LineId, int]
) -> OrderFile:
    back: dict[LineId, int] = {}
    lines: list[FulfilmentLine] = []
    for line in fulfilment.lines:
        units = min(left.get(line.line_id, 0), line.quantity)
        back[line.line_id] = back.get(line.line_id, 0) + units
        left[line.line_id] = left.get(line.line_id, 0) - units
        lines.append(msgspec.structs.replace(line, quantity=line.quantity - units))
    if not any(back.values()):
        return file
    file = release(draft, file, fulfilment, back, "cancelled")
    cancelled = {line: {"cancelled": units} for line, units in back.items() if units}
    file = draft.save(msgspec.structs.replace(file, order=with_line_changes(file.order, cancelled)))
    empty = not any(line.quantity for line in lines)
    changed = msgspec.structs.replace(
        fulfilment,
        lines=fulfilment.lines if empty else tuple(line for line in lines if line.quantity),
        state="cancelled" if empty else fulfilment.state,
    )
    return draft.fulfilment_event(file, changed, "cancelled" if empty else "changed")
