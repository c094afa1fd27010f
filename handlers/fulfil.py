"""Fulfilment: what staff do with a group of goods; stock, lines and the order's state follow."""

import msgspec

from config.errors import NotFound, Rejected, StaleVersion
from config.ids import LineId
from handlers.actions import ActOnFulfilment
from handlers.cancel import publish_state, release
from handlers.draft import Draft
from handlers.lifecycle import derive_state, follow, is_open, is_picked, with_line_changes
from handlers.outcome import Applied
from handlers.work_items import What
from store.gate_port import Cell
from store.ports import OrderFile, Shift
from store.records import Fulfilment

encode = msgspec.json.encode
GONE = frozenset({"handed_off", "collected"})


def act_on_fulfilment(draft: Draft, command: ActOnFulfilment) -> tuple[Applied, bytes]:
    """Move one fulfilment on; returns its new row as JSON.

    Raises:
        NotFound: no such fulfilment. StaleVersion: decided on an old version (the present row is in
        its facts). InvalidTransition: not possible from here.
    """
    file, fulfilment = _present(draft, command)
    state, event = follow(fulfilment, command.action)
    if command.action == "short":
        file = _short(draft, file, fulfilment, command)
    elif command.action == "reject":
        file = _reject(draft, file, fulfilment, command.reason)
    else:
        tracking = command.tracking or fulfilment.tracking
        after = msgspec.structs.replace(fulfilment, state=state, tracking=tracking)
        file = move_on(draft, file, fulfilment, after, event)
    row = find_group(file, command.fulfilment_id)
    return ("applied", file.order.id, ""), encode(row)


def move_on(
    draft: Draft, file: OrderFile, before: Fulfilment, after: Fulfilment, event: str
) -> OrderFile:
    """Book what a new state means for stock and lines, publish it, and the order's state after it."""
    changes: dict[LineId, dict[str, int]] = {}
    for line_id, units in units_of(after).items():
        if after.state == "picked":
            changes[line_id] = {"picked": units}
        elif after.state in GONE:
            changes[line_id] = {"handed_off": units, "allocated": -units}
        elif after.state == "delivered":
            changes[line_id] = {"delivered": units}
    order = with_line_changes(file.order, changes)
    file = draft.save(msgspec.structs.replace(file, order=order))
    if is_open(before) and after.state in GONE:
        _ship(draft, file, after)
    return told(draft, draft.fulfilment_event(file, after, event))


def told(draft: Draft, file: OrderFile) -> OrderFile:
    """Publish the order's state where its lines and fulfilments add up to another one now."""
    return publish_state(draft, file, "changed") if derive_state(file) != file.order.state else file


def units_of(fulfilment: Fulfilment) -> dict[LineId, int]:
    """Return the units of each order line in a fulfilment."""
    units: dict[LineId, int] = {}
    for line in fulfilment.lines:
        units[line.line_id] = units.get(line.line_id, 0) + line.quantity
    return units


def find_group(file: OrderFile | None, fulfilment_id: str) -> Fulfilment | None:
    """Return the newest state of one of the order's fulfilments."""
    groups = file.fulfilments if file else ()
    return next((g.fulfilment for g in groups if g.fulfilment.id == fulfilment_id), None)


def _present(draft: Draft, command: ActOnFulfilment) -> tuple[OrderFile, Fulfilment]:
    order_id = draft.desk.found.order_of_fulfilment.get(command.fulfilment_id)
    file = draft.order(order_id) if order_id else None
    fulfilment = find_group(file, command.fulfilment_id)
    if file is None or fulfilment is None:
        raise NotFound(f"there is no fulfilment {command.fulfilment_id}")
    if fulfilment.version != command.version:
        raise StaleVersion(row=msgspec.to_builtins(fulfilment))
    return file, fulfilment


def _ship(draft: Draft, file: OrderFile, fulfilment: Fulfilment) -> None:
    cells = _off_the_shelf(draft, file, fulfilment, units_of(fulfilment))
    draft.move("shipped", file.order.market, cells, order_id=file.order.id)


def _off_the_shelf(
    draft: Draft, file: OrderFile, fulfilment: Fulfilment, units: dict[LineId, int]
) -> dict[Cell, Shift]:
    """Return the change of stock when so many allocated units are no longer there."""
    cells: dict[Cell, Shift] = {}
    left = dict(units)
    for line in fulfilment.lines:
        gone = min(line.quantity, left.get(line.line_id, 0))
        if gone:
            left[line.line_id] -= gone
            cell = Cell(line.sku, fulfilment.location)
            shift = Shift(on_hand=-gone, allocated=-gone)
            cells[cell] = cells.get(cell, Shift()).plus(shift)
            draft.commit_units(file.order, cell, -gone)
    return cells


def _short(
    draft: Draft, file: OrderFile, fulfilment: Fulfilment, command: ActOnFulfilment
) -> OrderFile:
    """Take units that are not there out of the group and of on-hand; a person decides what next."""
    missing = _missing(fulfilment, command)
    cells = _off_the_shelf(draft, file, fulfilment, missing)
    draft.move("adjusted", file.order.market, cells, order_id=file.order.id, reason="short pick")
    picked = -1 if is_picked(fulfilment) else 0
    changes = {
        line: {"allocated": -units, "short": units, "picked": picked * units}
        for line, units in missing.items()
    }
    order = with_line_changes(file.order, changes)
    file = draft.save(msgspec.structs.replace(file, order=order))
    what: What = {
        "fulfilment": fulfilment.id,
        "reason": command.reason,
        "lines": [f"{line}: {units}" for line, units in sorted(missing.items())],
    }
    draft.work_items.open(
        "SHORT_PICK", fulfilment.id, what, file=file, location=fulfilment.location
    )
    after = _less(fulfilment, missing, command.reason)
    return told(draft, draft.fulfilment_event(file, after, "short"))


def _missing(fulfilment: Fulfilment, command: ActOnFulfilment) -> dict[LineId, int]:
    missing: dict[LineId, int] = {}
    for asked in command.lines:
        line_id = LineId(asked.line_id)
        missing[line_id] = missing.get(line_id, 0) + asked.quantity
    have = units_of(fulfilment)
    if not missing or any(units > have.get(line, 0) for line, units in missing.items()):
        raise Rejected("short needs lines of this fulfilment, each with at most its quantity")
    return missing


def _less(fulfilment: Fulfilment, missing: dict[LineId, int], reason: str) -> Fulfilment:
    left = dict(missing)
    lines = []
    for line in fulfilment.lines:
        gone = min(line.quantity, left.get(line.line_id, 0))
        left[line.line_id] = left.get(line.line_id, 0) - gone
        lines.append(
            msgspec.structs.replace(line, quantity=line.quantity - gone, short=line.short + gone)
        )
    state = fulfilment.state if any(line.quantity for line in lines) else "rejected"
    return msgspec.structs.replace(fulfilment, lines=tuple(lines), state=state, reason=reason)


def _reject(draft: Draft, file: OrderFile, fulfilment: Fulfilment, reason: str) -> OrderFile:
    """Give the whole group back; its units are routed again without this location."""
    file = release(draft, file, fulfilment, units_of(fulfilment), reason or "rejected")
    after = msgspec.structs.replace(fulfilment, state="rejected", reason=reason)
    file = told(draft, draft.fulfilment_event(file, after, "rejected", reason))
    draft.route(file.order.id)
    return file
