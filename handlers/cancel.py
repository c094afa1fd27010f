"""Cancelling units: free ones first, then from fulfilments that are still with us."""

import msgspec

from config.ids import LineId
from handlers.commands import CancelOrder
from handlers.draft import Draft
from handlers.lifecycle import (
    cancellable,
    derive_state,
    is_open,
    is_picked,
    progress,
    state_event,
    untouched,
    with_line_changes,
)
from handlers.outcome import Applied
from handlers.settle import settle_or_route
from handlers.work_items import What
from store.gate_port import Cell
from store.ports import OrderFile, Shift
from store.records import Cut, Fulfilment, Order

_OPEN_CODES = ("UNFILLABLE", "UNMAPPED_ITEM", "UNMAPPED_PLACE")


def cancel_order(draft: Draft, command: CancelOrder) -> Applied | None:
    """Cancel what the command names, everything when it names nothing; None: no such order.

    Units that have left are not cancelled: the first committed wins, and the rest is a work item.
    A cancel of some units that the order's present version tells already does nothing.
    """
    file = draft.order_of_ref(command.order.source, command.order.ref)
    if file is None:
        return None
    order = file.order
    if order.state == "cancelled":
        return "ignored", order.id, "the order is cancelled already"
    if not command.lines:
        cancel_everything(draft, file, command.reason)
        return "applied", order.id, ""
    if reason := _told_before(order, command):
        return "ignored", order.id, reason
    order = with_cuts(order, command.version, _units(command))
    file = draft.save(msgspec.structs.replace(file, order=order))
    cancel_some(draft, file, _wanted(order, command), command.reason, "amended")
    return "applied", order.id, ""


def _units(command: CancelOrder) -> tuple[tuple[str, int], ...]:
    return tuple((asked.line_ref, asked.quantity) for asked in command.lines)


def _told_before(order: Order, command: CancelOrder) -> str:
    """Say how a cancel of some units is told already, '' where it is not, or has no version."""
    if not command.version:
        return ""
    if command.version <= order.source_version:
        return "stale: a newer version of the order has told it"
    if {Cut(command.version, *one) for one in _units(command)} <= set(order.cuts):
        return "these units of this version are cancelled already"
    return ""


def with_cuts(order: Order, version: int, units: tuple[tuple[str, int], ...]) -> Order:
    """Remember units that are cancelled apart from the order, until a version of it knows of them.

    Without a version nobody can tell which of the two is newer.
    """
    if version <= order.source_version:
        return order
    cuts = tuple(Cut(version, line_ref, count) for line_ref, count in units if count)
    return msgspec.structs.replace(order, cuts=(*order.cuts, *cuts))


def cancel_everything(draft: Draft, file: OrderFile, reason: str) -> OrderFile:
    """Cancel every unit that is still with us, tell of the order's new state, and of the rest."""
    everything = {line.id: line.ordered - line.cancelled for line in file.order.lines}
    order = msgspec.structs.replace(file.order, hold_reasons=())
    before = msgspec.structs.replace(file, order=order, undecided=False)
    file = cancel_units(draft, before, everything, reason)
    for code in _OPEN_CODES:
        draft.work_items.resolve(code, order.id)
    if not any(line.handed_off for line in order.lines):
        return _published(draft, file, "cancelled", reason)
    if file.order.lines == order.lines:
        return draft.save(file)
    return publish_state(draft, file, "changed", reason)


def cancel_some(
    draft: Draft, file: OrderFile, wanted: dict[LineId, int], reason: str, event: str
) -> OrderFile:
    """Cancel some units, publish it, and see whether what is left can be placed now."""
    file = cancel_units(draft, file, wanted, reason)
    file = publish_state(draft, file, event, reason)
    if file.order.state == "cancelled":
        for code in _OPEN_CODES:
            draft.work_items.resolve(code, file.order.id)
    elif file.order.hold_reasons:
        file = settle_or_route(draft, file)
    return file


def cancel_units(
    draft: Draft, file: OrderFile, wanted: dict[LineId, int], reason: str
) -> OrderFile:
    """Cancel so many units per line; what cannot be taken back any more becomes a work item."""
    left = dict(wanted)
    file = _cancel_free(draft, file, left)
    groups = [group.fulfilment for group in file.fulfilments if cancellable(group.fulfilment)]
    for group in sorted(groups, key=progress):
        back = _share(group, left)
        if any(back.values()):
            file = _take_back(draft, file, group, back)
    if gone := {line: units for line, units in left.items() if units > 0}:
        lines = [f"{line}: {units}" for line, units in sorted(gone.items())]
        what: What = {"reason": reason, "lines": lines}
        draft.work_items.open("CANCEL_RACE", file.order.id, what, file=file)
    return file


