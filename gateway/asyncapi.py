"""The AsyncAPI document of the events, from the records that are their data."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from outbox.event import STREAM, Entity
from store.records import (
    Availability,
    ExceptionRecord,
    Fulfilment,
    InventoryLevel,
    MessageNotice,
    Order,
    Refund,
    Restoration,
    Tender,
)


class Subjects(msgspec.Struct, frozen=True):
    """One entity's subjects: what their key is, which events there are, what their data are."""

    key: str
    events: tuple[str, ...]
    data: tuple[type[msgspec.Struct], ...]


SUBJECTS: Final[Mapping[Entity, Subjects]] = {
    "order": Subjects(
        "order id",
        (
            "captured",
            "accepted",
            "held",
            "rejected",
            "routed",
            "amended",
            "changed",
            "cancelled",
            "fulfilled",
            "closed",
            "reopened",
        ),
        (Order,),
    ),
    "fulfilment": Subjects(
        "location id",
        (
            "assigned",
            "acknowledged",
            "picking",
            "picked",
            "short",
            "staged",
            "ready",
            "collected",
            "packed",
            "handed_off",
            "delivered",
            "rejected",
            "changed",
            "cancelled",
        ),
        (Fulfilment,),
    ),
    "inventory": Subjects(
        "sku",
        ("adjusted", "availability_changed", "oversold"),
        (InventoryLevel, Availability),
    ),
    "exception": Subjects(
        "order id or location id",
        ("opened", "assigned", "resolved", "escalated"),
        (ExceptionRecord,),
    ),
    "payment": Subjects(
        "order id",
        ("authorised", "captured", "refunded", "settled", "disputed", "failed"),
        (Tender, Refund),
    ),
    "message": Subjects("source id", ("quarantined", "released", "replayed"), (MessageNotice,)),
    "instance": Subjects("database's new incarnation", ("restored",), (Restoration,)),
}
_REFERENCE: Final = "#/components/schemas/{name}"
_HEADERS: Final = {
    "ce-specversion": "Version of CloudEvents.",
    "ce-id": "The event's id; the same in every repeat.",
    "ce-source": "Who published it.",
    "ce-type": "imv.<entity>.<event>.v1",
    "ce-subject": "The entity's key.",
    "ce-time": "When it happened (RFC 3339).",
    "content-type": "application/json",
    "Nats-Msg-Id": "Equal to ce-id.",
    "traceparent": "W3C trace context of what caused it, where that carried one.",
}


def document() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document; consumers ignore events that they do not know."""
    records = [record for one in SUBJECTS.values() for record in one.data]
    _, schemas = msgspec.json.schema_components(records, ref_template=_REFERENCE)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "IMV events",
            "version": "1",
            "description": f"CloudEvents in NATS binary mode, in the JetStream stream {STREAM}.",
        },
        "defaultContentType": "application/json",
        "channels": {entity: _channel(entity, one) for entity, one in SUBJECTS.items()},
        "operations": {f"publish.{entity}": _operation(entity) for entity in SUBJECTS},
        "components": {"schemas": schemas, "messages": dict(map(_message, SUBJECTS.items()))},
    }


def _channel(entity: str, subjects: Subjects) -> dict[str, Any]:
    return {
        "address": f"imv.v1.{entity}.{{event}}.{{key}}",
        "parameters": {
            "event": {"description": "What happened.", "enum": list(subjects.events)},
            "key": {"description": f"The {subjects.key}; forbidden characters percent-encoded."},
        },
        "messages": {entity: {"$ref": f"#/components/messages/{entity}"}},
    }


def _operation(entity: str) -> dict[str, Any]:
    channel = f"#/channels/{entity}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{entity}"}],
    }


def _message(item: tuple[str, Subjects]) -> tuple[str, dict[str, Any]]:
    entity, subjects = item
    references = [{"$ref": _REFERENCE.format(name=r.__name__)} for r in subjects.data]
    payload = references[0] if len(references) == 1 else {"oneOf": references}
    headers = {name: {"type": "string", "description": text} for name, text in _HEADERS.items()}
    return entity, {
        "contentType": "application/json",
        "headers": {"type": "object", "properties": headers},
        "payload": payload,
    }
