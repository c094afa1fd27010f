"""A message on its way through the batch, and what became of it."""

from datetime import datetime
from typing import Literal

import msgspec

from config.ids import MessageId, OrderId, SourceId
from handlers.actions import Task

OutcomeName = Literal["applied", "duplicate", "ignored", "accepted", "parked", "quarantined"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A verified message. `fingerprint` is the SHA-256 of what must be the same in a repeat.

    `by` names who asked, for timelines. A message of our own timers is not `recorded` in the inbox:
    doing it twice does no harm.
    """

    id: MessageId
    source: SourceId
    key: str
    topic: str
    fingerprint: bytes
    headers: bytes = b"{}"
    body: bytes = b""
    received_at: datetime
    tasks: tuple[Task, ...]
    by: str
    traceparent: str = ""
    """The W3C trace context that came with it; its events carry it on."""
    recorded: bool = True
    operator: bool = False
    """Asked by a person or program that waits for an error; others are quarantined instead."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message; `answer` is the JSON that an operator's request gets."""

    name: OutcomeName
    message_id: MessageId
    order_id: OrderId | None = None
    reason: str = ""
    answer: bytes | None = None
