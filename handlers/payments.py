"""Money facts that belong to an order: authorised, captured, failed, disputed, refunded."""

import msgspec

from config.ids import LineId, OrderId, SourceId
from handlers.cancel import cancel_units, publish_state
from handlers.commands import OrderKey, RecordPayment, RecordRefund
from handlers.desk import Draft
from handlers.lifecycle import with_line_changes
from handlers.outcome import Applied
from store.ports import OrderFile
from store.records import Refund, Tender

# Providers have whole seconds: within one instant the state that comes later in a payment's life wins.
_RANK = {"planned": 0, "authorised": 1, "failed": 2, "voided": 2, "captured": 3, "disputed": 4}
_EVENT = {
    "authorised": "authorised",
    "captured": "captured",
    "failed": "failed",
    "voided": "failed",
    "disputed": "disputed",
}


def record_payment(draft: Draft, source: SourceId, command: RecordPayment) -> Applied | None:
    """Bring a tender up to what the payment became; None: its order is not known yet."""
    file = _order_of(draft, source, command.order, command.payment_ref)
    if file is None:
        return None
    order = file.order
    tender_id = f"{source}:{command.payment_ref}"
    known = {tender.id: tender for tender in order.tenders}
    old = known.get(tender_id)
    draft.join_payment(source, command.payment_ref, order.id)
    if old and (command.version, _RANK[command.state]) <= (old.source_version, _RANK[old.state]):
        return "ignored", order.id, f"stale: the payment is {old.state} already"
    tender = _tender(old, tender_id, source, order.id, command)
    known[tender_id] = tender
    order = msgspec.structs.replace(order, tenders=tuple(known.values()))
    event = _EVENT[command.state]
    file = draft.note(
        msgspec.structs.replace(file, order=order),
        f"payment.{event}",
        f"{tender.payment_ref}: {command.amount_minor} {command.currency}",
    )
    draft.save(file)
    draft.payment_event(tender, event)
    _watch(draft, file, tender)
    return "applied", order.id, ""


def record_refund(draft: Draft, source: SourceId, command: RecordRefund) -> Applied | None:
    """Record money that went back, and the units it covers; None: its order is not known yet."""
    file = _order_of(draft, source, command.order, command.payment_ref)
    if file is None:
        return None
    order = file.order
    refund_id = f"{source}:{command.refund_ref}"
    known = {refund.id: refund for refund in order.refunds}
    old = known.get(refund_id)
    if old and (command.version < old.source_version or old.state == command.state):
        return "ignored", order.id, f"the refund is {old.state} already"
    refund = Refund(
        id=refund_id,
        source=source,
        refund_ref=command.refund_ref,
        payment_ref=command.payment_ref,
        order_id=order.id,
        state=command.state,
        amount_minor=command.amount_minor,
        currency=command.currency,
        version=(old.version if old else 0) + 1,
        source_version=command.version,
    )
    known[refund_id] = refund
    order = msgspec.structs.replace(order, refunds=tuple(known.values()))
    file = draft.note(
        msgspec.structs.replace(file, order=order),
        "payment.refunded",
        f"{command.state}: {command.amount_minor} {command.currency}",
    )
    draft.save(file)
    draft.payment_event(refund, "failed" if command.state == "failed" else "refunded")
    if old is None and command.lines:
        _refund_units(draft, file, command)
    return "applied", order.id, ""


def _order_of(
    draft: Draft, source: str, key: OrderKey | None, payment_ref: str
) -> OrderFile | None:
    if key is not None:
        return draft.order_of_ref(key.source, key.ref)
    return draft.order_of_payment(source, payment_ref)


def _tender(
    old: Tender | None, tender_id: str, source: SourceId, order_id: OrderId, command: RecordPayment
) -> Tender:
    captured = old.captured_minor if old else 0
    authorised = old.authorised_minor if old else 0
    if command.state == "captured":
        captured = command.amount_minor
        authorised = max(authorised, captured)
    elif command.state == "authorised":
        authorised = command.amount_minor
    return Tender(
        id=tender_id,
        source=source,
        payment_ref=command.payment_ref,
        order_id=order_id,
        state=command.state,
        currency=command.currency,
        authorised_minor=authorised,
        captured_minor=captured,
        version=(old.version if old else 0) + 1,
        source_version=command.version,
    )


def _watch(draft: Draft, file: OrderFile, tender: Tender) -> None:
    """Open a work item where a person must look: a failed capture, or a dispute."""
    what: dict[str, str | int | list[str]] = {
        "payment": tender.payment_ref,
        "amount_minor": tender.captured_minor or tender.authorised_minor,
        "currency": tender.currency,
    }
    if tender.state == "failed":
        draft.open_exception("CAPTURE_FAILED", file.order.id, what, file=file)
    elif tender.state == "disputed":
        draft.open_exception("PAYMENT_DISPUTED", file.order.id, what, file=file)
    elif tender.state == "captured":
        draft.resolve_exception("CAPTURE_FAILED", file.order.id)


def _refund_units(draft: Draft, file: OrderFile, command: RecordRefund) -> None:
    """Count refunded units; those that never left and will not leave are cancelled."""
    by_ref = {line.line_ref: line for line in file.order.lines}
    refunded: dict[LineId, dict[str, int]] = {}
    cancelled: dict[LineId, int] = {}
    for asked in command.lines:
        line = by_ref.get(asked.line_ref)
        if line is None:
            continue
        refunded[line.id] = {
            "refunded": refunded.get(line.id, {}).get("refunded", 0) + asked.quantity
        }
        if asked.restock == "cancel":
            cancelled[line.id] = min(line.open, cancelled.get(line.id, 0) + asked.quantity)
    order = with_line_changes(file.order, refunded)
    file = draft.save(msgspec.structs.replace(file, order=order))
    if any(cancelled.values()):
        file = cancel_units(draft, file, cancelled, "refunded before it was sent")
    publish_state(draft, file, "changed", "refunded")
