"""What of a batch goes into the audit log: each thing that a person or program did by hand."""

from collections.abc import Sequence

from config.clock import to_us
from handlers.actions import (
    ActOnFulfilment,
    EndHold,
    ImportCatalog,
    ImportStock,
    PlaceByHand,
    PlaceHold,
    Task,
)
from handlers.commands import CancelOrder
from handlers.message import Message, Outcome
from store.ports import AuditEntry

_SUBJECT_CHARACTERS_MAX = 300
_API = "api:"


def audited(
    messages: Sequence[Message], outcomes: Sequence[Outcome | Exception]
) -> list[AuditEntry]:
    """Return an entry for each task of operators' messages that was done now.

    Our own timers (not recorded) and repeats do nothing by hand; what was refused had no effect.
    """
    return [
        _entry(message, task)
        for message, outcome in zip(messages, outcomes, strict=True)
        if message.operator and message.recorded and _done_now(outcome)
        for task in message.tasks
    ]


def _done_now(outcome: Outcome | Exception) -> bool:
    return isinstance(outcome, Outcome) and outcome.name != "duplicate"


def _entry(message: Message, task: Task) -> AuditEntry:
    action, subject = _what(task)
    return AuditEntry(
        at_us=to_us(message.received_at),
        actor=message.by,
        token_id=message.source.removeprefix(_API),
        action=action,
        subject=subject[:_SUBJECT_CHARACTERS_MAX],
        fingerprint=message.fingerprint.hex(),
    )


def _what(task: Task) -> tuple[str, str]:  # noqa: PLR0911 - one case for each
    """Return what was done, and to what; ids only, nothing about people."""
    match task:
        case ActOnFulfilment():
            return f"fulfilment.{task.action}", task.fulfilment_id
        case CancelOrder():
            return "order.cancel", f"{task.order.source} {task.order.ref}"
        case PlaceByHand():
            return "order.place", f"{task.order.order.source} {task.order.order.ref}"
        case PlaceHold():
            return "hold.place", task.market
        case EndHold():
            return "hold.release", task.hold_id
        case ImportStock():
            return "stock.import", f"{len(task.rows)} rows"
        case ImportCatalog():
            return "catalog.import", f"{len(task.items)} items"
        case _:
            return type(task).__name__, ""
