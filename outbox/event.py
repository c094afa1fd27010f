"""An event: a fact that happened, as it is stored, published and read."""

import re
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from config.errors import Rejected
from config.ids import EventId, partition_of
from config.limits import EVENT_BYTES_MAX

Entity = Literal[
    "order",
    "fulfilment",
    "inventory",
    "return",
    "exception",
    "payment",
    "ledger",
    "flow",
    "message",
    "instance",
]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+").fullmatch
STREAM: Final = "IMV"
SUBJECTS: Final = "imv.v1.>"
MARKERS: Final = "imv.relay.>"


class EventTooLarge(Rejected):
    """The event is above the broker's payload limit; the row behind it must get smaller."""

    slug = "event-too-large"


class Event(msgspec.Struct, frozen=True):
    """One fact about one entity.

    `key` is the subject's last token before encoding (see `token_of`); `ordering_key` is what order
    is kept for (the order's id for all that belongs to an order); `version` rises by one per
    published event of the entity; `data` is the JSON that consumers read, with `id` and `version`.
    """

    id: EventId
    entity: Entity
    name: str
    key: str
    ordering_key: str
    version: int
    at_us: int
    data: bytes
    traceparent: str = ""

    def __post_init__(self) -> None:
        """Refuse what the broker would refuse later and for ever."""
        if len(self.data) > EVENT_BYTES_MAX:
            raise EventTooLarge(f"{self.entity}.{self.name} has {len(self.data)} bytes")

    @property
    def subject(self) -> str:
        """Return `imv.v1.<entity>.<event>.<key>`."""
        return f"imv.v1.{self.entity}.{self.name}.{token_of(self.key)}"

    @property
    def type(self) -> str:
        """Return the CloudEvents type, `imv.<entity>.<event>.v1`."""
        return f"imv.{self.entity}.{self.name}.v1"

    def partition(self, partitions: int) -> int:
        """Return the partition that keeps this event in order."""
        return partition_of(self.ordering_key, partitions)


def token_of(key: str) -> str:
    """Return a key as one subject token; what NATS forbids or gives a meaning is encoded."""
    if _PLAIN(key):
        return key
    return quote(key, safe="-_~:@!$'()+,;=").replace(".", "%2E") or "%00"
