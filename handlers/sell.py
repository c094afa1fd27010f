"""A counter sale: the goods are with the customer already, whatever our stock says."""

import msgspec

from config.ids import FulfilmentId
from handlers.desk import Draft
from handlers.lifecycle import with_line_changes
from store.gate_port import Cell
from store.ports import OrderFile, Shift
from store.records import Fulfilment, FulfilmentLine


def book_sale(draft: Draft, file: OrderFile) -> OrderFile:
    """Book the order as shipped at its location, which may go below zero; it is not routed.

    The batch opens `NEGATIVE_ON_HAND` where the level ends below zero.
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
    order = msgspec.structs.replace(with_line_changes(order, sold), state="fulfilled")
    file = draft.order_event(msgspec.structs.replace(file, order=order), "fulfilled")
    return draft.fulfilment_event(file, group, "collected")
