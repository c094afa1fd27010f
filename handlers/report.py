"""Reports: what channels and carriers say happened to goods moves our fulfilments after them."""

from uuid import UUID, uuid5

import msgspec

from config.ids import FulfilmentId, LineId, SourceId
from handlers.cancel import without
from handlers.commands import ReportFulfilment
from handlers.draft import Draft
from handlers.fulfil import find_group, move_on, units_of
from handlers.lifecycle import is_open
from handlers.outcome import Applied
from store.ports import OrderFile
from store.records import Fulfilment, FulfilmentState

_ENDED = frozenset({"cancelled", "rejected", "collected", "delivered"})


def report_fulfilment(draft: Draft, source: SourceId, command: ReportFulfilment) -> Applied | None:
    """Follow what a channel or carrier says about goods; None: the order is not known yet."""
    file = draft.order_of_ref(command.order.source, command.order.ref)
    if file is None:
        return None
    order_id = file.order.id
    if command.state in {"open", "ready", "cancelled"}:
        reason = f"the channel's fulfilment is {command.state}: nothing to follow"
        return "ignored", order_id, reason
    groups = _concerned(draft, source, file, command)
    if not groups:
        return "ignored", order_id, "no fulfilment of ours is concerned"
    before = file
    left = _reported(file, command)
    for group in groups:
        file, part = _part(draft, file, group, left, command)
        if part is not None:
            file = _follow(draft, file, part, command)
    if file is before:
        return "ignored", order_id, "our fulfilments are that far already"
    return "applied", order_id, ""


def _reported(file: OrderFile, command: ReportFulfilment) -> dict[LineId, int] | None:
    """Return the reported units by line, None for all; a line of no quantity means all of it."""
    if not command.lines:
        return None
    by_ref = {line.line_ref: line for line in file.order.lines}
    left: dict[LineId, int] = {}
    for asked in command.lines:
        if line := by_ref.get(asked.line_ref):
            left[line.id] = left.get(line.id, 0) + (asked.quantity or line.ordered)
    return left


def _concerned(
    draft: Draft, source: SourceId, file: OrderFile, command: ReportFulfilment
) -> list[Fulfilment]:
    """Return the fulfilments at the reported place, else all; what this report's name made first.

    Goods that have left are the first that can be on their way or arrive.
    """
    own = _part_id(file, command)
    groups = [g.fulfilment for g in file.fulfilments]
    if any(group.id == own for group in groups):
        groups = [group for group in groups if group.id == own]
    alive = [group for group in groups if group.state not in _ENDED]
    place = draft.facts.directory.location_of(source, command.place) if command.place else None
    here = [group for group in alive if group.location == place]
    return sorted(here or alive, key=is_open)


def _part(
    draft: Draft,
    file: OrderFile,
    group: Fulfilment,
    left: dict[LineId, int] | None,
    command: ReportFulfilment,
) -> tuple[OrderFile, Fulfilment | None]:
    """Return the part of a group that is reported; a smaller part becomes a group of its own."""
    if left is None:
        return file, group
    if not is_open(group) and command.state in {"handed_off", "collected"}:
        return file, None
    have = units_of(group)
    taken = {line: min(units, left.get(line, 0)) for line, units in have.items()}
    for line, units in taken.items():
        left[line] = left.get(line, 0) - units
    if not any(taken.values()):
        return file, None
    if taken == have or not is_open(group):
        return file, group
    return _split(draft, file, group, taken, command)


def _split(
    draft: Draft,
    file: OrderFile,
    group: Fulfilment,
    taken: dict[LineId, int],
    command: ReportFulfilment,
) -> tuple[OrderFile, Fulfilment]:
    lines = tuple(
        msgspec.structs.replace(line, quantity=units, short=0)
        for line in group.lines
        if (units := min(line.quantity, taken.get(line.line_id, 0)))
    )
    part = msgspec.structs.replace(
        group,
        id=_part_id(file, command),
        version=0,
        lines=lines,
        created_at=draft.facts.now,
    )
    return draft.fulfilment_event(file, without(group, taken), "changed"), part


def _part_id(file: OrderFile, command: ReportFulfilment) -> FulfilmentId:
    """Return the id of the group that this report splits off, the same at every repeat."""
    return FulfilmentId(str(uuid5(UUID(file.order.id), command.fulfilment_ref)))


def _follow(
    draft: Draft, file: OrderFile, group: Fulfilment, command: ReportFulfilment
) -> OrderFile:
    tracking = command.tracking or group.tracking
    if is_open(group):
        collected = group.method == "pickup" or command.state == "collected"
        first: FulfilmentState = "collected" if collected else "handed_off"
        moved = msgspec.structs.replace(group, state=first, tracking=tracking)
        file = move_on(draft, file, group, moved, first)
        group = find_group(file, group.id) or moved
    if command.state == "in_transit" and group.state == "handed_off":
        moved = msgspec.structs.replace(group, state="in_transit", tracking=tracking)
        file = draft.fulfilment_event(file, moved, "changed")
    if command.state == "delivered" and group.state in {"handed_off", "in_transit"}:
        moved = msgspec.structs.replace(group, state="delivered", tracking=tracking)
        file = move_on(draft, file, group, moved, "delivered")
    return file
