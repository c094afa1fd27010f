"""Capture: any channel's order becomes one record, and newer versions of it amend that record."""

import msgspec

from config.errors import Rejected
from config.ids import LineId, OrderId, Sku
from handlers.cancel import cancel_everything, cancel_units, publish_state, withdraw
from handlers.commands import CancelOrder, Delivery, LineAsked, PlaceOrder
from handlers.confirm_hold import confirm_hold
from handlers.draft import Draft
from handlers.outcome import Applied
from handlers.settle import location_of, settle_or_route, sku_of
from store.ports import OrderFile
from store.records import Order, OrderLine


def place_order(draft: Draft, command: PlaceOrder) -> Applied:
    """Make the order's record, or bring it up to a newer version of the channel's order.

    An older version never overwrites. Two versions of the same instant (channels with whole seconds)
    are both applied, but one never brings cancelled units back.

    Raises:
        Rejected: the source's market is not in our network.
    """
    file = draft.order_of_ref(command.order.source, command.order.ref)
    if file is None:
        return _capture(draft, command)
    order_id = file.order.id
    if command.version < file.order.source_version:
        return "ignored", order_id, "stale: a newer version was applied before"
    if command.version == file.order.source_version and not _differs(file.order, command):
        return "ignored", order_id, "nothing new in this version"
    return _amend(draft, file, command)


def _capture(draft: Draft, command: PlaceOrder) -> Applied:
    file = draft.order_event(OrderFile(order=_new_order(draft, command)), "captured")
    if command.cancelled or _cancelled_before(draft, file):
        cancel_everything(draft, file, "cancelled when it came")
    elif not (command.hold_id and confirm_hold(draft, file)):
        settle_or_route(draft, file, place=command.delivery.place)
    elif (settled := draft.order(file.order.id)) and settled.undecided:
        return "accepted", file.order.id, "the hold does not match; decided anew"
    return "applied", file.order.id, ""


def _cancelled_before(draft: Draft, file: OrderFile) -> bool:
    """Tell whether a cancel of the whole order came first and left its tombstone."""
    waiting = draft.waiting_for((file.order.source, file.order.external_id))
    for parked in waiting:
        if b'"command":"order.cancelled"' in parked.command:
            tombstone = msgspec.json.decode(parked.command, type=CancelOrder)
            if not tombstone.lines:
                draft.unpark(parked)
                return True
    return False


def _new_order(draft: Draft, command: PlaceOrder) -> Order:
    source = command.order.source
    directory = draft.facts.directory
    market = directory.market_of(source)  # type: ignore[arg-type]  # NewType of the same string
    if market not in directory.markets:
        raise Rejected(f"source {source!r} has no market of ours")
    order = Order(
        id=OrderId(draft.facts.new_id()),
        source=source,  # type: ignore[arg-type]  # as above
        external_id=command.order.ref,
        number=command.order.ref,
        market=market,
        state="captured",
        version=0,
        source_version=command.version,
        currency=command.currency,
        placed_at=command.placed_at,
        captured_at=draft.facts.now,
        updated_at=draft.facts.now,
        method=command.delivery.method,
        lines=tuple(_line(draft, source, asked) for asked in command.lines),
        hold_id=command.hold_id or None,  # type: ignore[arg-type]  # as above
    )
    return _with_facts(_delivered_to(draft, order, command.delivery), command)


def _with_facts(order: Order, command: PlaceOrder) -> Order:
    """Take over what a version says that no decision hangs on."""
    return msgspec.structs.replace(
        order,
        source_version=command.version,
        number=command.number or order.number,
        total_minor=command.total_minor,
        tax_minor=command.tax_minor,
        shipping_minor=command.shipping_minor,
        tax_included=command.tax_included,
        customer_label=command.customer_label,
    )


def _delivered_to(draft: Draft, order: Order, delivery: Delivery) -> Order:
    at = None
    if delivery.latitude is not None and delivery.longitude is not None:
        at = (delivery.latitude, delivery.longitude)
    return msgspec.structs.replace(
        order,
        method=delivery.method,
        location=location_of(draft, order.source, delivery.place),
        country=delivery.country,
        destination=at,
        promise_latest=delivery.latest,
    )


def _line(draft: Draft, source: str, asked: LineAsked) -> OrderLine:
    line = OrderLine(
        id=LineId(asked.line_ref),
        line_ref=asked.line_ref,
        item=asked.item,
        channel_sku=asked.sku,
        sku=Sku(""),
        title=asked.title,
        unit_price_minor=asked.unit_price_minor,
        tax_minor=asked.tax_minor,
        discount_minor=asked.discount_minor,
        requires_shipping=asked.requires_shipping,
        ordered=asked.quantity,
    )
    return msgspec.structs.replace(line, sku=sku_of(draft, source, line))


