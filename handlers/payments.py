"""Money facts that belong to an order: authorised, captured, failed, disputed, refunded.

They come in any order, so each is merged by its own version and by what it can only add to.
"""

import msgspec

from config.ids import LineId, OrderId, SourceId
from handlers.cancel import cancel_some, with_cuts
from handlers.commands import OrderKey, RecordPayment, RecordRefund
from handlers.draft import Draft
from handlers.lifecycle import with_line_changes
from handlers.outcome import Applied
from handlers.work_items import What
from store.ports import OrderFile
from store.records import Order, Refund, Tender

# Providers have whole seconds: within one instant the state that comes later in a payment's life wins.
_RANK = {"planned": 0, "authorised": 1, "failed": 2, "voided": 2, "captured": 3, "disputed": 4}
_REFUND_RANK = {"pending": 0, "failed": 1, "succeeded": 2}
_EVENT = {
    "authorised": "authorised",
    "captured": "captured",
    "failed": "failed",
    "voided": "failed",
    "disputed": "disputed",
}


def record_payment(draft: Draft, source: SourceId, command: RecordPayment) -> Applied | None:
    """Bring a tender up to what the payment became; None: its order is not known yet.

    The newest state stands; an older fact may still tell an amount that the newer did not.
    """
    file = _order_of(draft, source, command.order, command.payment_ref)
    if file is None:
        return None
    order = file.order
    draft.join_payment(source, command.payment_ref, order.id)
    known = {tender.id: tender for tender in order.tenders}
    old = known.get(tender_id(source, command.payment_ref))
    tender = _tender(old, source, order.id, command)
    if tender == old:
        return "ignored", order.id, f"stale: the payment is {old.state} already"
    tender = msgspec.structs.replace(tender, version=tender.version + 1)
    known[tender.id] = tender
    event = _EVENT[command.state]
    detail = f"{tender.payment_ref}: {command.amount_minor} {command.currency}"
    order = msgspec.structs.replace(order, tenders=tuple(known.values()))
    file = draft.note(msgspec.structs.replace(file, order=order), f"payment.{event}", detail)
    draft.save(file)
    draft.events.payment(tender, event)
    _watch(draft, file, tender)
    return "applied", order.id, ""


def record_refund(draft: Draft, source: SourceId, command: RecordRefund) -> Applied | None:
    """Record money that went back, and the units it covers; None: its order is not known yet."""
    file = _order_of(draft, source, command.order, command.payment_ref)
    if file is None:
        return None
    order = file.order
    known = {refund.id: refund for refund in order.refunds}
    old = known.get(f"{source}:{command.refund_ref}")
    if old and not _is_newer(old, command):
        return "ignored", order.id, f"stale: the refund is {old.state} already"
    refund = _refund(old, source, order.id, command)
    known[refund.id] = refund
    order = msgspec.structs.replace(order, refunds=tuple(known.values()))
    detail = f"{command.state}: {command.amount_minor} {command.currency}"
    file = draft.note(msgspec.structs.replace(file, order=order), "payment.refunded", detail)
    draft.save(file)
    draft.events.payment(refund, "failed" if command.state == "failed" else "refunded")
    told = source == order.source and _is_told(order, command)
    _refund_units(draft, file, command, old=old, told=told)
    return "applied", order.id, ""


def tender_id(source: str, payment_ref: str) -> str:
    """Return the id of a payment's tender, which its work items stand under."""
    return f"{source}:{payment_ref}"


def _order_of(
    draft: Draft, source: str, key: OrderKey | None, payment_ref: str
) -> OrderFile | None:
    if key is not None:
        return draft.order_of_ref(key.source, key.ref)
    return draft.order_of_payment(source, payment_ref)


