"""Topics: what a screen can watch, and how an event becomes a change of one row there."""

from typing import Literal, NamedTuple, assert_never
from urllib.parse import unquote

import msgspec

from config.errors import Unreadable
from outbox.ports import Delivered
from store.records import CLOSED_STATES

Kind = Literal["board", "order"]
Op = Literal["upsert", "remove"]

_KIND_OF_ENTITY: dict[str, Kind] = {"fulfilment": "board", "order": "order"}


class Topic(NamedTuple):
    """`board:<location>` shows open fulfilments, `order:<id>` one order."""

    kind: Kind
    key: str

    def __str__(self) -> str:
        """Return the name in the protocol."""
        return f"{self.kind}:{self.key}"

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of which one is needed to read it."""
        match self.kind:
            case "board":
                return (f"board:{self.key}", "board:*")
            case "order":
                return ("orders:read",)
            case _:
                assert_never(self.kind)


class Change(NamedTuple):
    """What an event does to one row; `row` is the event's own JSON."""

    row_id: str
    op: Op
    row: msgspec.Raw


class _Head(msgspec.Struct, frozen=True):
    """What the hub must know of a row; the rest passes through untouched."""

    id: str
    version: int
    state: str = ""


_DECODER = msgspec.json.Decoder(_Head)


def parse_topic(text: str) -> Topic | None:
    """Return the topic of a name, None when there is no such kind or the key is missing."""
    kind, _, key = text.partition(":")
    if not key or not key.isprintable():
        return None
    match kind:
        case "board" | "order":
            return Topic(kind, key)
        case _:
            return None


def topic_of(subject: str) -> Topic | None:
    """Return the topic that an event's subject concerns, None when no topic shows it."""
    parts = subject.split(".")
    if len(parts) != 5 or parts[:2] != ["imv", "v1"]:  # noqa: PLR2004 - imv.v1.entity.event.key
        return None
    kind = _KIND_OF_ENTITY.get(parts[2])
    return Topic(kind, unquote(parts[4])) if kind else None


def change_of(topic: Topic, event: Delivered) -> Change:
    """Return what an event does to its topic: a fulfilment that is closed leaves the board.

    Raises:
        Unreadable: the event's data is not a row.
    """
    try:
        head = _DECODER.decode(event.data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Unreadable(f"event {event.id} holds no row") from error
    gone = topic.kind == "board" and head.state in CLOSED_STATES
    return Change(head.id, "remove" if gone else "upsert", msgspec.Raw(event.data))
