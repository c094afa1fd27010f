"""Goods that have left already, whatever our stock says: a counter sale, or sent without our asking."""

import msgspec

from config.clock import to_us
from config.ids import FulfilmentId, LineId, LocationId
from handlers.draft import Draft
from handlers.lifecycle import derive_state, with_line_changes
from store.gate_port import Cell
from store.ports import OrderFile, Shift
from store.records import Fulfilment, FulfilmentLine, Order

_CLOCKS_APART_US = 24 * 3600 * 1_000_000
"""A count's version beyond this is no time, and says nothing about when it was made."""


def book_sale(draft: Draft, file: OrderFile) -> OrderFile:
    """Book as shipped at its location what of the order is not booked yet; it is not routed.

    The level may go below zero: the batch opens `NEGATIVE_ON_HAND` then.
    """
    order = file.order
    location = order.location
    if location is None:
        raise AssertionError("a sale without a location is held before")
    units = {line.id: line.unassigned for line in order.lines if line.unassigned > 0 and line.sku}
    if not units:
        return file
    group_id = FulfilmentId(draft.facts.new_id())
    group = gone_from(draft, order, location, units, group_id)
    cells = _cells(group)
    file = book_gone(draft, file, group, "sold at the counter")
    _undo_counted(draft, order, cells)
    return file


def gone_from(
    draft: Draft,
    order: Order,
    location: LocationId,
    units: dict[LineId, int],
    group_id: FulfilmentId,
) -> Fulfilment:
    """Return a group of units that have left a location before any group of ours had them."""
    shipped = order.method == "ship"
    return Fulfilment(
        id=group_id,
        order_id=order.id,
        order_number=order.number,
        source=order.source,
        market=order.market,
        location=location,
        method=order.method,
        state="handed_off" if shipped else "collected",
        version=0,
        lines=tuple(
            FulfilmentLine(line_id=x.id, sku=x.sku, title=x.title, quantity=units[x.id])
            for x in order.lines
            if units.get(x.id)
        ),
        created_at=draft.facts.now,
        updated_at=draft.facts.now,
        customer_label=order.customer_label,
    )


def book_gone(draft: Draft, file: OrderFile, group: Fulfilment, reason: str) -> OrderFile:
    """Book the units of such a group as shipped, whatever our stock says."""
    order = file.order
    draft.move("shipped", order.market, _cells(group), order_id=order.id, reason=reason)
    sold = {line.line_id: {"handed_off": line.quantity} for line in group.lines}
    order = with_line_changes(order, sold)
    state = derive_state(msgspec.structs.replace(file, order=order))
    event = "fulfilled" if state == "fulfilled" != file.order.state else "changed"
    order = msgspec.structs.replace(order, state=state)
    file = draft.order_event(msgspec.structs.replace(file, order=order), event)
    return draft.fulfilment_event(file, group, group.state)


def _cells(group: Fulfilment) -> dict[Cell, Shift]:
    cells: dict[Cell, Shift] = {}
    for line in group.lines:
        cell = Cell(line.sku, group.location)
        cells[cell] = cells.get(cell, Shift()).plus(Shift(on_hand=-line.quantity))
    return cells


def _undo_counted(draft: Draft, order: Order, cells: dict[Cell, Shift]) -> None:
    """Give back what the location's owner had left out of its count before we heard of the sale.

    An owner counts its own sales at once, and the count often comes first: it would be booked twice.
    """
    known = {
        cell: Shift(on_hand=-shift.on_hand)
        for cell, shift in cells.items()
        if _is_counted(draft, order, cell)
    }
    if known:
        reason = f"{order.source} had counted after this sale"
        draft.move("counted", order.market, known, order_id=order.id, reason=reason)


def _is_counted(draft: Draft, order: Order, cell: Cell) -> bool:
    """Tell whether the source's own count at this cell is younger than the sale."""
    if not draft.facts.directory.owns_stock(order.source, cell.location):
        return False
    latest_us = to_us(draft.facts.now) + _CLOCKS_APART_US
    return to_us(order.placed_at) <= draft.level(cell).counted_version <= latest_us
