"""The stream protocol `imv.v1`: frames of both directions, close codes and the cursor."""

import enum
import hashlib
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from config.errors import Unreadable
from config.limits import FRAME_BYTES_MAX, TOPICS_PER_SESSION_MAX
from outbox.ports import StreamPosition

RESTART_RETRY_MS_MAX: Final = 10_000
RETRY_MS: Final = 1_500

_TopicText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_CursorText = Annotated[str, msgspec.Meta(max_length=64)]


class Code(enum.IntEnum):
    """Why a stream ends. Up to 4499 the client comes back with back-off; from 4500 it does not."""

    RESTART = 1012
    HELLO_LATE = 4000
    NO_PONG = 4002
    SLOW = 4008
    UNAVAILABLE = 4013
    UNAUTHENTICATED = 4501
    FORBIDDEN = 4503
    PROTOCOL = 4509

    @property
    def reconnect(self) -> bool:
        """Return whether the client may come back."""
        return self < 4500  # noqa: PLR2004 - the protocol's own border


class Cursor(NamedTuple):
    """A place in the stream: which stream (epoch), and the sequence up to which all was seen."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        """Return the form in which it travels, `epoch:offset`."""
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """Read `epoch:offset`; None when it is not one, which then cannot be resumed."""
        epoch, colon, offset = text.rpartition(":")
        if not (colon and epoch and offset.isascii() and offset.isdigit() and len(offset) <= 20):  # noqa: PLR2004 - digits of 64 bits
            return None
        return cls(epoch, int(offset))


def epoch_of(position: StreamPosition, incarnation: str) -> str:
    """Return the short name of one stream on one database; a new stream or a restore changes it."""
    seed = f"{position.created}\n{incarnation}".encode()
    return hashlib.blake2b(seed, digest_size=6).hexdigest()


class _Inbound(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """What every client frame shares: strict, tagged by `type`."""


class Hello(_Inbound, frozen=True, tag="hello"):
    """The first frame: who (a cookie may say it instead), what, and from where on."""

    token: Annotated[str, msgspec.Meta(max_length=512)] = ""
    topics: Annotated[tuple[_TopicText, ...], msgspec.Meta(max_length=TOPICS_PER_SESSION_MAX)] = ()
    since: Annotated[
        dict[_TopicText, _CursorText], msgspec.Meta(max_length=TOPICS_PER_SESSION_MAX)
    ] = {}


class Subscribe(_Inbound, frozen=True, tag="subscribe"):
    """Take one more topic."""

    topic: _TopicText
    since: _CursorText = ""


class Unsubscribe(_Inbound, frozen=True, tag="unsubscribe"):
    """Drop a topic."""

    topic: _TopicText


class Resync(_Inbound, frozen=True, tag="resync"):
    """Send the topic's snapshot again."""

    topic: _TopicText


class Pong(_Inbound, frozen=True, tag="pong"):
    """The answer to a ping."""


Inbound = Hello | Subscribe | Unsubscribe | Resync | Pong


class Welcome(msgspec.Struct, frozen=True, tag_field="type", tag="welcome"):
    """The session is open; pings come every `ping_s` seconds."""

    session: str
    ping_s: float
    time: str


class Snapshot(msgspec.Struct, frozen=True, tag_field="type", tag="snapshot"):
    """All rows of a topic; events after the cursor follow."""

    topic: str
    cursor: str
    rows: list[msgspec.Raw]


class Resumed(msgspec.Struct, frozen=True, tag_field="type", tag="resumed"):
    """Everything after the cursor follows, without a gap."""

    topic: str
    cursor: str


class EventFrame(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    """One row's newest state, or that it left the topic."""

    topic: str
    cursor: str
    op: Literal["upsert", "remove"]
    row: msgspec.Raw


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """Alive; `heads` are the newest cursors, `stale_since` says since when nothing new can come."""

    time: str
    heads: dict[str, str]
    stale_since: str | None


class Bye(msgspec.Struct, frozen=True, tag_field="type", tag="bye"):
    """The last frame; the websocket is closed with the same code."""

    code: int
    reason: str
    reconnect: bool
    retry_ms: int


Outbound = Welcome | Snapshot | Resumed | EventFrame | Ping | Bye


class Frame(NamedTuple):
    """An encoded frame, shared by all sessions that get it; `cursor` is empty where it has none.

    `wire` is the whole websocket frame: from a server it is not masked, and so the same bytes for
    every client.
    """

    kind: str
    wire: bytes
    cursor: str = ""

    @property
    def text(self) -> str:
        """Return the JSON alone."""
        return self.wire[_HEADER_BYTES.get(self.wire[1], 2) :].decode()


# RFC 6455, 5.2: the second byte says how long the length is.
_HEADER_BYTES: Final = {126: 4, 127: 10}


def _wire(payload: bytes) -> bytes:
    """Return one unfragmented text frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:  # noqa: PLR2004 - the RFC's numbers
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Inbound] = msgspec.json.Decoder(Inbound)


def frame_of(message: Outbound) -> Frame:
    """Encode a message once."""
    kind = str(message.__struct_config__.tag)
    return Frame(kind, _wire(_ENCODER.encode(message)), getattr(message, "cursor", ""))


def bye(code: Code, reason: str, retry_ms: int = RETRY_MS) -> Bye:
    """Return the last frame for a code."""
    return Bye(int(code), reason, code.reconnect, retry_ms if code.reconnect else 0)


def read_frame(text: str | bytes) -> Inbound:
    """Decode a client's frame strictly.

    Raises:
        Unreadable: too large, not JSON, an unknown type or field, or a value out of bounds.
    """
    # A character is at least one byte, so this bounds the work before it is done.
    if len(text) > FRAME_BYTES_MAX:
        raise Unreadable("a frame may have 64 KiB")
    try:
        data = text if isinstance(text, bytes) else text.encode()
        if len(data) > FRAME_BYTES_MAX:
            raise Unreadable("a frame may have 64 KiB")
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Unreadable("this is not a frame of imv.v1") from error
