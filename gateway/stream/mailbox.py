"""What one client has still to get: bounded, newest state first to win, in the stream's order."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from config.limits import BACKLOG_EVENTS_MAX
from gateway.stream.pace import Pace
from gateway.stream.protocol import Bye, Code, Frame, bye, frame_of

FRAMES_WAITING_MAX: Final = 2 * BACKLOG_EVENTS_MAX


class Mailbox:
    """The frames that wait for one client, one per row; a new state takes the place of the old."""

    def __init__(self, token_id: str, monotonic: Callable[[], float], *, pongs: bool) -> None:
        """Belong to a token; `pongs` says whether the client answers pings."""
        self.token_id = token_id
        self.pongs = pongs
        self.topics: dict[str, None] = {}
        self.unanswered = 0
        self.ping_due = monotonic()
        self.taken_at: float | None = None
        self.bye: Bye | None = None
        self.cut: Callable[[], None] = _nothing
        self.push: Callable[[bytes], bool] = _refuse
        self._monotonic = monotonic
        self._frames: OrderedDict[tuple[str, str], Frame] = OrderedDict()
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Return how many frames wait."""
        return len(self._frames)

    def put(self, topic: str, row_id: str, frame: Frame) -> None:
        """Add a row's newest state at the end, so that cursors only rise on the wire.

        (In the place of the old state it would carry a cursor past rows that are still waiting
        behind it, and a client that resumed there would never see them.)
        """
        if self.bye or self._pushed(frame):
            return
        key = (topic, row_id)
        self._frames.pop(key, None)
        self._frames[key] = frame
        if len(self._frames) > FRAMES_WAITING_MAX:
            self.close(bye(Code.SLOW, "slow"))
        self._wake.set()

    def _pushed(self, frame: Frame) -> bool:
        """Write at once, if nothing waits or is under way that must go first."""
        return not self._frames and self.taken_at is None and self.push(frame.wire)

    def say(self, frame: Frame) -> None:
        """Add a frame that belongs to no topic; the newest of its kind wins."""
        self.put("", frame.kind, frame)

    def begin(self, topic: str, frame: Frame) -> None:
        """Add a snapshot or `resumed`; what waits of the topic is older and goes."""
        self.forget(topic)
        self.put(topic, "", frame)

    def forget(self, topic: str) -> None:
        """Drop what waits of a topic."""
        for key in [key for key in self._frames if key[0] == topic]:
            del self._frames[key]

    def close(self, last: Bye) -> None:
        """Drop everything that waits and end with this frame; the first reason stays."""
        if self.bye:
            return
        self._frames.clear()
        self.say(frame_of(last))
        self.bye = last
        self._wake.set()

    def attend(self, now: float, pace: Pace) -> bool:
        """Close a client that does not read or answer; return whether a ping is due, and count it.

        One that is blocked gets its bye when it reads again within the grace time; else it is cut.
        """
        blocked_s = now - self.taken_at if self.taken_at is not None else 0.0
        if blocked_s > pace.slow_s + pace.grace_s:
            self.cut()
        elif blocked_s > pace.slow_s:
            self.close(bye(Code.SLOW, "slow"))
        if now < self.ping_due or self.bye:
            return False
        if self.unanswered > 1:
            self.close(bye(Code.NO_PONG, "no pong"))
            return False
        self.ping_due = now + pace.ping_s
        self.unanswered += self.pongs
        return True

    async def take(self) -> Frame | None:
        """Wait for the next frame; None after the last. Asking says that the one before is sent."""
        self.taken_at = None
        while not self._frames:
            if self.bye:
                self.taken_at = self._monotonic()  # closing may block as well
                return None
            self._wake.clear()
            await self._wake.wait()
        self.taken_at = self._monotonic()
        return self._frames.popitem(last=False)[1]


def _nothing() -> None:
    """Do nothing: there is no connection yet."""


def _refuse(wire: bytes) -> bool:
    """Write nothing: there is no short way."""
    del wire
    return False
