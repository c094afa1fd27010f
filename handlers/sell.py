"""A counter sale: the goods are with the customer already, whatever our stock says."""

import msgspec

from config.clock import to_us
from config.ids import FulfilmentId
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
    lines = [line for line in order.lines if line.unassigned > 0 and line.sku]
    if not lines:
        return file
    cells: dict[Cell, Shift] = {}
    for line in lines:
        cell = Cell(line.sku, location)
        cells[cell] = cells.get(cell, Shift()).plus(Shift(on_hand=-line.unassigned))
    draft.move("shipped", order.market, cells, order_id=order.id, reason="sold at the counter")
    _undo_counted(draft, order, cells)
    sold = {line.id: {"handed_off": line.unassigned} for line in lines}
    group = Fulfilment(
        id=FulfilmentId(draft.facts.new_id()),
        order_id=order.id,
        order_number=order.number,
        source=order.source,
        market=order.market,
        location=location,
        method="handed_over",
        state="collected",
        version=0,
        lines=tuple(
            FulfilmentLine(line_id=x.id, sku=x.sku, title=x.title, quantity=x.unassigned)
            for x in lines
        ),
        created_at=draft.facts.now,
        updated_at=draft.facts.now,
        customer_label=order.customer_label,
    )
    order = with_line_changes(order, sold)
    state = derive_state(msgspec.structs.replace(file, order=order))
    event = "fulfilled" if state == "fulfilled" != file.order.state else "changed"
    order = msgspec.structs.replace(order, state=state)
    file = draft.order_event(msgspec.structs.replace(file, order=order), event)
    return draft.fulfilment_event(file, group, "collected")


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
