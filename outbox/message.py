"""What is published: messages with their CloudEvents headers, and the batch that carries them."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from config.clock import from_us, iso

# CloudEvents' NATS binding encodes as its HTTP binding does (section 3.1.3.2): space, the double
# quote, the percent sign and what is outside printable ASCII; everything else stays.
_SAFE: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
_PLAIN: Final = re.compile(r"[!#$&-~]*")


class Message(msgspec.Struct, frozen=True):
    """One event as it leaves."""

    subject: str
    id: str
    type: str
    at_us: int
    data: bytes
    traceparent: str


class Batch(msgspec.Struct, frozen=True):
    """A stamped batch: these rows of one partition, after this marker, under this lease's epoch."""

    id: str
    partition: int
    epoch: int
    expected: int
    positions: tuple[int, ...]


class Published(msgspec.Struct, frozen=True):
    """The batch is in the stream; `sequence` is its marker's."""

    batch: Batch
    sequence: int


class Marker(msgspec.Struct, frozen=True):
    """The last marker of a partition in the stream; sequence 0 when there is none."""

    sequence: int
    batch_id: str


def marker_subject(partition: int) -> str:
    """Return `imv.relay.<partition>`."""
    return f"imv.relay.{partition}"


def headers_of(message: Message, source: str) -> dict[str, str]:
    """Return the headers of a CloudEvent in NATS binary mode, and the message id."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": encoded(message.id),
        "ce-source": encoded(source),
        "ce-type": encoded(message.type),
        "ce-subject": encoded(key_of(message.subject)),
        "ce-time": _time_of(message.at_us),
        "content-type": "application/json",
        "Nats-Msg-Id": encoded(message.id),
    }
    if message.traceparent:
        headers["traceparent"] = encoded(message.traceparent)
    return headers


@lru_cache(maxsize=256)  # the events of one change, often of one batch, happened at one time
def _time_of(at_us: int) -> str:
    return iso(from_us(at_us))


def key_of(subject: str) -> str:
    """Return the key in a subject's last token, as it was before `token_of`."""
    key = unquote(subject.rpartition(".")[2])
    return "" if key == "\0" else key


def encoded(value: str) -> str:
    """Return an attribute's value as a header may carry it."""
    if _PLAIN.fullmatch(value):  # nearly always, and much faster
        return value
    return quote(value, safe=_SAFE)


def decoded(value: str) -> str:
    """Return an attribute's value as it was before `encoded`."""
    return unquote(value)
