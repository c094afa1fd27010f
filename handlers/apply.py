"""One message on its draft: each task goes to its use case, in order, all of them or none."""

from typing import assert_never

import msgspec

from config.clock import to_us
from config.errors import InvalidTransition
from config.ids import OrderId
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
from handlers.cancel import cancel_order
from handlers.capture import place_order
from handlers.commands import (
    CancelOrder,
    Command,
    CountStock,
    FetchOrder,
    Ignore,
    PlaceOrder,
    RecordPayment,
    RecordRefund,
    ReportFulfilment,
    Suspect,
)
from handlers.draft import Draft
from handlers.fulfil import act_on_fulfilment
from handlers.holds import ask_for_hold, end_hold
from handlers.message import Message
from handlers.outcome import Applied, together
from handlers.parking import PAYMENT, expire_parked, park, take_waiting, unplaced
from handlers.payments import record_payment, record_refund
from handlers.report import report_fulfilment
from handlers.settle import remap, settle_or_route
from handlers.stock import count_stock, import_catalog, import_stock
from handlers.work_items import What
from store.ports import Fetch, Ref

Result = tuple[Applied, bytes | None]
"""What a message came to, and the JSON that an operator's request is answered with."""


def apply_message(draft: Draft, message: Message) -> Result:
    """Apply all tasks of a message and whatever waited for what they brought.

    Raises:
        Rejected: what this message asks cannot be done; nothing of it may be accepted.
    """
    results: list[Applied] = []
    answer: bytes | None = None
    for task in message.tasks:
        applied, answer = _apply(draft, message, task)
        results.append(applied)
        _apply_waiting(draft, message, task)
    return together(results), answer


def _apply(  # noqa: C901, PLR0911, PLR0912 - one case for each action
    draft: Draft, message: Message, task: Task
) -> Result:
    match task:
        case ActOnFulfilment():
            return act_on_fulfilment(draft, task)
        case EndHold():
            return end_hold(draft, task)
        case PlaceHold():
            return ask_for_hold(draft, message, task), None
        case ImportStock():
            return import_stock(draft, task), None
        case ImportCatalog():
            return import_catalog(draft, task), None
        case DecideOrders():
            return _decide(draft, message, task), None
        case ExpireParked():
            return expire_parked(draft, task), None
        case SettleFetch():
            return _settle_fetch(draft, task), None
        case PlaceByHand():
            return _place_by_hand(draft, task.order), None
        case ApplyWaiting():
            return _apply_reunited(draft, message, task), None
        case PublishAvailability():
            draft.step(lambda desk: desk.to_tell.update(dict.fromkeys(task.skus)))
            return ("applied", None, ""), None
        case PostponeFetch():
            draft.step(lambda desk: desk.changes.fetches.extend(task.fetches))
            return ("applied", None, ""), None
        case _:
            return _apply_command(draft, message, task), None


def _apply_command(  # noqa: C901, PLR0911, PLR0912 - one case for each command
    draft: Draft, message: Message, command: Command
) -> Applied:
    match command:
        case PlaceOrder():
            return place_order(draft, command)
        case CountStock():
            return count_stock(draft, message.source, command)
        case FetchOrder():
            return _fetch(draft, message, command)
        case Ignore():
            return "ignored", None, command.reason
        case Suspect():
            draft.events.message(message, "quarantined", command.reason)
            return "quarantined", None, command.reason
        case CancelOrder():
            return cancel_order(draft, command) or park(draft, message, command)
        case RecordPayment():
            return record_payment(draft, message.source, command) or park(draft, message, command)
        case RecordRefund():
            return record_refund(draft, message.source, command) or park(draft, message, command)
        case ReportFulfilment():
            known = report_fulfilment(draft, message.source, command)
            return known or park(draft, message, command)
        case _:
            assert_never(command)


def _apply_waiting(draft: Draft, message: Message, task: Task) -> None:
    """Apply what waited for the order or payment that this task may have brought."""
    parents = []
    if isinstance(task, PlaceOrder):
        parents.append((task.order.source, task.order.ref))
    if isinstance(task, RecordPayment):
        parents.append((message.source, PAYMENT + task.payment_ref))
    for parent in parents:
        if _is_there(draft, parent):
            _apply_children(draft, message, parent)


def _is_there(draft: Draft, parent: Ref) -> bool:
    """Tell whether a parent is known by now: an order, or the order of a payment."""
    source, ref = parent
    if ref.startswith(PAYMENT):
        return draft.order_of_payment(source, ref.removeprefix(PAYMENT)) is not None
    return draft.order_of_ref(source, ref) is not None


def _apply_children(draft: Draft, message: Message, parent: Ref) -> None:
    for source, command in take_waiting(draft, parent):
        own = msgspec.structs.replace(message, source=source)
        _apply_command(draft, own, command)
        _apply_waiting(draft, own, command)


def _apply_reunited(draft: Draft, message: Message, command: ApplyWaiting) -> Applied:
    for parent in command.parents:
        if _is_there(draft, parent):
            _apply_children(draft, message, parent)
    return "applied", None, ""


def _place_by_hand(draft: Draft, order: PlaceOrder) -> Applied:
    """Place a new order; a reference that is taken names somebody else's order."""
    if draft.order_of_ref(order.order.source, order.order.ref):
        raise InvalidTransition(
            f"order_ref {order.order.ref!r} is taken; leave it out, or choose another"
        )
    return place_order(draft, order)


def _fetch(draft: Draft, message: Message, command: FetchOrder) -> Applied:
    known = draft.order_of_ref(command.order.source, command.order.ref)
    order_id = known.order.id if known else None
    if known and command.version and command.version <= known.order.source_version:
        return "ignored", order_id, "the order was read before, at this version or a newer one"
    fetch = Fetch(
        id=draft.facts.new_id(),
        source=message.source,
        order_ref=command.order.ref,
        version=command.version,
        due_us=to_us(draft.facts.now),
    )
    draft.step(lambda desk: desk.changes.fetches.append(fetch))
    return "accepted", order_id, "the order is read from its platform"


def _settle_fetch(draft: Draft, command: SettleFetch) -> Applied:
    draft.step(lambda desk: desk.changes.fetched.extend(command.fetch_ids))
    subject = f"{command.source}:{command.order_ref}"
    if command.failed:
        what: What = {
            "source": command.source,
            "order_ref": command.order_ref,
            "reason": command.failed,
        }
        draft.work_items.open("FETCH_FAILED", subject, what)
    else:
        draft.work_items.resolve("FETCH_FAILED", subject)
    return "applied", None, command.failed


def _decide(draft: Draft, message: Message, command: DecideOrders) -> Applied:
    for order_id in command.order_ids:
        file = draft.order(OrderId(order_id))
        if file is None or file.order.state == "cancelled":
            continue
        order = remap(draft, msgspec.structs.replace(file, undecided=False)).order
        _apply_children(draft, message, unplaced((order.source, order.external_id)))
        settle_or_route(draft, draft.order(order.id) or file)
    return "applied", None, f"{len(command.order_ids)} orders"
