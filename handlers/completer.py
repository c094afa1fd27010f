"""The completer: reads the orders behind thin notifications, outside the batch, and sends them in."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

import msgspec

from config import crash
from config.clock import Clock, to_ms, to_us
from config.errors import ImvError, Rejected, Unavailable
from config.ids import IdFactory, MessageId, SourceId
from config.limits import FETCH_ATTEMPTS_MAX, FETCH_BACKOFF_S, FETCH_BACKOFF_S_MAX
from config.log import get_log
from handlers.actions import PostponeFetch, SettleFetch
from handlers.intake import WayIn
from handlers.message import Message
from handlers.sources.channel import Channel, OrderSource
from handlers.sweeper import task_message
from store.ports import Fetch

_log = get_log("completer")
LOOK_S = 1.0
NOTIFICATIONS_AT_ONCE = 64
ORDERS_AT_ONCE = 8
"""How many orders of one source are under way: platforms limit how much they are asked, and a backlog
must leave room in the queue for who waits for an answer."""


class Due(Protocol):
    """The fetches that wait."""

    async def due_sources(self, now_us: int) -> list[SourceId]:
        """Return the sources that have thin notifications whose order should be read now."""
        ...

    async def due_fetches(self, source: SourceId, now_us: int, limit: int) -> list[Fetch]:
        """Return a source's thin notifications whose order should be read now, oldest first."""
        ...


class Platform(msgspec.Struct, frozen=True):
    """One source that sends thin notifications: its channel, and the way to its platform."""

    channel: Channel
    orders: OrderSource


class _Read(msgspec.Struct, frozen=True):
    """What a platform showed: the order as a message, and its version where that is comparable."""

    message: Message
    version: int | None

    def is_behind(self, fetch: Fetch) -> bool:
        """Tell whether the platform showed an older order than it had told of."""
        return self.version is not None and self.version < fetch.version


