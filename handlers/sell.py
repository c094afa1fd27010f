"""A counter sale: the goods are with the customer already, whatever our stock says."""

import msgspec

from config.ids import FulfilmentId
from handlers.draft import Draft
from handlers.lifecycle import derive_state, with_line_changes
from store.gate_port import Cell
from store.ports import OrderFile, Shift
from store.records import Fulfilment, FulfilmentLine


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