def release(
    draft: Draft, file: OrderFile, fulfilment: Fulfilment, units: dict[LineId, int], reason: str
) -> OrderFile:
    """Give allocated units of a fulfilment back to its location's stock."""
    cells: dict[Cell, Shift] = {}
    left = dict(units)
    for line in fulfilment.lines:
        back = min(line.quantity, left.get(line.line_id, 0))
        if back:
            left[line.line_id] -= back
            cell = Cell(line.sku, fulfilment.location)
            cells[cell] = cells.get(cell, Shift()).plus(Shift(allocated=-back))
            draft.commit_units(file.order, cell, -back)
    order = file.order
    draft.move("released", order.market, cells, order_id=order.id, reason=reason)
    picked = -1 if is_picked(fulfilment) else 0
    changes = {
        line: {"allocated": -count, "picked": picked * count}
        for line, count in units.items()
        if count
    }
    return draft.save(msgspec.structs.replace(file, order=with_line_changes(order, changes)))


def withdraw(draft: Draft, file: OrderFile, reason: str) -> OrderFile | None:
    """Take back all fulfilments so that their units can be placed anew; None: work has begun."""
    groups = [group.fulfilment for group in file.fulfilments]
    if any(line.handed_off for line in file.order.lines):
        return None
    if not all(untouched(group) for group in groups if is_open(group)):
        return None
    for group in groups:
        if is_open(group):
            everything: dict[LineId, int] = {}
            for line in group.lines:
                everything[line.line_id] = everything.get(line.line_id, 0) + line.quantity
            file = release(draft, file, group, everything, reason)
            ended = msgspec.structs.replace(group, state="cancelled", reason=reason)
            file = draft.fulfilment_event(file, ended, "cancelled")
    return file


def publish_state(draft: Draft, file: OrderFile, event: str, detail: str = "") -> OrderFile:
    """Set the header state that lines and fulfilments add up to, and publish it.

    A state with an event of its own is told by that, when it is new; else by `event`.
    """
    after = derive_state(file)
    return _published(draft, file, after, detail, event)


def _published(
    draft: Draft, file: OrderFile, state: str, detail: str, event: str = "changed"
) -> OrderFile:
    name = state_event(file.order.state, state) or event  # type: ignore[arg-type]  # a literal
    order = msgspec.structs.replace(file.order, state=state)
    return draft.order_event(msgspec.structs.replace(file, order=order), name, detail)


def _wanted(order: Order, command: CancelOrder) -> dict[LineId, int]:
    by_ref = {line.line_ref: line.id for line in order.lines}
    wanted: dict[LineId, int] = {}
    for asked in command.lines:
        if asked.line_ref in by_ref:
            line_id = by_ref[asked.line_ref]
            wanted[line_id] = wanted.get(line_id, 0) + asked.quantity
    return wanted


def _cancel_free(draft: Draft, file: OrderFile, left: dict[LineId, int]) -> OrderFile:
    """Cancel units that no fulfilment has, the missing ones last; a short line ends its work item."""
    changes: dict[LineId, dict[str, int]] = {}
    for line in file.order.lines:
        free = min(left.get(line.id, 0), line.unassigned + line.short)
        if free > 0:
            changes[line.id] = {"cancelled": free, "short": -max(0, free - line.unassigned)}
            left[line.id] -= free
    file = draft.save(msgspec.structs.replace(file, order=with_line_changes(file.order, changes)))
    missing = {line.id for line in file.order.lines if line.short}
    for group in file.fulfilments:
        if not any(line.line_id in missing for line in group.fulfilment.lines):
            draft.work_items.resolve("SHORT_PICK", group.fulfilment.id)
    return file


def _share(fulfilment: Fulfilment, left: dict[LineId, int]) -> dict[LineId, int]:
    """Take from what is left to cancel the units that this fulfilment has."""
    back: dict[LineId, int] = {}
    for line in fulfilment.lines:
        units = min(left.get(line.line_id, 0), line.quantity)
        if units > 0:
            back[line.line_id] = back.get(line.line_id, 0) + units
            left[line.line_id] -= units
    return back


def _take_back(
    draft: Draft, file: OrderFile, fulfilment: Fulfilment, back: dict[LineId, int]
) -> OrderFile:
    file = release(draft, file, fulfilment, back, "cancelled")
    cancelled = {line: {"cancelled": units} for line, units in back.items()}
    file = draft.save(msgspec.structs.replace(file, order=with_line_changes(file.order, cancelled)))
    rest = without(fulfilment, back)
    if any(line.quantity for line in rest.lines):
        return draft.fulfilment_event(file, rest, "changed")
    ended = msgspec.structs.replace(fulfilment, state="cancelled")
    return draft.fulfilment_event(file, ended, "cancelled")


def without(fulfilment: Fulfilment, units: dict[LineId, int]) -> Fulfilment:
    """Return the fulfilment without these units; lines that have nothing left go."""
    left = dict(units)
    lines = []
    for line in fulfilment.lines:
        gone = min(line.quantity, left.get(line.line_id, 0))
        left[line.line_id] = left.get(line.line_id, 0) - gone
        if line.quantity > gone or line.short:
            lines.append(msgspec.structs.replace(line, quantity=line.quantity - gone))
    return msgspec.structs.replace(fulfilment, lines=tuple(lines))
