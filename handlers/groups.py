"""Assigned units become fulfilment groups: lines of one order at one location by one method."""

import msgspec

from config.ids import FulfilmentId, LineId, LocationId, OperationId
from handlers.commands import ReportFulfilment
from handlers.draft import Draft
from handlers.lifecycle import derive_state, with_line_changes
from handlers.parking import take_waiting, unplaced
from handlers.report import report_fulfilment
from routing.sourcing.problem import Assignment
from store.gate_port import Cell
from store.ports import FulfilmentFile, OrderFile
from store.records import Fulfilment, FulfilmentLine, Order, OrderState


def assign(
    draft: Draft,
    file: OrderFile,
    assignments: tuple[Assignment, ...],
    operation: OperationId,
) -> OrderFile:
    """Accept and route the order onto the locations; its stock is (being) allocated by the caller."""
    changes: dict[LineId, dict[str, int]] = {}
    for one in assignments:
        line = LineId(one.line_id)
        before = changes.get(line, {}).get("allocated", 0)
        changes[line] = {"allocated": before + one.quantity}
        draft.commit_units(file.order, Cell(one.sku, one.location), one.quantity)
    order = with_line_changes(file.order, changes)
    order = msgspec.structs.replace(order, reservation=operation, hold_reasons=())
    file = msgspec.structs.replace(file, order=order, undecided=False)
    draft.work_items.resolve("UNFILLABLE", order.id)
    if order.state in {"captured", "held"}:
        file = _event(draft, file, "accepted", "accepted")
    groups = [
        _group(draft, order, location, assignments)
        for location in sorted({one.location for one in assignments})
    ]
    file = _routed(draft, file, groups)
    for group in groups:
        file = draft.fulfilment_event(file, group, "assigned")
    return _after_reports(draft, file)


def _after_reports(draft: Draft, file: OrderFile) -> OrderFile:
    """Follow the reports that came before anybody knew from where the goods would leave."""
    order = file.order
    for source, command in take_waiting(draft, unplaced((order.source, order.external_id))):
        if isinstance(command, ReportFulfilment):
            report_fulfilment(draft, source, command)
    return draft.order(order.id) or file


def _routed(draft: Draft, file: OrderFile, groups: list[Fulfilment]) -> OrderFile:
    """Publish what the order is with these groups; `routed` unless work on others goes on."""
    with_them = (*file.fulfilments, *(FulfilmentFile(group) for group in groups))
    state = derive_state(msgspec.structs.replace(file, fulfilments=with_them))
    return _event(draft, file, state, "routed" if state == "routed" else "changed")


def _event(draft: Draft, file: OrderFile, state: OrderState, name: str) -> OrderFile:
    order = msgspec.structs.replace(file.order, state=state)
    return draft.order_event(msgspec.structs.replace(file, order=order), name)


def _group(
    draft: Draft, order: Order, location: LocationId, assignments: tuple[Assignment, ...]
) -> Fulfilment:
    titles = {line.id: line.title for line in order.lines}
    lines = tuple(
        FulfilmentLine(
            line_id=LineId(one.line_id),
            sku=one.sku,
            title=titles.get(LineId(one.line_id), ""),
            quantity=one.quantity,
        )
        for one in assignments
        if one.location == location
    )
    return Fulfilment(
        id=FulfilmentId(draft.facts.new_id()),
        order_id=order.id,
        order_number=order.number,
        source=order.source,
        market=order.market,
        location=location,
        method=order.method,
        state="assigned",
        version=0,
        lines=lines,
        created_at=draft.facts.now,
        updated_at=draft.facts.now,
        promise_latest=order.promise_latest,
        customer_label=order.customer_label,
    )
