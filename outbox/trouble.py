"""What goes wrong for a while: told once, then at intervals, and told when it is over."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from config.clock import Clock
from config.log import get_log

INTERVAL_S: Final = 30.0
BACKOFF_S: Final = 0.05
BACKOFF_S_MAX: Final = 2.0


class Trouble:
    """The log of one thing that may fail again and again."""

    def __init__(self, clock: Clock, event: str) -> None:
        """Take the name of the log line, `noun.verb`."""
        self._clock = clock
        self._event = event
        self._told: float | None = None
        self._log = get_log("outbox")

    def tell(self, error: Exception) -> None:
        """Log it, unless that was done a short while ago."""
        now = self._clock.monotonic()
        if self._told is None or now - self._told >= INTERVAL_S:
            self._told = now
            self._log.error(self._event, reason=str(error), kind=type(error).__name__)

    def over(self) -> None:
        """Log that it works again, if it did not."""
        if self._told is not None:
            self._told = None
            self._log.info(self._event, reason="over")


def delays() -> Iterator[float]:
    """Yield how many seconds to wait before each attempt: at once, soon, then ever later."""
    yield 0.0
    delay = BACKOFF_S
    while True:
        yield delay
        delay = min(delay * 2, BACKOFF_S_MAX)


async def happens(event: asyncio.Event, within_s: float) -> bool:
    """Wait for an event, but not longer than this; tell whether it has happened."""
    if within_s > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await event.wait()
    return event.is_set()
