"""What a batch has to read before it can decide."""

from config.ids import HoldId, OrderId, Sku, SourceId
from handlers.actions import (
    ActOnFulfilment,
    ApplyWaiting,
    DecideOrders,
    EndHold,
    ExpireParked,
    ImportCatalog,
    ImportStock,
    PlaceByHand,
    PlaceHold,
    PostponeFetch,
    PublishAvailability,
    SettleFetch,
    Task,
)
from handlers.claim import conflict_key
from handlers.commands import (
    CancelOrder,
    CountStock,
    FetchOrder,
    PlaceOrder,
    RecordPayment,
    RecordRefund,
    ReportFulfilment,
)
from handlers.desk import Facts
from handlers.message import Message
from handlers.parking import PAYMENT, decode_command, unplaced
from handlers.payments import tender_id
from handlers.settle import place_of
from handlers.stock import cell_of
from store.gate_port import Cell
from store.ports import Found, Lookup, MessageKey

_ORDER_CODES = ("UNFILLABLE", "UNMAPPED_ITEM", "UNMAPPED_PLACE", "CANCEL_RACE")
_TENDER_CODES = ("CAPTURE_FAILED", "PAYMENT_DISPUTED")


def lookup_of(messages: list[Message]) -> Lookup:
    """Return all that is known to be needed from the messages alone."""
    lookup = Lookup()
    for message in messages:
        if message.recorded:
            lookup.messages.add((message.source, message.key))
        for task in message.tasks:
            _add_task(lookup, message.source, task)
    return lookup


def second_lookup(messages: list[Message], facts: Facts, found: Found) -> Lookup | None:
    """Return what only the first look showed to be needed, None when nothing is."""
    lookup = Lookup(messages=_contradictions(messages, found))
    for source, cell in _counted(messages, facts, found):
        lookup.exceptions.add((f"{source}:{cell.sku}@{cell.location}", "STOCK_DIFFERENCE"))
    deciding = {
        order_id
        for message in messages
        for task in message.tasks
        if isinstance(task, DecideOrders)
        for order_id in task.order_ids
    }
    for file in found.orders.values():
        order = file.order
        lookup.exceptions |= {(order.id, code) for code in _ORDER_CODES}
        lookup.exceptions |= {(g.fulfilment.id, "SHORT_PICK") for g in file.fulfilments}
        if any(line.unassigned > 0 for line in order.lines):
            lookup.parents.add(unplaced((order.source, order.external_id)))
        if order.id in deciding:
            lookup.items |= {(order.source, line.item) for line in order.lines if not line.sku}
            lookup.skus |= {Sku(line.channel_sku) for line in order.lines if not line.sku}
    for waiting in found.parked.values():
        lookup.exceptions |= {(parked.id, "OUT_OF_ORDER") for parked in waiting if parked.overdue}
        for parked in waiting:
            child = decode_command(parked.command)
            if isinstance(child, RecordPayment):
                _add_payment(lookup, parked.message[0], child.payment_ref)
    return lookup if lookup != Lookup() else None


def third_lookup(more: Found) -> Lookup | None:
    """Return the work items of children that the second look found waiting for too long."""
    late = {one.id for waiting in more.parked.values() for one in waiting if one.overdue}
    return Lookup(exceptions={(one, "OUT_OF_ORDER") for one in late}) if late else None


def merge(found: Found, more: Found) -> Found:
    """Lay a later look over the first."""
    found.messages.update(more.messages)
    found.sku_of_item.update(more.sku_of_item)
    found.skus |= more.skus
    found.exceptions.update(more.exceptions)
    for parent, waiting in more.parked.items():
        found.parked.setdefault(parent, waiting)
    return found


def cells_of(messages: list[Message], facts: Facts, found: Found) -> frozenset[Cell]:
    """Return the stock cells whose present level a count, an import or a sale starts from."""
    imported = {
        Cell(row.sku, row.location)
        for message in messages
        for task in message.tasks
        if isinstance(task, ImportStock)
        for row in task.rows
    }
    counted = {cell for _, cell in _counted(messages, facts, found)}
    return frozenset(imported | counted | _sold(messages, facts, found))


def committed_of(
    messages: list[Message], facts: Facts, found: Found
) -> frozenset[tuple[SourceId, Cell]]:
    """Return the sources and cells whose own commitments a count of availability must undo."""
    return frozenset(_counted(messages, facts, found))


