"""Deliveries: what the script says, each webhook when it is due."""

from collections.abc import Mapping
from heapq import heappop, heappush
from random import Random
from typing import Final

import httpx

from config.clock import Clock
from config.ids import LocationId
from gateway.demo.bodies.sample import Sample
from gateway.demo.script import Script
from gateway.demo.sender import Sender, Sent

_BETWEEN_PURCHASES_S: Final = (1.0, 2.0)
_LOOK_S: Final = 0.2
_WAITING_MAX: Final = 500
_AGAIN_S: Final = 5.0


class Deliveries:
    """Sends what the script says, each delivery when it is due."""

    def __init__(
        self,
        script: Script,
        sender: Sender,
        open_cards: Mapping[LocationId, int],
        *,
        clock: Clock,
        chance: Random,
    ) -> None:
        """Take what happens, where it goes, and how busy the places are."""
        self._script = script
        self._sender = sender
        self._open_cards = open_cards
        self._clock = clock
        self._chance = chance
        self._waiting: list[tuple[float, int, Sample | Sent, float | None]] = []
        self._count = 0
        self._next_s = 0.0

    async def look(self) -> float:
        """Send what is due, and think of a new purchase at its time; return the seconds to wait."""
        now_s = self._clock.monotonic()
        if now_s >= self._next_s and len(self._waiting) < _WAITING_MAX:
            self._next_s = now_s + self._chance.uniform(*_BETWEEN_PURCHASES_S)
            for step in self._script.next(self._clock.now(), self._open_cards):
                self._wait(now_s + step.after_s, step.sample, step.again_s)
        while self._waiting and self._waiting[0][0] <= now_s:
            await self._deliver(*heappop(self._waiting))
        return _LOOK_S

    async def _deliver(
        self, due_s: float, _order: int, what: Sample | Sent, again_s: float | None
    ) -> None:
        """Deliver one; without an answer it is delivered again as it was signed, as senders do."""
        sent = what if isinstance(what, Sent) else self._sender.sign(what)
        try:
            await self._sender.deliver(sent)
        except httpx.HTTPError as error:
            refused = isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error
            if not refused:
                self._wait(due_s + _AGAIN_S, sent, again_s)
            raise
        if again_s is not None:
            self._wait(due_s + again_s, sent, None)

    def _wait(self, due_s: float, what: Sample | Sent, again_s: float | None) -> None:
        self._count += 1
        heappush(self._waiting, (due_s, self._count, what, again_s))
