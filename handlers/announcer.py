"""The announcer: once a second, the SKUs whose availability has changed are published."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Protocol

from config.clock import Clock, to_us
from config.errors import Unavailable
from config.ids import IdFactory, Sku
from config.limits import AVAILABILITY_S, AVAILABILITY_SKUS_MAX, AVAILABILITY_WALK_S
from config.log import get_log
from handlers.actions import PublishAvailability
from handlers.intake import WayIn
from handlers.inventory import is_due, is_news
from handlers.sweeper import task_message
from store.ports import Changes, MarketSku, Offer

_log = get_log("announcer")
_AT_ONCE = 64


class Offers(Protocol):
    """What there is and what was told; each call raises EngineDown when the database does not answer."""

    async def offers(self, keys: Collection[MarketSku]) -> dict[MarketSku, Offer]:
        """Return the availability of SKUs by location, and what was last told of it."""
        ...

    async def stocked(self, after: Sku, skus: int) -> Sequence[MarketSku]:
        """Return so many SKUs after one, in order, with every market that stocks them."""
        ...


class Moved:
    """The SKUs whose stock was moved by commits of this process since they were last looked at."""

    def __init__(self) -> None:
        """Start with none."""
        self._skus: dict[MarketSku, None] = {}

    def note(self, changes: Changes) -> None:
        """Remember what a commit moved, and forget what it told; all that ingest does for this."""
        for movement in changes.movements:
            for sku, _, _ in movement.lines:
                self._skus[MarketSku(movement.market, Sku(sku))] = None
        for key in changes.told:
            self._skus.pop(key, None)

    def add(self, keys: Iterable[MarketSku]) -> None:
        """Remember SKUs that are to be looked at again."""
        self._skus.update(dict.fromkeys(keys))

    def remove(self, keys: Iterable[MarketSku]) -> list[MarketSku]:
        """Take these off; return those that were there."""
        there = [key for key in keys if key in self._skus]
        for key in there:
            del self._skus[key]
        return there

    def take(self, count: int) -> list[MarketSku]:
        """Take so many off, those that have waited longest."""
        return self.remove(list(islice(self._skus, count)))


class Announcer:
    """Publishes through the intake, in small messages between the traffic; silent without news.

    What was moved in this process is looked at first. A walk over all SKUs, at once after the start
    and slowly ever after, finds what a process that has died could not publish any more.
    """

    def __init__(
        self, offers: Offers, intake: WayIn, moved: Moved, *, clock: Clock, ids: IdFactory
    ) -> None:
        """Take where to look, the way in, and what hears of the commits."""
        self._offers = offers
        self._intake = intake
        self._moved = moved
        self._clock = clock
        self._ids = ids
        self._after = Sku("")
        self._walked = False
        self._walk_at_s = clock.monotonic()

    async def run(self) -> None:
        """Look once a second until cancelled; what cannot be done now is done later."""
        while True:
            try:
                await self.turn()
            except Unavailable as error:
                _log.info("availability.postponed", reason=error.detail)
            await asyncio.sleep(AVAILABILITY_S)

    async def turn(self) -> None:
        """Publish what was moved, and go on with the walk; a second's worth at most.

        Raises:
            Unavailable: nothing more can be done now; nothing is forgotten.
        """
        left = AVAILABILITY_SKUS_MAX
        again: list[MarketSku] = []
        try:
            while left > 0 and (keys := self._moved.take(min(left, _AT_ONCE))):
                left -= len(keys)
                again += await self._look(keys)
            # The first walk takes all that a second has left, the later ones a page.
            while left > 0 and (page := await self._walk()):
                left = left - len(page) if not self._walked else 0
                again += await self._look(page)
        finally:
            self._moved.add(again)

    async def _look(self, keys: Collection[MarketSku]) -> list[MarketSku]:
        """Publish the news of some SKUs; return those that could not be told yet."""
        try:
            offers = await self._offers.offers(keys)
        except Unavailable:
            self._moved.add(keys)
            raise
        now_us = to_us(self._clock.now())
        news = [key for key, offer in offers.items() if is_news(offer)]
        # The commit that tells of them takes them off again.
        self._moved.add(news)
        if due := [key for key in news if is_due(offers[key], now_us)]:
            await self._send(due)
        return self._moved.remove(news)

    async def _walk(self) -> Sequence[MarketSku]:
        """Return the next page of the walk; none when it has ended, until it is time for another."""
        if self._clock.monotonic() < self._walk_at_s:
            return ()
        page = await self._offers.stocked(self._after, _AT_ONCE)
        self._after = page[-1].sku if page else Sku("")
        if not page:
            self._walked = True
            self._walk_at_s = self._clock.monotonic() + AVAILABILITY_WALK_S
        return page

    async def _send(self, keys: Sequence[MarketSku]) -> None:
        """Have SKUs published together; if that fails each alone, so that one holds up no other."""
        action = PublishAvailability(tuple(keys))
        try:
            await self._intake.submit(task_message(self._clock, self._ids, action, "imv"))
        except Unavailable:
            raise
        except Exception as defect:  # noqa: BLE001 - one bad row must not stop all the others
            _log.error("availability.defect", skus=len(keys), exc_info=defect)
            if len(keys) > 1:
                for key in keys:
                    await self._send((key,))
