"""Time comes in as an argument; this is where it comes from."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time; tests bring their own."""

    def now(self) -> datetime:
        """Return the present time in UTC, with its zone."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the present time in UTC, with its zone."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring."""
        return time.monotonic()


@lru_cache(maxsize=256)
def to_us(moment: datetime) -> int:
    """Return whole microseconds since the epoch, the form in which times are stored.

    A batch has one time for everything, and asks for it twenty times for each order.
    """
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def to_ms(moment: datetime) -> int:
    """Return whole milliseconds since the epoch."""
    return to_us(moment) // 1000


def from_us(value: int) -> datetime:
    """Return the UTC time of a number of microseconds since the epoch."""
    return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)


def iso(moment: datetime) -> str:
    """Return RFC 3339 with microseconds and Z, the form that we publish."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
