"""Children before their parents: parked under the parent's key, applied when it comes."""

from datetime import timedelta

import msgspec

from config.clock import to_us
from config.ids import SourceId
from config.limits import PARKED_S_MAX
from handlers.actions import ExpireParked
from handlers.commands import (
    CancelOrder,
    Command,
    RecordPayment,
    RecordRefund,
    ReportFulfilment,
)
from handlers.draft import Draft
from handlers.message import Message
from handlers.outcome import Applied
from handlers.work_items import What
from store.ports import Parked, Ref

Child = CancelOrder | RecordPayment | RecordRefund | ReportFulfilment
decode_command = msgspec.json.Decoder(Command).decode
PAYMENT = "payment:"
UNPLACED = "unplaced:"


def parent_of(source: SourceId, child: Child) -> Ref:
    """Return the key under which a child waits: its order's, or its payment's at this source."""
    if child.order is not None:
        return child.order.source, child.order.ref
    if isinstance(child, RecordPayment | RecordRefund) and child.payment_ref:
        return source, PAYMENT + child.payment_ref
    return source, PAYMENT


def unplaced(order: Ref) -> Ref:
    """Return the key under which a report waits for the goods of a known order to be placed."""
    source, ref = order
    return source, UNPLACED + ref


def park(draft: Draft, message: Message, child: Child) -> Applied:
    """Keep a child until its parent comes; after the deadline it becomes a visible work item."""
    now = draft.facts.now
    parent = parent_of(message.source, child)
    if isinstance(child, ReportFulfilment) and draft.order_of_ref(*parent):
        parent = unplaced(parent)
    draft.park(
        Parked(
            id=draft.facts.new_id(),
            parent=parent,
            message=(message.source, message.key),
            parked_us=to_us(now),
            deadline_us=to_us(now + timedelta(seconds=PARKED_S_MAX)),
            command=msgspec.json.encode(child),
        )
    )
    return "parked", None, "waits for its parent"


def take_waiting(draft: Draft, parent: Ref) -> list[tuple[SourceId, Command]]:
    """Take what waits for a parent off the shelf, oldest first, with the source of each."""
    taken = []
    for parked in draft.waiting_for(parent):
        draft.unpark(parked)
        taken.append((parked.message[0], decode_command(parked.command)))
    return taken


def expire_parked(draft: Draft, command: ExpireParked) -> Applied:
    """Show a child whose parent has not come in time; it still waits."""
    what: What = {
        "source": command.source,
        "key": command.key,
        "parent": f"{command.parent[0]}:{command.parent[1]}",
        "parked_us": command.parked_us,
    }
    draft.work_items.open("OUT_OF_ORDER", command.parked_id, what)
    draft.step(lambda desk: desk.changes.overdue.append(command.parked_id))
    return "applied", None, ""