def _asked(order: Order, command: PlaceOrder) -> dict[str, int]:
    """Return the units of each line that shall be left: a version knows of no cut newer than itself."""
    left = {line.line_ref: line.quantity for line in command.lines}
    for cut in order.cuts:
        if cut.version > command.version and cut.line_ref in left:
            left[cut.line_ref] = max(0, left[cut.line_ref] - cut.units)
    return left


def _differs(order: Order, command: PlaceOrder) -> bool:
    asked = _asked(order, command)
    have = {line.line_ref: line.ordered - line.cancelled for line in order.lines}
    if command.cancelled != (order.state == "cancelled"):
        return True
    return any(have.get(ref, 0) != asked.get(ref, 0) for ref in have.keys() | asked.keys())


def _amend(draft: Draft, file: OrderFile, command: PlaceOrder) -> Applied:
    """Bring the record to the channel's newer version: cancel, reduce, add."""
    before = file.order
    order = _with_facts(before, command)
    file = draft.save(msgspec.structs.replace(file, order=order))
    if order.state == "cancelled":
        return "ignored", order.id, "the order is cancelled"
    if command.cancelled:
        cancel_everything(draft, file, "cancelled by the channel")
        return "applied", order.id, ""
    tie = command.version == before.source_version
    file, moved = _with_delivery(draft, file, command.delivery)
    file = _with_more(draft, file, command, tie=tie)
    file = _with_fewer(draft, file, command)
    file = _without_old_cuts(draft, file, command.version)
    if not moved and file.order.lines == before.lines:
        note = "a newer version brought no change of lines"
        draft.save(draft.note(file, "order.confirmed", note))
        return "applied", order.id, "no change of lines"
    file = publish_state(draft, file, "amended")
    if file.order.state != "cancelled":
        settle_or_route(draft, file, place=command.delivery.place)
    return "applied", order.id, ""


def _without_old_cuts(draft: Draft, file: OrderFile, version: int) -> OrderFile:
    """Forget the cuts that this version, and so every version to come, knows of."""
    cuts = tuple(cut for cut in file.order.cuts if cut.version > version)
    order = msgspec.structs.replace(file.order, cuts=cuts)
    return draft.save(msgspec.structs.replace(file, order=order))


def _with_delivery(draft: Draft, file: OrderFile, delivery: Delivery) -> tuple[OrderFile, bool]:
    """Take over another delivery while nobody works on the goods; tell whether it moves them.

    A place that we do not know is no other place; where work has begun, the first delivery stands.
    """
    before = file.order
    after = _delivered_to(draft, before, delivery)
    if after.method == before.method and after.location is None:
        after = msgspec.structs.replace(after, location=before.location)
    if (after.method, after.location) == (before.method, before.location):
        return draft.save(msgspec.structs.replace(file, order=after)), False
    free = withdraw(draft, file, "another delivery")
    if free is None:
        told = f"{delivery.method} {delivery.place}: too late, the goods are being worked on"
        return draft.save(draft.note(file, "order.delivery_kept", told)), False
    order = _delivered_to(draft, free.order, delivery)
    return draft.save(msgspec.structs.replace(free, order=order)), True


def _with_more(draft: Draft, file: OrderFile, command: PlaceOrder, *, tie: bool) -> OrderFile:
    lines = {line.line_ref: line for line in file.order.lines}
    left = _asked(file.order, command)
    for asked in command.lines:
        have = lines.get(asked.line_ref)
        if have is None:
            lines[asked.line_ref] = _line(draft, file.order.source, asked)
            continue
        more = left[asked.line_ref] - (have.ordered - have.cancelled)
        if tie and have.cancelled:
            more = 0
        lines[asked.line_ref] = msgspec.structs.replace(
            have,
            ordered=have.ordered + max(0, more),
            title=asked.title,
            unit_price_minor=asked.unit_price_minor,
            tax_minor=asked.tax_minor,
            discount_minor=asked.discount_minor,
        )
    order = msgspec.structs.replace(file.order, lines=tuple(lines.values()))
    return draft.save(msgspec.structs.replace(file, order=order))


def _with_fewer(draft: Draft, file: OrderFile, command: PlaceOrder) -> OrderFile:
    asked = _asked(file.order, command)
    fewer = {
        line.id: line.ordered - line.cancelled - asked.get(line.line_ref, 0)
        for line in file.order.lines
        if line.ordered - line.cancelled > asked.get(line.line_ref, 0)
    }
    return cancel_units(draft, file, fewer, "reduced by the channel") if fewer else file
