"""Ids: another meaning is another type; new ids are time-ordered."""

import hashlib
import os
import threading
from functools import lru_cache
from typing import Final, NewType

_RANDOM_BYTES: Final = 4096

OrderId = NewType("OrderId", str)
LineId = NewType("LineId", str)
FulfilmentId = NewType("FulfilmentId", str)
HoldId = NewType("HoldId", str)
OperationId = NewType("OperationId", str)
MessageId = NewType("MessageId", str)
EventId = NewType("EventId", str)
ExceptionId = NewType("ExceptionId", str)
LocationId = NewType("LocationId", str)
MarketId = NewType("MarketId", str)
Sku = NewType("Sku", str)
SourceId = NewType("SourceId", str)


class IdFactory:
    """Makes UUIDs of version 7 (RFC 9562) that rise within one process, also inside a millisecond.

    Layout: 48 bits of milliseconds, 12 bits of a counter (method 1 of section 6.2), 62 random bits.
    """

    def __init__(self) -> None:
        """Start with no last id."""
        self._last = 0
        self._lock = threading.Lock()
        self._random = b""
        self._used = 0

    def new(self, now_ms: int) -> str:
        """Return a new id for a time in milliseconds since the epoch."""
        with self._lock:
            stamp = max(now_ms << 12, self._last + 1)
            self._last = stamp
            random = self._eight_bytes()
        head = (stamp >> 12) << 16 | 7 << 12 | stamp & 0xFFF
        tail = 2 << 62 | int.from_bytes(random, "big") >> 2
        digits = f"{head << 64 | tail:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _eight_bytes(self) -> bytes:
        """Return random bytes that no other id gets; the system is asked for many at once."""
        if self._used >= len(self._random):
            self._random, self._used = os.urandom(_RANDOM_BYTES), 0
        self._used += 8
        return self._random[self._used - 8 : self._used]


@lru_cache(maxsize=1024)
def partition_of(ordering_key: str, partitions: int) -> int:
    """Return the partition, 0 up to partitions - 1, that all events of one ordering key share."""
    digest = hashlib.blake2b(ordering_key.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % partitions