def _tender(
    old: Tender | None, source: SourceId, order_id: OrderId, command: RecordPayment
) -> Tender:
    """Merge a fact; amounts are totals so far, so the largest told is the newest."""
    tender = old or Tender(
        id=tender_id(source, command.payment_ref),
        source=source,
        payment_ref=command.payment_ref,
        order_id=order_id,
        state="planned",
        currency=command.currency,
        source_version=command.version,
    )
    tender = msgspec.structs.replace(tender, parts=_parts(tender, command))
    told = sum(amount for _, amount in tender.parts) if command.part_ref else command.amount_minor
    captured = max(tender.captured_minor, told if command.state == "captured" else 0)
    authorised = max(tender.authorised_minor, told if command.state == "authorised" else 0)
    tender = msgspec.structs.replace(
        tender, authorised_minor=max(authorised, captured), captured_minor=captured
    )
    newest = (tender.source_version, _RANK[tender.state])
    if (command.version, _RANK[command.state]) <= newest:
        return tender
    return msgspec.structs.replace(tender, state=command.state, source_version=command.version)


def _parts(tender: Tender, command: RecordPayment) -> tuple[tuple[str, int], ...]:
    if command.state != "captured" or not command.part_ref:
        return tender.parts
    return tuple(sorted({**dict(tender.parts), command.part_ref: command.amount_minor}.items()))


def _watch(draft: Draft, file: OrderFile, tender: Tender) -> None:
    """Open a work item where a person must look: a failed capture, or a dispute."""
    what: What = {
        "payment": tender.payment_ref,
        "amount_minor": tender.captured_minor or tender.authorised_minor,
        "currency": tender.currency,
    }
    if tender.state == "failed":
        draft.work_items.open("CAPTURE_FAILED", tender.id, what, file=file)
    else:
        draft.work_items.resolve("CAPTURE_FAILED", tender.id)
    if tender.state == "disputed":
        draft.work_items.open("PAYMENT_DISPUTED", tender.id, what, file=file)


def _is_newer(old: Refund, command: RecordRefund) -> bool:
    before = (old.source_version, _REFUND_RANK[old.state])
    return before < (command.version, _REFUND_RANK[command.state])


def _refund(
    old: Refund | None, source: SourceId, order_id: OrderId, command: RecordRefund
) -> Refund:
    return Refund(
        id=f"{source}:{command.refund_ref}",
        source=source,
        refund_ref=command.refund_ref,
        payment_ref=command.payment_ref,
        order_id=order_id,
        state=command.state,
        amount_minor=command.amount_minor,
        currency=command.currency,
        version=(old.version if old else 0) + 1,
        source_version=command.version,
    )


def _refund_units(
    draft: Draft, file: OrderFile, command: RecordRefund, *, old: Refund | None, told: bool
) -> None:
    """Count refunded units while the money goes back; cancel those that never left, once.

    `told`: the order's present version has left them out already.
    """
    counted = int(command.state != "failed") - int(old is not None and old.state != "failed")
    by_ref = {line.line_ref: line.id for line in file.order.lines}
    refunded: dict[LineId, dict[str, int]] = {}
    cancelled: dict[LineId, int] = {}
    for asked in command.lines:
        if (line := by_ref.get(asked.line_ref)) is None:
            continue
        before = refunded.get(line, {}).get("refunded", 0)
        refunded[line] = {"refunded": before + counted * asked.quantity}
        if asked.restock == "cancel":
            cancelled[line] = cancelled.get(line, 0) + asked.quantity
    order = with_line_changes(file.order, refunded)
    apart = old is None and not told and order.state != "cancelled"
    if apart:
        never_sent = [asked for asked in command.lines if asked.restock == "cancel"]
        units = tuple((asked.line_ref, asked.quantity) for asked in never_sent)
        order = with_cuts(order, command.version, units)
    if order != file.order:
        file = draft.save(msgspec.structs.replace(file, order=order))
    if apart and cancelled:
        cancel_some(draft, file, cancelled, "refunded before it was sent", "changed")


def _is_told(order: Order, command: RecordRefund) -> bool:
    """Tell whether the order's present version is newer, so that it knows of this refund."""
    return 0 < command.version <= order.source_version
