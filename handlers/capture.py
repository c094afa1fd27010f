"""Capture: any channel's order becomes one record, and newer versions of it amend that record."""

import msgspec

from config.ids import LineId, LocationId, OrderId, Sku
from handlers.cancel import cancel_everything, cancel_units
from handlers.commands import CancelOrder, LineAsked, PlaceOrder
from handlers.confirm_hold import confirm_hold
from handlers.desk import Draft
from handlers.outcome import Applied
from handlers.sell import book_sale
from store.ports import OrderFile
from store.records import Order, OrderLine


def place_order(draft: Draft, command: PlaceOrder) -> Applied:
    """Make the order's record, or bring it up to a newer version of the channel's order.

    An older version never overwrites. Two versions of the same instant (channels with whole seconds)
    are both applied, but one never brings cancelled units back.
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


def remap(draft: Draft, file: OrderFile) -> OrderFile:
    """Look up the lines and the place that had no mapping when the order came."""
    order = file.order
    lines = tuple(
        line if line.sku else msgspec.structs.replace(line, sku=_sku(draft, order.source, line))
        for line in order.lines
    )
    place = order.location or _place_from_hold(draft, order)
    file = msgspec.structs.replace(
        file, order=msgspec.structs.replace(order, lines=lines, location=place)
    )
    return draft.save(file)


def settle_or_route(draft: Draft, file: OrderFile, *, place: str = "") -> OrderFile:
    """Hold the order where something is unmapped; else have it routed."""
    order = file.order
    open_lines = [line for line in order.lines if line.requires_shipping and line.unassigned > 0]
    unmapped = sorted({line.item or line.line_ref for line in open_lines if not line.sku})
    no_place = order.method in {"pickup", "handed_over"} and order.location is None
    reasons = (("UNMAPPED_ITEM",) if unmapped else ()) + (
        (f"UNMAPPED_PLACE:{place}",) if no_place else ()
    )
    draft_exceptions(draft, file, unmapped, place if no_place else None)
    if reasons:
        return _held(draft, file, reasons)
    if order.hold_reasons:
        file = msgspec.structs.replace(file, order=msgspec.structs.replace(order, hold_reasons=()))
        file = draft.save(file)
    if order.method == "handed_over":
        return book_sale(draft, file)
    if open_lines:
        draft.route(order.id)
        return file
    return _set_state(draft, file, "accepted") if order.state == "captured" else file


def draft_exceptions(draft: Draft, file: OrderFile, unmapped: list[str], place: str | None) -> None:
    """Open or close the order's work items about what the catalog and the network do not know."""
    order = file.order
    if unmapped:
        what: dict[str, str | int | list[str]] = {"source": order.source, "items": unmapped}
        draft.open_exception("UNMAPPED_ITEM", order.id, what, file=file)
    else:
        draft.resolve_exception("UNMAPPED_ITEM", order.id)
    if place is not None:
        draft.open_exception(
            "UNMAPPED_PLACE", order.id, {"source": order.source, "place": place}, file=file
        )
    else:
        draft.resolve_exception("UNMAPPED_PLACE", order.id)


