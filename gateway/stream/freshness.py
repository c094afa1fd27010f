"""Since when a screen can learn nothing new, and why."""

from datetime import datetime

from config.clock import Clock


class Freshness:
    """Screens get old when the stream cannot be read, or when what is committed does not leave."""

    def __init__(self, clock: Clock) -> None:
        """Begin stale: until the stream has told its position, nothing is known to be new."""
        self._clock = clock
        self._down: datetime | None = clock.now()
        self._behind: datetime | None = None

    @property
    def stale_since(self) -> datetime | None:
        """Return since when; None while all is live."""
        return min(filter(None, (self._down, self._behind)), default=None)

    def stream_read(self) -> None:
        """The stream can be read."""
        self._down = None

    def stream_lost(self) -> None:
        """The stream cannot be read; the first time counts."""
        self._down = self._down or self._clock.now()

    def waiting_since(self, since: datetime | None) -> None:
        """What was committed then has not left yet; None: nothing waits too long."""
        self._behind = since

    def database_lost(self) -> None:
        """The database does not say what waits; the first time counts."""
        self._behind = self._behind or self._clock.now()
