"""A small HTTP/1.1 client for load: one request at a time on each of many kept connections.

An ordinary client library spends more on a request than the server under test does.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Final, cast

from tests.bench.letters import Letter

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class Connection(asyncio.Protocol):
    """One kept connection; `answered` hears of every whole answer, `lost` of an early end."""

    def __init__(
        self,
        answered: Callable[["Connection", int, bytes, bytes], None],
        lost: Callable[["Connection"], None],
    ) -> None:
        """Take who hears; both may send the next letter at once."""
        self._answered = answered
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self.letter: Letter | None = None
        self.due = self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, letter: Letter, due: float | None = None) -> None:
        """Send a letter; `due` is when it should have been sent, for a paced load."""
        assert self._transport
        self.letter = letter
        self.sent = perf_counter()
        self.due = self.sent if due is None else due
        self._transport.write(letter.wire)

    def data_received(self, data: bytes) -> None:
        """Collect an answer until it is whole."""
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(_END)
        size = end + len(_END) + _length(buffer[:end]) if end >= 0 else -1
        if end < 0 or len(buffer) < size:
            self._buffer = buffer
            return
        self._buffer = b""
        status = int(buffer[9:12])
        self._answered(self, status, buffer[:end], buffer[end + len(_END) : size])

    def connection_lost(self, error: Exception | None) -> None:
        """Say so when an answer is still due."""
        del error
        if self.letter is not None:
            self._lost(self)

    @property
    def closed(self) -> bool:
        """Whether it is gone, or going."""
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        """Close it."""
        if self._transport:
            self._transport.close()


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.find(_LENGTH)
    if start < 0:
        raise ValueError("an answer without content-length")
    return int(lower[start + len(_LENGTH) :].split(b"\r\n", 1)[0])
