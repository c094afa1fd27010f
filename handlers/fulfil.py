"""Fulfilment: staff's actions and carriers' reports move groups on; stock and order follow."""

import msgspec

from config.errors import NotFound, Rejected, StaleVersion
from config.ids import LineId, LocationId, SourceId
from handlers.actions import ActOnFulfilment
from handlers.cancel import publish_state, release
from handlers.commands import ReportFulfilment
from handlers.desk import Draft
from handlers.lifecycle import derive_state, follow, is_open, with_line_changes
from handlers.outcome import Applied
from store.gate_port import Cell
from store.ports import OrderFile, Shift
from store.records import Fulfilment, FulfilmentState

encode = msgspec.json.encode


def act_on_fulfilment(draft: Draft, command: ActOnFulfilment) -> tuple[Applied, bytes]:
    """Move one fulfilment on; returns its new row as JSON.

    Raises:
        NotFound: no such fulfilment. StaleVersion: decided on an old version (the present row is in
        its facts). InvalidTransition: not possible from here.
    """
    order_id = draft.desk.found.order_of_fulfilment.get(command.fulfilment_id)
    file = draft.order(order_id) if order_id else None
    fulfilment = _find(file, command.fulfilment_id) if file else None
    if file is None or fulfilment is None:
        raise NotFound(f"there is no fulfilment {command.fulfilment_id}")
    if fulfilment.version != command.version:
        raise StaleVersion(row=msgspec.to_builtins(fulfilment))
    state, event = follow(fulfilment, command.action)
    if command.action == "short":
        file = _short(draft, file, fulfilment, command)
    elif command.action == "reject":
        file = _reject(draft, file, fulfilment, command.reason)
    else:
        moved = msgspec.structs.replace(
            fulfilment, state=state, tracking=command.tracking or fulfilment.tracking
        )
        file = _moved(draft, file, fulfilment, moved, event)
    row = _find(file, command.fulfilment_id)
    return ("applied", file.order.id, ""), encode(row)


def report_fulfilment(draft: Draft, source: SourceId, command: ReportFulfilment) -> Applied | None:
    """Follow what a channel or carrier says about goods; None: the order is not known yet."""
    file = draft.order_of_ref(command.order.source, command.order.ref)
    if file is None:
        return None
    order_id = file.order.id
    if command.state in {"open", "ready", "cancelled"}:
        return (
            "ignored",
            order_id,
            f"the channel's fulfilment is {command.state}: nothing to follow",
        )
    groups = _concerned(draft, source, file, command)
    if not groups:
        return "ignored", order_id, "no fulfilment of ours is concerned"
    for group in groups:
        file = _follow_report(draft, file, group, command)
    return "applied", order_id, ""


def _follow_report(
    draft: Draft, file: OrderFile, group: Fulfilment, command: ReportFulfilment
) -> OrderFile:
    tracking = command.tracking or group.tracking
    if is_open(group):
        first: FulfilmentState = "collected" if command.state == "collected" else "handed_off"
        moved = msgspec.structs.replace(group, state=first, tracking=tracking)
        file = _moved(draft, file, group, moved, first)
        group = _find(file, group.id) or moved
    if command.state == "in_transit" and group.state == "handed_off":
        moved = msgspec.structs.replace(group, state="in_transit", tracking=tracking)
        file = draft.fulfilment_event(file, moved, "changed")
    if command.state == "delivered" and group.state in {"handed_off", "in_transit"}:
        moved = msgspec.structs.replace(group, state="delivered", tracking=tracking)
        file = _moved(draft, file, group, moved, "delivered")
    return file


def _concerned(
    draft: Draft, source: SourceId, file: OrderFile, command: ReportFulfilment
) -> list[Fulfilment]:
    """Return the groups at the reported place, or else those that hold the reported lines."""
    alive = [
        group.fulfilment
        for group in file.fulfilments
        if group.fulfilment.state not in {"cancelled", "rejected", "collected", "delivered"}
    ]
    place = draft.facts.directory.location_of(source, command.place) if command.place else None
    here = [group for group in alive if group.location == place]
    asked = {line.line_ref for line in command.lines}
    ids = {line.id for line in file.order.lines if line.line_ref in asked}
    return [
        group
        for group in here or alive
        if not ids or any(line.line_id in ids for line in group.lines)
    ]


