"""What the outbox needs from its surroundings, and what it offers to those who read events."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.message import Batch, Marker, Message


class Transactions(Protocol):
    """Database transactions. On SQLite `write` is the one writer connection, one at a time."""

    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a write transaction: commits on a clean exit, rolls back on an error.

        Raises:
            EngineDown: the database does not answer; OutcomeUnknown: the commit's answer was lost.
        """
        ...

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a read-only snapshot.

        Raises:
            EngineDown: the database does not answer.
        """
        ...


class Delivered(msgspec.Struct, frozen=True):
    """An event as it came from the stream; `sequence` is its place there, without gaps for us."""

    sequence: int
    subject: str
    id: str
    type: str
    data: bytes


class StreamPosition(msgspec.Struct, frozen=True):
    """Which stream (it changes when the stream is made anew), and its last sequence."""

    created: str
    last_sequence: int


class Disconnected(msgspec.Struct, frozen=True):
    """The stream cannot be read now; what follows comes after a gap in time, not in events."""

    reason: str


class Restarted(msgspec.Struct, frozen=True):
    """Reading goes on from a stream with another identity: take snapshots."""

    position: StreamPosition


class Connected(msgspec.Struct, frozen=True):
    """Reading goes on, without a gap in events."""

    position: StreamPosition


class Extent(msgspec.Struct, frozen=True):
    """Which stream, and the first sequence that it still holds."""

    created: str
    first_sequence: int


class Subscriber(Protocol):
    """Reads the stream from a position on, for ever."""

    async def position(self) -> StreamPosition:
        """Return the stream's identity and end; EngineDown when NATS does not answer."""
        ...

    def read(
        self, after: StreamPosition
    ) -> AsyncIterator[Delivered | Disconnected | Restarted | Connected]:
        """Yield every event after the position in order, and what happens to the connection.

        It reconnects by itself; it makes a new consumer at the last sequence + 1, or says
        `Restarted` when the stream's identity has changed or that sequence is gone.
        """
        ...


class Stored(msgspec.Struct, frozen=True):
    """The stream took the whole batch; `sequence` is its marker's."""

    sequence: int


class Refused(msgspec.Struct, frozen=True):
    """The stream took nothing: another marker than the expected one is the last, or an id is known.

    What happened before is told by the partition's last marker.
    """

    reason: str


class AheadSender(Protocol):
    """Sends what may become a batch."""

    async def send_ahead(self, messages: Sequence[Message]) -> str:
        """Send what a batch will probably consist of, and return a name for it.

        Nothing of it is stored before a batch under that name is published; soon it is forgotten.

        Raises:
            EngineDown: not all could be sent.
        """
        ...


class Publisher(AheadSender, Protocol):
    """Appends batches to the stream, each whole or not at all, each once."""

    async def ensure_stream(self) -> None:
        """Make the stream, or bring its settings up to date.

        Raises:
            EngineDown: NATS does not answer; Misconfigured: the stream cannot be as it must be.
        """
        ...

    async def publish_batch(
        self, batch: Batch, messages: Sequence[Message], *, sent: str = ""
    ) -> Stored | Refused:
        """Append the messages and the batch's marker, if the expected marker is the last one.

        `sent` is the name under which exactly these messages were sent ahead.

        Raises:
            EngineDown: nothing was stored; OutcomeUnknown: it may be stored, or may be yet.
        """
        ...

    async def extent(self) -> Extent:
        """Return which stream it is and where it begins; makes the stream when it is gone.

        Raises:
            EngineDown: NATS does not answer.
        """
        ...

    async def last_marker(self, partition: int) -> Marker:
        """Return the partition's last marker in the stream; makes the stream when it is gone.

        Raises:
            EngineDown: NATS does not answer.
        """
        ...
