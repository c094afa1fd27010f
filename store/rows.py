"""Between records and rows: how a record's document and columns are encoded."""

from typing import Any

import msgspec

from config.clock import to_us
from config.ids import OrderId
from outbox.driver import Row
from routing.network import MarketNetwork
from store.ports import (
    ExceptionFile,
    Fetch,
    FulfilmentFile,
    HoldFile,
    InboxRow,
    Movement,
    OrderFile,
    Parked,
)
from store.records import (
    CLOSED_STATES,
    ExceptionRecord,
    Fulfilment,
    HistoryEntry,
    Hold,
    Order,
)
from store.tables import fulfilments, inbox, parked

encode = msgspec.json.encode
decode_order = msgspec.json.Decoder(Order).decode
decode_history = msgspec.json.Decoder(tuple[HistoryEntry, ...]).decode
decode_fulfilment = msgspec.json.Decoder(Fulfilment).decode
decode_hold = msgspec.json.Decoder(Hold).decode
_INBOX, _FULFILMENT, _PARKED = (
    tuple(column.name for column in table.c) for table in (inbox, fulfilments, parked)
)
decode_network = msgspec.json.Decoder(MarketNetwork).decode
decode_exception = msgspec.json.Decoder(ExceptionRecord).decode


def of_message(row: InboxRow) -> dict[str, Any]:
    """Return the inbox columns of a message."""
    return msgspec.structs.asdict(row)


def to_message(row: Row) -> InboxRow:
    """Return the message of an inbox row, its columns in the table's order."""
    return InboxRow(**dict(zip(_INBOX, row, strict=True)))


def of_order(file: OrderFile) -> dict[str, Any]:
    """Return the columns of an order; `plan` stays what it was when no new one was made."""
    order = file.order
    return {
        "id": order.id,
        "source": order.source,
        "external_id": order.external_id,
        "market": order.market,
        "state": order.state,
        "undecided": file.undecided,
        "placed_us": to_us(order.placed_at),
        "updated_us": to_us(order.updated_at),
        "document": encode(order),
        "history": encode(file.history),
        "plan": encode(file.plan) if file.plan is not None else None,
    }


def to_order(
    documents: tuple[bytes, bytes],
    fulfilments: tuple[FulfilmentFile, ...],
    *,
    undecided: object,
    lock: int,
) -> OrderFile:
    """Return the file of an order's document and history, and its fulfilments; without its plan."""
    document, history = documents
    return OrderFile(
        order=decode_order(document),
        fulfilments=fulfilments,
        history=decode_history(history),
        undecided=bool(undecided),
        lock=lock,
    )


def of_fulfilment(fulfilment: Fulfilment) -> dict[str, Any]:
    """Return the columns of a fulfilment."""
    return {
        "id": fulfilment.id,
        "order_id": fulfilment.order_id,
        "location": fulfilment.location,
        "state": fulfilment.state,
        "open": fulfilment.state not in CLOSED_STATES,
        "updated_us": to_us(fulfilment.updated_at),
        "document": encode(fulfilment),
    }


def to_fulfilment(row: Row) -> tuple[OrderId, FulfilmentFile]:
    """Return a fulfilment row's order and its file; its columns in the table's order."""
    columns = dict(zip(_FULFILMENT, row, strict=True))
    file = FulfilmentFile(decode_fulfilment(columns["document"]), columns["lock"])
    return OrderId(columns["order_id"]), file


def of_movement(movement: Movement) -> dict[str, Any]:
    """Return the columns of a stock movement."""
    return {**msgspec.structs.asdict(movement), "lines": encode(movement.lines)}


def of_hold(file: HoldFile) -> dict[str, Any]:
    """Return the columns of a hold."""
    hold = file.hold
    return {
        "id": hold.id,
        "market": hold.market,
        "state": hold.state,
        "expires_us": to_us(hold.expires_at),
        "document": encode(hold),
    }


def of_exception(file: ExceptionFile) -> dict[str, Any]:
    """Return the columns of an exception."""
    record = file.record
    return {
        "id": record.id,
        "code": record.code,
        "subject": record.subject,
        "order_id": record.order_id,
        "location": record.location,
        "state": record.state,
        "opened_us": to_us(record.opened_at),
        "document": encode(record),
    }


def of_parked(parked: Parked) -> dict[str, Any]:
    """Return the columns of a parked command."""
    return {
        "id": parked.id,
        "parent_source": parked.parent[0],
        "parent_ref": parked.parent[1],
        "message_source": parked.message[0],
        "message_key": parked.message[1],
        "parked_us": parked.parked_us,
        "deadline_us": parked.deadline_us,
        "overdue": parked.overdue,
        "command": parked.command,
    }


def to_parked(row: Row) -> Parked:
    """Return the parked command of a row, its columns in the table's order."""
    columns = dict(zip(_PARKED, row, strict=True))
    return Parked(
        id=columns["id"],
        parent=(columns["parent_source"], columns["parent_ref"]),
        message=(columns["message_source"], columns["message_key"]),
        parked_us=columns["parked_us"],
        deadline_us=columns["deadline_us"],
        overdue=bool(columns["overdue"]),
        command=columns["command"],
    )


def of_fetch(fetch: Fetch) -> dict[str, Any]:
    """Return the columns of a fetch."""
    return msgspec.structs.asdict(fetch)
