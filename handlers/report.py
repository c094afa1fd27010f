"""Reports: what channels and carriers say happened to goods moves our fulfilments after them."""

from uuid import UUID, uuid5

import msgspec

from config.ids import FulfilmentId, LineId, LocationId, SourceId
from handlers.cancel import without
from handlers.commands import ReportFulfilment
from handlers.draft import Draft
from handlers.fulfil import find_group, move_on, units_of
from handlers.lifecycle import is_open
from handlers.outcome import Applied
from handlers.sell import book_gone, gone_from
from handlers.settle import settle_or_route
from store.ports import OrderFile
from store.records import Fulfilment, FulfilmentState

_VOID = frozenset({"cancelled", "rejected"})


def report_fulfilment(draft: Draft, source: SourceId, command: ReportFulfilment) -> Applied | None:
    """Follow what a channel or carrier says about goods.

    None: the order is not known yet, or nobody can say yet from where some of the units have left.
    """
    file = draft.order_of_ref(command.order.source, command.order.ref)
    if file is None:
        return None
    order_id = file.order.id
    if command.state in {"open", "ready", "cancelled"}:
        reason = f"the channel's fulfilment is {command.state}: nothing to follow"
        return "ignored", order_id, reason
    before, left = file, _reported(file, command)
    name = f"{source}:{command.fulfilment_ref}"
    for group in _concerned(draft, source, file, command, name):
        file, part = _part(draft, file, group, left, command)
        if part is not None:
            file = _follow(draft, file, part, command, name)
    if units := _nobodys(file, left, name):
        location = _place(draft, source, command) or file.order.location
        if location is None or any(line.id in units and not line.sku for line in file.order.lines):
            return None
        group = gone_from(draft, file.order, location, units, _part_id(draft, file, command))
        group = msgspec.structs.replace(group, reported_as=name)
        file = _book(draft, file, group, command)
    if file is before:
        return "ignored", order_id, "nothing of ours is concerned, or it is that far already"
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


def _place(draft: Draft, source: SourceId, command: ReportFulfilment) -> LocationId | None:
    return draft.facts.directory.location_of(source, command.place) if command.place else None


def _concerned(
    draft: Draft, source: SourceId, file: OrderFile, command: ReportFulfilment, name: str
) -> list[Fulfilment]:
    """Return what this report's name has moved before, then what no other report has told of.

    Of the others, those at the reported place, else all; goods that have left come first, as it may
    be our own hand-off that comes back. What a report has told of is never another report's.
    """
    groups = [g.fulfilment for g in file.fulfilments if g.fulfilment.state not in _VOID]
    own = [group for group in groups if group.reported_as == name]
    if own and not command.lines:
        return own
    free = [group for group in groups if not group.reported_as]
    place = _place(draft, source, command)
    here = [group for group in free if group.location == place]
    return [*own, *sorted(here or free, key=is_open)]


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
    have = units_of(group)
    taken = {line: min(units, left.get(line, 0)) for line, units in have.items()}
    for line, units in taken.items():
        left[line] = left.get(line, 0) - units
    if not any(taken.values()):
        return file, None
    if taken == have or not is_open(group):
        return file, group
    return _split(draft, file, group, taken, command)


def _nobodys(file: OrderFile, left: dict[LineId, int] | None, name: str) -> dict[LineId, int]:
    """Return the reported units that no fulfilment of ours has; a counter sale books its own."""
    order = file.order
    if order.method == "handed_over":
        return {}
    if left is None and any(group.fulfilment.reported_as == name for group in file.fulfilments):
        left = {}
    units = {
        line.id: line.unassigned if left is None else min(line.unassigned, left.get(line.id, 0))
        for line in order.lines
        if line.requires_shipping
    }
    return {line: count for line, count in units.items() if count > 0}


def _book(draft: Draft, file: OrderFile, group: Fulfilment, command: ReportFulfilment) -> OrderFile:
    """Book units that left before we had placed them, so that they are not sent once more."""
    file = book_gone(draft, file, group, "sent before it was placed")
    group = find_group(file, group.id) or group
    file = _follow(draft, file, group, command, group.reported_as)
    return settle_or_route(draft, file)


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
        id=_part_id(draft, file, command),
        version=0,
        lines=lines,
        created_at=draft.facts.now,
    )
    return draft.fulfilment_event(file, without(group, taken), "changed"), part


def _part_id(draft: Draft, file: OrderFile, command: ReportFulfilment) -> FulfilmentId:
    """Return the id of the group that this report makes, the same whenever it is applied anew.

    One that tells of more units at every repeat makes another group each time.
    """
    part = FulfilmentId(str(uuid5(UUID(file.order.id), command.fulfilment_ref)))
    return part if find_group(file, part) is None else FulfilmentId(draft.facts.new_id())


def _follow(
    draft: Draft, file: OrderFile, group: Fulfilment, command: ReportFulfilment, name: str
) -> OrderFile:
    tracking = command.tracking or group.tracking
    told = msgspec.structs.replace(group, tracking=tracking, reported_as=name)
    if is_open(group):
        collected = group.method == "pickup" or command.state == "collected"
        first: FulfilmentState = "collected" if collected else "handed_off"
        moved = msgspec.structs.replace(told, state=first)
        file = move_on(draft, file, group, moved, first)
    elif told != group:
        file = draft.fulfilment_event(file, told, "changed")
    group = find_group(file, group.id) or told
    if command.state == "in_transit" and group.state == "handed_off":
        moved = msgspec.structs.replace(group, state="in_transit")
        file = draft.fulfilment_event(file, moved, "changed")
    if command.state == "delivered" and group.state in {"handed_off", "in_transit"}:
        moved = msgspec.structs.replace(group, state="delivered")
        file = move_on(draft, file, group, moved, "delivered")
    return file
