"""The relay: takes events from the outbox table to the stream, in order and exactly once."""

import asyncio
from collections.abc import Sequence
from typing import Final

from config import crash
from config.clock import Clock
from config.errors import Conflict, Unavailable
from config.ids import IdFactory
from config.limits import LEASE_S, RELAY_IDLE_S, RELAY_TURN_S
from config.log import get_log
from outbox.delivery import Delivery
from outbox.lookahead import Lookahead, Ready
from outbox.message import Batch, Published
from outbox.partitions import Partitions
from outbox.ports import Publisher, Transactions
from outbox.recovery import Recovery
from outbox.trouble import Trouble, delays, happens

RENEWALS_PER_LEASE: Final = 3
PRUNE_S: Final = 60.0
LINGER_S: Final = 0.1
_TRANSIENT: Final = (Unavailable, Conflict)


class Relay:
    """Owns some of the partitions and empties them; several relays share them fairly.

    One loop does all writing to the database, so that its transactions are few: each marks what
    has arrived and stamps what comes next. Batches travel meanwhile, one of each partition, and what
    will be the next one is sent ahead of its stamp.
    """

    def __init__(
        self,
        transactions: Transactions,
        publisher: Publisher,
        clock: Clock,
        *,
        ids: IdFactory,
        partitions: int | None = None,
    ) -> None:
        """Take the number of partitions, where it must be that and no other."""
        self._clock = clock
        self._publisher = publisher
        self._partitions = Partitions(transactions, clock, ids, partitions=partitions)
        self._stopping = asyncio.Event()
        self._awake = asyncio.Event()
        self._recovery = Recovery(self._partitions, publisher, clock, stopping=self._stopping)
        self._lookahead = Lookahead(self._partitions, publisher, clock)
        self._delivery = Delivery(
            self._partitions,
            publisher,
            self._recovery,
            self._lookahead,
            clock,
            stopping=self._stopping,
        )
        self._look = True
        self._ours: set[int] = set()
        self._under_way: set[int] = set()
        self._published: list[Published] = []
        self._refresh_at = 0.0
        self._prune_at = 0.0
        self._turn_at = 0.0
        self._trouble = Trouble(clock, "relay.hindered")
        self._log = get_log("outbox")

    def notify(self) -> None:
        """Say that events were committed; without it they are found a little later."""
        self._look = True
        self._awake.set()

    async def run(self) -> None:
        """Relay until cancelled; then finish what is under way and give the leases up.

        A second cancellation stops at once; the next owner finds what is stamped.

        Raises:
            Misconfigured: another number of partitions than the database's, or a wrong stream.
        """
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._work(), name="relay")
            try:
                await asyncio.wait((work,))  # unlike awaiting it, leaves it alone when cancelled
            except asyncio.CancelledError:
                self._stopping.set()
                self._awake.set()
                await asyncio.wait((work,))
                raise

    async def _work(self) -> None:
        await self._prepare()
        async with asyncio.TaskGroup() as batches:
            batches.create_task(self._recovery.run(self.notify), name="recovery")
            while not self._stopping.is_set():
                await self._guarded_round(batches)
            self._lookahead.keep(())
            # Each ends with its present attempt, whose time is bounded.
        await self._finish()

    async def _prepare(self) -> None:
        for delay in delays():
            if await happens(self._stopping, delay):
                return
            try:
                await self._partitions.prepare()
                await self._publisher.ensure_stream()
            except _TRANSIENT as error:
                self._trouble.tell(error)
            else:
                return

    async def _guarded_round(self, batches: asyncio.TaskGroup) -> None:
        """Do rounds until the database refuses one; then learn anew what is ours."""
        for delay in delays():
            if await happens(self._stopping, delay):
                return
            try:
                await self._round(batches)
            except _TRANSIENT as error:
                self._trouble.tell(error)
                self._refresh_at = 0.0
            else:
                self._trouble.over()
                return

    async def _round(self, batches: asyncio.TaskGroup) -> None:
        self._awake.clear()  # what comes from here on wakes us again
        if self._clock.monotonic() >= self._refresh_at:
            await self._start(await self._refresh(), batches, doubt=True)
        is_mark_due = self._is_mark_due()
        if is_mark_due or await self._is_pending():
            await happens(self._stopping, self._turn_at - self._clock.monotonic())
            self._turn_at = self._clock.monotonic() + RELAY_TURN_S
            stamped = await self._turn()
            if not (is_mark_due or stamped):
                self._prune_at = 0.0  # what waits may be events that are gone
            await self._start(stamped, batches, doubt=False)
        await self._prune()
        if not await happens(self._awake, LINGER_S if self._published else RELAY_IDLE_S):
            self._look = True

    def _is_mark_due(self) -> bool:
        """Whether enough has arrived for a transaction: half of what travels, or a while passed.

        The other half travels during the transaction; and few transactions that mark many rows
        cost the one writer much less than many that mark few.
        """
        arrived = len(self._published)
        return arrived > 0 and (self._look or arrived * 2 >= len(self._under_way))

    async def _is_pending(self) -> bool:
        """Whether a partition that nothing travels from has rows; asked when there is reason."""
        look, self._look = self._look, False
        free = sorted(self._ours - self._under_way)
        return look and bool(free) and await self._partitions.is_pending(free)

    async def _refresh(self) -> list[Batch]:
        """Renew the leases; return the stamped batches among them that nobody carries."""
        leases, settled = await self._partitions.refresh(self._under_way)
        wait_s = LEASE_S / RENEWALS_PER_LEASE if settled else RELAY_IDLE_S
        self._refresh_at = self._clock.monotonic() + wait_s
        self._ours = {lease.partition for lease in leases}
        self._lookahead.keep(self._ours)
        crash.here("relay.leased")
        return [
            lease.batch
            for lease in leases
            if lease.batch and lease.partition not in self._under_way
        ]

    async def _turn(self) -> list[Batch]:
        """Mark all that has arrived and stamp what comes next.

        When the commit's answer is lost, the marks are kept for another turn, where they either
        hold or find their stamp gone; the stamps are found by the refresh that follows.
        """
        published = list(self._published)
        arrived = {done.batch.partition for done in published}
        free = sorted(self._ours - self._under_way | (self._ours & arrived))
        stamped, kept = await self._partitions.turn(published, free)
        if published:
            crash.here("relay.marked")
        if stamped:
            crash.here("relay.stamped")
        del self._published[: len(published)]
        self._under_way -= arrived
        if not kept:
            self._refresh_at = 0.0
        return stamped

    async def _start(
        self, stamped: Sequence[Batch], batches: asyncio.TaskGroup, *, doubt: bool
    ) -> None:
        """Send each on its way, and what follows it behind it.

        When they cannot be loaded, the refresh that follows finds their stamps.
        """
        if not stamped:
            return
        loaded = await self._loaded(stamped)
        crash.here("relay.loaded")
        for batch in stamped:
            ready = loaded[batch.id]
            if len(ready.messages) != len(batch.positions):
                # Somebody deleted pending rows by hand: what is left goes out.
                self._log.error("rows.missing", batch=batch.id, found=len(ready.messages))
            self._under_way.add(batch.partition)
            carry = self._carry(batch, ready, doubt=doubt)
            batches.create_task(carry, name=f"batch {batch.id}")
            if not self._stopping.is_set():
                self._lookahead.begin(batch, ready.messages, batches)

    async def _loaded(self, stamped: Sequence[Batch]) -> dict[str, Ready]:
        """Return messages by their batch's id: what was sent ahead, and one read for the rest."""
        ready = await self._lookahead.take(stamped)
        missing = [batch for batch in stamped if batch.id not in ready]
        if missing:
            loaded = await self._partitions.load(missing)
            ready |= {batch.id: Ready(one) for batch, one in zip(missing, loaded, strict=True)}
        return ready

    async def _carry(self, batch: Batch, ready: Ready, *, doubt: bool) -> None:
        published = await self._delivery.deliver(
            batch, ready.messages, doubt=doubt, sent=ready.sent
        )
        if published:
            self._published.append(published)
        else:
            self._under_way.discard(batch.partition)
            self._refresh_at = 0.0
        self._awake.set()

    async def _prune(self) -> None:
        """Delete old rows, a few at a time so that the writer is soon free again."""
        now = self._clock.monotonic()
        if now >= self._prune_at:
            more = await self._partitions.prune(self._ours)
            self._prune_at = now + (RELAY_IDLE_S if more else PRUNE_S)

    async def _finish(self) -> None:
        """Mark what has arrived and release the leases; what fails is settled by the next owner."""
        try:
            if self._published:
                await self._partitions.turn(self._published, ())
            await self._partitions.release(sorted(self._ours))
        except _TRANSIENT as error:
            self._log.warning("relay.unfinished", reason=str(error))
        self._log.info("relay.stopped", partitions=len(self._ours))