def _moved(
    draft: Draft, file: OrderFile, before: Fulfilment, after: Fulfilment, event: str
) -> OrderFile:
    """Book what a new state means for stock and lines, publish it, and the order's state after it."""
    changes: dict[LineId, dict[str, int]] = {}
    for line in after.lines:
        units = line.quantity
        if after.state == "picked":
            changes[line.line_id] = {"picked": units}
        elif after.state in {"handed_off", "collected"}:
            changes[line.line_id] = {"handed_off": units, "allocated": -units}
        elif after.state == "delivered":
            changes[line.line_id] = {"delivered": units}
    order = with_line_changes(file.order, changes)
    file = draft.save(msgspec.structs.replace(file, order=order))
    if is_open(before) and after.state in {"handed_off", "collected"}:
        _ship(draft, file, after)
    file = draft.fulfilment_event(file, after, event)
    if derive_state(file) != file.order.state:
        file = publish_state(draft, file, "changed")
    return file


def _ship(draft: Draft, file: OrderFile, fulfilment: Fulfilment) -> None:
    cells: dict[Cell, Shift] = {}
    for line in fulfilment.lines:
        cell = Cell(line.sku, fulfilment.location)
        gone = Shift(on_hand=-line.quantity, allocated=-line.quantity)
        cells[cell] = cells.get(cell, Shift()).plus(gone)
        draft.commit_units(file.order, cell, -line.quantity)
    draft.move("shipped", file.order.market, cells, order_id=file.order.id)


def _short(
    draft: Draft, file: OrderFile, fulfilment: Fulfilment, command: ActOnFulfilment
) -> OrderFile:
    """Take units that are not there out of the group and of on-hand; a person decides what next."""
    wanted = {line.line_id: line.quantity for line in command.lines}
    unknown = set(wanted) - {line.line_id for line in fulfilment.lines}
    too_many = [x.line_id for x in fulfilment.lines if wanted.get(x.line_id, 0) > x.quantity]
    if not wanted or unknown or too_many:
        raise Rejected("short needs lines of this fulfilment, each with at most its quantity")
    cells: dict[Cell, Shift] = {}
    changes: dict[LineId, dict[str, int]] = {}
    lines = []
    for line in fulfilment.lines:
        units = wanted.get(line.line_id, 0)
        if units:
            cell = Cell(line.sku, fulfilment.location)
            lost = Shift(on_hand=-units, allocated=-units)
            cells[cell] = cells.get(cell, Shift()).plus(lost)
            changes[line.line_id] = {"allocated": -units, "short": units}
            draft.commit_units(file.order, cell, -units)
        lines.append(
            msgspec.structs.replace(line, quantity=line.quantity - units, short=line.short + units)
        )
    draft.move("adjusted", file.order.market, cells, order_id=file.order.id, reason="short pick")
    order = with_line_changes(file.order, changes)
    file = draft.save(msgspec.structs.replace(file, order=order))
    empty = not any(line.quantity for line in lines)
    after = msgspec.structs.replace(
        fulfilment,
        lines=tuple(lines),
        state="rejected" if empty else fulfilment.state,
        reason=command.reason,
    )
    what: dict[str, str | int | list[str]] = {
        "fulfilment": fulfilment.id,
        "reason": command.reason,
        "lines": [f"{line}: {units}" for line, units in sorted(wanted.items())],
    }
    draft.open_exception("SHORT_PICK", fulfilment.id, what, file=file, location=fulfilment.location)
    return draft.fulfilment_event(file, after, "short")


def _reject(draft: Draft, file: OrderFile, fulfilment: Fulfilment, reason: str) -> OrderFile:
    """Give the whole group back; its units are routed again without this location."""
    units: dict[LineId, int] = {}
    for line in fulfilment.lines:
        units[line.line_id] = units.get(line.line_id, 0) + line.quantity
    file = release(draft, file, fulfilment, units, reason or "rejected")
    after = msgspec.structs.replace(fulfilment, state="rejected", reason=reason)
    file = draft.fulfilment_event(file, after, "rejected", reason)
    if derive_state(file) != file.order.state:
        file = publish_state(draft, file, "changed")
    refused = {
        LocationId(g.fulfilment.location) for g in file.fulfilments if _refused(g.fulfilment)
    }
    draft.route(file.order.id, tuple(sorted(refused)))
    return file


def _refused(fulfilment: Fulfilment) -> bool:
    return fulfilment.state == "rejected"


def _find(file: OrderFile | None, fulfilment_id: str) -> Fulfilment | None:
    groups = file.fulfilments if file else ()
    return next((g.fulfilment for g in groups if g.fulfilment.id == fulfilment_id), None)