class Completer:
    """Completes thin notifications; each order is read once for all its notifications due.

    Sources do not wait for each other, and the orders of one are read several at a time, so that a slow
    platform holds up nobody else and what is read together is committed together.
    """

    def __init__(
        self,
        due: Due,
        intake: WayIn,
        platforms: Mapping[SourceId, Platform],
        *,
        clock: Clock,
        ids: IdFactory,
        more: asyncio.Event | None = None,
    ) -> None:
        """Take what waits, the way in and the platforms by source; `more` says that something came."""
        self._due = due
        self._intake = intake
        self._platforms = platforms
        self._clock = clock
        self._ids = ids
        self._more = more or asyncio.Event()
        self._busy: set[SourceId] = set()

    async def run(self) -> None:
        """Complete until cancelled; an engine that is down is tried again at the next look."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._more.clear()  # what comes from here on is seen by the next look
                with _postponed():
                    for source in await self._due.due_sources(to_us(self._clock.now())):
                        if source not in self._busy:
                            self._busy.add(source)
                            group.create_task(self._complete_some(source), name=f"fetch {source}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._more.wait()

    async def complete_due(self, source: SourceId) -> None:
        """Read a source's orders that are due longest, each once, and send them in.

        Raises:
            ImvError: with one of them it cannot be done now, as when our own way in is closed; it stays
            due, and the others are done.
        """
        now_us = to_us(self._clock.now())
        by_order: dict[str, list[Fetch]] = {}
        for fetch in await self._due.due_fetches(source, now_us, NOTIFICATIONS_AT_ONCE):
            by_order.setdefault(fetch.order_ref, []).append(fetch)
        places = asyncio.Semaphore(ORDERS_AT_ONCE)
        failures: list[ImvError] = []

        async def complete(order_ref: str, fetches: list[Fetch]) -> None:
            try:
                async with places:
                    await self._complete(source, order_ref, fetches)
            except ImvError as error:  # the others go on
                failures.append(error)
            except Exception as defect:  # noqa: BLE001 - one bad row must not stop all that is due
                _log.error("fetch.defect", source=source, exc_info=defect)
                failures.append(Unavailable("a defect, see above; it is tried again"))

        async with asyncio.TaskGroup() as group:
            for order_ref, fetches in by_order.items():
                group.create_task(complete(order_ref, fetches))
        if failures:
            raise failures[0]

    async def _complete_some(self, source: SourceId) -> None:
        """Complete what is due of a source; then look again, for what was left or came meanwhile."""
        try:
            with _postponed():
                await self.complete_due(source)
                self._more.set()
        finally:
            self._busy.discard(source)

    async def _complete(self, source: SourceId, order_ref: str, fetches: list[Fetch]) -> None:
        platform = self._platforms.get(source)
        if platform is None:
            await self._show(fetches, "the source has no order source configured")
            return
        found = await self._read(source, order_ref, platform)
        if isinstance(found, str):
            await self._retry(fetches, found)
            return
        crash.here("completer.fetched")
        await self._intake.submit(found.message)
        crash.here("completer.submitted")
        behind = [fetch for fetch in fetches if found.is_behind(fetch)]
        if len(behind) < len(fetches):
            await self._settle([fetch for fetch in fetches if fetch not in behind])
        if behind:
            newest = max(fetch.version for fetch in behind)
            reason = f"the platform still shows version {found.version}, and told of {newest}"
            await self._retry(behind, reason)

    async def _read(self, source: SourceId, order_ref: str, platform: Platform) -> _Read | str:
        """Read an order as a message, or say why that is not possible now."""
        try:
            document = await platform.orders.read(order_ref)
            if document is None:
                return "the platform has no such order"
            return self._message(source, platform.channel, document)
        except (Unavailable, Rejected) as error:
            return error.detail
        except Exception as defect:  # noqa: BLE001 - one bad document must not stop the others
            _log.error("fetch.defect", source=source, exc_info=defect)
            return f"cannot be read: {type(defect).__name__}"

    def _message(self, source: SourceId, channel: Channel, document: bytes) -> _Read:
        decoded = channel.decode_order(document)
        now = self._clock.now()
        message = Message(
            id=MessageId(self._ids.new(to_ms(now))),
            source=source,
            key=decoded.key,
            topic=decoded.topic,
            # Two reads of one version may differ in what means nothing to us.
            fingerprint=hashlib.sha256(msgspec.json.encode(decoded.commands)).digest(),
            body=document,
            received_at=now,
            tasks=decoded.commands,
            by=f"read from {source}",
        )
        return _Read(message, decoded.version)

    async def _settle(self, fetches: list[Fetch]) -> None:
        first = fetches[0]
        action = SettleFetch(
            fetch_ids=tuple(fetch.id for fetch in fetches),
            source=first.source,
            order_ref=first.order_ref,
        )
        await self._intake.submit(task_message(self._clock, self._ids, action, "imv"))

    async def _retry(self, fetches: list[Fetch], reason: str) -> None:
        """Try again later, each time twice as late; after the last time a person must look."""
        attempts = max(fetch.attempts for fetch in fetches) + 1
        _log.info("fetch.failed", source=fetches[0].source, attempts=attempts, reason=reason)
        if attempts >= FETCH_ATTEMPTS_MAX:
            await self._show(fetches, reason)
            return
        wait_s = min(FETCH_BACKOFF_S * 2 ** (attempts - 1), FETCH_BACKOFF_S_MAX)
        await self._postpone(fetches, attempts, wait_s, reason)

    async def _show(self, fetches: list[Fetch], reason: str) -> None:
        """Make it visible, and go on at the longest interval: what was acknowledged is never dropped."""
        first = fetches[0]
        action = SettleFetch(
            fetch_ids=(), source=first.source, order_ref=first.order_ref, failed=reason
        )
        await self._intake.submit(task_message(self._clock, self._ids, action, "imv"))
        attempts = max(fetch.attempts for fetch in fetches) + 1
        await self._postpone(fetches, attempts, FETCH_BACKOFF_S_MAX, reason)

    async def _postpone(
        self, fetches: list[Fetch], attempts: int, wait_s: float, reason: str
    ) -> None:
        due_us = to_us(self._clock.now()) + int(wait_s * 1_000_000)
        later = tuple(
            msgspec.structs.replace(fetch, attempts=attempts, due_us=due_us, reason=reason[:200])
            for fetch in fetches
        )
        message = task_message(self._clock, self._ids, PostponeFetch(later), "imv")
        await self._intake.submit(message)


@contextmanager
def _postponed() -> Iterator[None]:
    """Leave what cannot be done now to a later look."""
    try:
        yield
    except Unavailable as error:
        _log.info("fetch.postponed", reason=error.detail)
    except ImvError as error:
        _log.warning("fetch.refused", reason=error.detail)
