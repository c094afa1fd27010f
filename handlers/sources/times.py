"""Times of the channels: always with a zone, in UTC, and as versions that rise with time."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from config.clock import to_us
from config.errors import Unreadable

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with an offset; up to nine fraction digits, rounded to six."""

_SECONDS_MAX = 2**62 // 1_000_000


def utc(moment: datetime) -> datetime:
    """Return the same moment in UTC; Unreadable at the very ends of the calendar."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Unreadable("a time is out of range") from error


def version_of(moment: datetime) -> int:
    """Return a version from a time: microseconds since the epoch, never below zero."""
    return max(0, to_us(utc(moment)))


def version_of_seconds(seconds: int, rank: int = 0) -> int:
    """Return a version from whole seconds; the rank orders what happened within one second."""
    if not 0 <= seconds < _SECONDS_MAX:
        raise Unreadable("a time is out of range")
    return seconds * 1_000_000 + rank