def _counted(messages: list[Message], facts: Facts, found: Found) -> set[tuple[SourceId, Cell]]:
    return {
        (message.source, cell)
        for message in messages
        for task in message.tasks
        if isinstance(task, CountStock)
        for count in task.counts
        if (cell := cell_of(facts, found, message.source, count))
    }


def _sold(messages: list[Message], facts: Facts, found: Found) -> set[Cell]:
    """Return the cells of counter sales whose own source counts the location's stock."""
    sold: list[tuple[str, str, list[tuple[str, str]]]] = [
        (task.order.source, task.delivery.place, [(line.item, line.sku) for line in task.lines])
        for message in messages
        for task in message.tasks
        if isinstance(task, PlaceOrder) and task.delivery.method == "handed_over"
    ]
    for file in found.orders.values():
        order = file.order
        if order.method == "handed_over":
            place = order.location or place_of(order)
            items = [(line.item, line.sku or line.channel_sku) for line in order.lines]
            sold.append((order.source, place, items))
    return {
        Cell(sku, location)
        for source, place, items in sold
        if (location := facts.directory.location_of(SourceId(source), place))
        and facts.directory.owns_stock(SourceId(source), location)
        for item, own in items
        if (sku := found.sku_of_item.get((SourceId(source), item)) or Sku(own))
    }


def _add_task(lookup: Lookup, source: SourceId, task: Task) -> None:  # noqa: C901, PLR0912 - one case for each kind
    match task:
        case PlaceByHand():
            _add_task(lookup, source, task.order)
        case ApplyWaiting():
            _add_parents(lookup, task)
        case PlaceOrder():
            ref = (task.order.source, task.order.ref)
            lookup.orders.add(ref)
            lookup.parents.add(ref)
            for line in task.lines:
                _add_item(lookup, task.order.source, line.item, line.sku)
            if task.hold_id:
                lookup.holds.add(HoldId(task.hold_id))
        case CancelOrder() | ReportFulfilment() | FetchOrder():
            lookup.orders.add((task.order.source, task.order.ref))
        case RecordPayment() | RecordRefund():
            if task.order:
                lookup.orders.add((task.order.source, task.order.ref))
            elif task.payment_ref:
                lookup.payments.add((source, task.payment_ref))
            if isinstance(task, RecordPayment):
                _add_payment(lookup, source, task.payment_ref)
        case CountStock():
            _add_counts(lookup, source, task)
        case ActOnFulfilment():
            lookup.fulfilments.add(task.fulfilment_id)
        case EndHold():
            lookup.holds.add(task.hold_id)
        case DecideOrders():
            lookup.order_ids |= {OrderId(one) for one in task.order_ids}
        case ImportCatalog():
            names = [f"{s}:{ref}" for item in task.items for s, ref in item.external]
            lookup.exceptions |= {(name, "UNMAPPED_ITEM") for name in names}
        case SettleFetch():
            lookup.exceptions.add((f"{task.source}:{task.order_ref}", "FETCH_FAILED"))
        case ExpireParked():
            lookup.exceptions.add((task.parked_id, "OUT_OF_ORDER"))
        case ImportStock() | PlaceHold() | PostponeFetch() | PublishAvailability() | _:
            return


def _contradictions(messages: list[Message], found: Found) -> set[MessageKey]:
    """Return under which keys contradictions to known messages would be kept already."""
    known = found.messages
    return {
        conflict_key(message)
        for message in messages
        if (row := known.get((message.source, message.key)))
        and row.fingerprint != message.fingerprint
    }


def _add_payment(lookup: Lookup, source: SourceId, payment_ref: str) -> None:
    lookup.parents.add((source, PAYMENT + payment_ref))
    lookup.exceptions |= {(tender_id(source, payment_ref), code) for code in _TENDER_CODES}


def _add_parents(lookup: Lookup, task: ApplyWaiting) -> None:
    lookup.parents |= set(task.parents)
    for source, name in task.parents:
        if name.startswith(PAYMENT):
            lookup.payments.add((source, name.removeprefix(PAYMENT)))
        else:
            lookup.orders.add((source, name))


def _add_item(lookup: Lookup, source: str, item: str, sku: str) -> None:
    if item:
        lookup.items.add((source, item))
    if sku:
        lookup.skus.add(Sku(sku))


def _add_counts(lookup: Lookup, source: SourceId, task: CountStock) -> None:
    for count in task.counts:
        _add_item(lookup, source, count.item, count.sku)
        name = f"{source}:{count.item or count.sku}"
        lookup.exceptions |= {
            (name, "UNMAPPED_ITEM"),
            (f"{source}:{count.place}", "UNMAPPED_PLACE"),
        }