def _capture(draft: Draft, command: PlaceOrder) -> Applied:
    file = draft.order_event(OrderFile(order=_new_order(draft, command)), "captured")
    if command.cancelled or _cancelled_before(draft, file):
        cancel_everything(draft, file, "cancelled when it came")
    elif not (command.hold_id and confirm_hold(draft, file)):
        settle_or_route(draft, file, place=command.delivery.place)
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
    directory, delivery = draft.facts.directory, command.delivery
    at = None
    if delivery.latitude is not None and delivery.longitude is not None:
        at = (delivery.latitude, delivery.longitude)
    return Order(
        id=OrderId(draft.facts.new_id()),
        source=source,  # type: ignore[arg-type]  # the edge has checked that the source exists
        external_id=command.order.ref,
        number=command.number or command.order.ref,
        market=directory.market_of(source),  # type: ignore[arg-type]  # as above
        state="captured",
        version=0,
        source_version=command.version,
        currency=command.currency,
        placed_at=command.placed_at,
        captured_at=draft.facts.now,
        updated_at=draft.facts.now,
        method=delivery.method,
        location=directory.location_of(source, delivery.place) if delivery.place else None,  # type: ignore[arg-type]
        country=delivery.country,
        destination=at,
        promise_latest=delivery.latest,
        lines=tuple(_line(draft, source, asked) for asked in command.lines),
        total_minor=command.total_minor,
        tax_minor=command.tax_minor,
        shipping_minor=command.shipping_minor,
        tax_included=command.tax_included,
        customer_label=command.customer_label,
        hold_id=command.hold_id or None,  # type: ignore[arg-type]  # NewType of the same string
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
    return msgspec.structs.replace(line, sku=_sku(draft, source, line))


def _sku(draft: Draft, source: str, line: OrderLine) -> Sku:
    """Map by the channel's item id, else by a SKU of the channel that is one of ours, else to none."""
    found = draft.desk.found
    mapped = found.sku_of_item.get((source, line.item))
    if mapped:
        return mapped
    own = Sku(line.channel_sku)
    return own if own in found.skus else Sku("")


def _place_from_hold(draft: Draft, order: Order) -> LocationId | None:
    for reason in order.hold_reasons:
        code, _, place = reason.partition(":")
        if code == "UNMAPPED_PLACE" and place:
            return draft.facts.directory.location_of(order.source, place)
    return None


def _held(draft: Draft, file: OrderFile, reasons: tuple[str, ...]) -> OrderFile:
    if file.order.hold_reasons == reasons:
        return file
    order = msgspec.structs.replace(file.order, state="held", hold_reasons=reasons)
    return draft.order_event(msgspec.structs.replace(file, order=order), "held", ", ".join(reasons))


def _set_state(draft: Draft, file: OrderFile, state: str) -> OrderFile:
    order = msgspec.structs.replace(file.order, state=state)
    return draft.order_event(msgspec.structs.replace(file, order=order), state)


def _differs(order: Order, command: PlaceOrder) -> bool:
    asked = {line.line_ref: line.quantity for line in command.lines}
    have = {line.line_ref: line.ordered - line.cancelled for line in order.lines}
    return command.cancelled != (order.state == "cancelled") or asked != have


def _amend(draft: Draft, file: OrderFile, command: PlaceOrder) -> Applied:
    """Bring the record to the channel's newer version: cancel, reduce, add."""
    tie = command.version == file.order.source_version
    order = msgspec.structs.replace(file.order, source_version=command.version)
    file = draft.save(msgspec.structs.replace(file, order=order))
    order_id = order.id
    if order.state == "cancelled":
        return "ignored", order_id, "the order is cancelled"
    if command.cancelled:
        cancel_everything(draft, file, "cancelled by the channel")
        return "applied", order_id, ""
    before = file.order
    file = _with_more(draft, file, command, tie=tie)
    file, fewer = _with_fewer(draft, file, command)
    if not fewer and file.order.lines == before.lines:
        draft.save(
            draft.note(file, "order.confirmed", "a newer version brought no change of lines")
        )
        return "applied", order_id, "no change of lines"
    file = draft.order_event(file, "amended")
    if file.order.method != "handed_over":
        settle_or_route(draft, file)
    return "applied", order_id, ""


def _with_more(draft: Draft, file: OrderFile, command: PlaceOrder, *, tie: bool) -> OrderFile:
    known = {line.line_ref: line for line in file.order.lines}
    lines = dict(known)
    for asked in command.lines:
        have = known.get(asked.line_ref)
        if have is None:
            lines[asked.line_ref] = _line(draft, file.order.source, asked)
        elif asked.quantity > have.ordered - have.cancelled and not (tie and have.cancelled):
            lines[asked.line_ref] = msgspec.structs.replace(
                have, ordered=asked.quantity + have.cancelled
            )
    order = msgspec.structs.replace(file.order, lines=tuple(lines.values()))
    return draft.save(msgspec.structs.replace(file, order=order))


def _with_fewer(draft: Draft, file: OrderFile, command: PlaceOrder) -> tuple[OrderFile, bool]:
    asked = {line.line_ref: line.quantity for line in command.lines}
    fewer = {
        line.id: line.ordered - line.cancelled - asked.get(line.line_ref, 0)
        for line in file.order.lines
        if line.ordered - line.cancelled > asked.get(line.line_ref, 0)
    }
    if not fewer:
        return file, False
    return cancel_units(draft, file, fewer, "reduced by the channel"), True
