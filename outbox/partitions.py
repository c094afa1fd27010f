"""The relay's side of the database: leases, stamps and marks, each a transaction of its own."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from config.clock import Clock, to_ms, to_us
from config.ids import IdFactory
from config.limits import LEASE_S, OUTBOX_KEPT_S, PARTITIONS, RELAY_BATCH_MAX
from config.log import get_log
from outbox.beginning import agree
from outbox.lease_statements import (
    Lease,
    claim_batches,
    clear_stamps,
    expect_marker,
    find_by_index,
    idle_leases,
    leave_members,
    members,
    release_leases,
    renew_leases,
    rewind,
    stay_member,
    take_leases,
)
from outbox.message import Batch, Message, Published
from outbox.ports import Transactions
from outbox.statements import (
    forget_lost,
    is_pending,
    load_batches,
    load_upcoming,
    mark_published,
    may_prune,
    prune,
    restage,
)

BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
PRUNE_ROWS_MAX: Final = 1000


class _GoneOn(Exception):
    """A partition is no longer as it was: what was to be done is taken back."""


class Partitions:
    """The partitions as one relay sees them.

    A lease's time is compared between machines, so their clocks decide how soon a dead relay is
    followed; that nothing is published twice does not hang on them, but on epoch and marker.
    """

    def __init__(
        self,
        transactions: Transactions,
        clock: Clock,
        ids: IdFactory,
        *,
        partitions: int | None = None,
    ) -> None:
        """Take a name of our own, which is new in every process."""
        self._transactions = transactions
        self._clock = clock
        self._ids = ids
        self._wanted = partitions
        self._partitions = partitions or PARTITIONS
        # Race: on PostgreSQL a stamp that waits for a row that is rewound sees that row anew, but what
        # is pending as it was before, so newer events would overtake those that were put back.
        self._stamping = asyncio.Lock()
        self._log = get_log("outbox")
        self.me = self._new_id()

    @property
    def count(self) -> int:
        """How many partitions the database has."""
        return self._partitions

    async def prepare(self) -> None:
        """Learn the number of partitions; errors as `agree`."""
        self._partitions = await agree(self._transactions, self._wanted)

    async def refresh(self, busy: Collection[int]) -> tuple[list[Lease], bool]:
        """Renew our leases and move towards our fair share.

        Returns the leases to work with, and whether all others are given up: one that is above our
        share and busy is given up by a later refresh. A stamped batch in a lease that is not busy
        was left by a predecessor, or its commit's answer was lost.
        """
        async with self._transactions.write() as connection:
            ours, share = await self._held(connection)
            surplus = surplus_of(ours, share, busy)
            idle = [number for number in surplus if number not in busy]
            if idle:
                await release_leases(connection, self.me, idle)
        kept = [lease for lease in ours if lease.partition not in surplus]
        return kept, len(idle) == len(surplus)

    async def _held(self, connection: AsyncConnection) -> tuple[list[Lease], int]:
        """Renew what is ours and take what we lack; return it, with our fair share."""
        now_us = self._now_us()
        until_us = now_us + int(LEASE_S * 1_000_000)
        await stay_member(connection, self.me, now_us=now_us, until_us=until_us)
        share = fair_share(self.me, await members(connection), self._partitions)
        ours = await renew_leases(connection, self.me, until_us)
        if len(ours) < share:
            ours += await take_leases(
                connection,
                self.me,
                partitions_max=share - len(ours),
                now_us=now_us,
                until_us=until_us,
            )
        return ours, share

    async def idle(self) -> list[Lease]:
        """Return those of our leases in which no batch stands stamped, as they are now."""
        async with self._transactions.read() as connection:
            return await idle_leases(connection, self.me)

    async def is_pending(self, partitions: Sequence[int]) -> bool:
        """Tell whether a turn would find anything."""
        async with self._reading() as connection:
            return await is_pending(connection, partitions)

    async def turn(
        self, published: Sequence[Published], free: Sequence[int]
    ) -> tuple[list[Batch], bool]:
        """Mark what is in the stream and stamp what comes next, in one transaction.

        Returns the stamped batches, and whether every mark still found its lease and stamp.
        """
        async with self._stamping, self._transactions.write() as connection:
            await find_by_index(connection)
            kept = await self._mark(connection, published)
            return await self._stamp(connection, free), kept

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._transactions.read() as connection:
            await find_by_index(connection)
            yield connection

    async def _mark(self, connection: AsyncConnection, published: Sequence[Published]) -> bool:
        """Mark under the lease; False when the next owner does it, or a lost commit did."""
        if not published:
            return True
        cleared = await clear_stamps(connection, self.me, published)
        ours = [done.batch for done in published if done.batch.partition in cleared]
        await mark_published(connection, ours)
        return len(ours) == len(published)

    async def _stamp(self, connection: AsyncConnection, free: Sequence[int]) -> list[Batch]:
        if not free:
            return []
        return await claim_batches(
            connection,
            self.me,
            turn=self._new_id(),
            partitions=free,
            rows_max=RELAY_BATCH_MAX,
            bytes_max=BATCH_BYTES_MAX,
        )

    async def load(self, batches: Sequence[Batch]) -> list[list[Message]]:
        """Read stamped batches."""
        async with self._reading() as connection:
            return await load_batches(connection, batches)

    async def load_upcoming(self, batch: Batch) -> tuple[tuple[int, ...], list[Message]]:
        """Read positions and messages of what a turn will stamp behind a batch, if that is whole."""
        async with self._reading() as connection:
            return await load_upcoming(
                connection, batch, rows_max=RELAY_BATCH_MAX, bytes_max=BATCH_BYTES_MAX
            )

    async def expect(self, batch: Batch, sequence: int) -> bool:
        """Let a stamped batch follow another marker; False when it is no longer ours."""
        async with self._transactions.write() as connection:
            return await expect_marker(connection, batch, sequence)

    async def send_again(self, lease: Lease, sequence: int) -> int | None:
        """Let all that is kept of a partition be published once more, behind a marker.

        Returns the number of rows, and None when the partition has gone on meanwhile.
        """
        try:
            async with self._stamping, self._transactions.write() as connection:
                return await _put_back(connection, lease, sequence)
        except _GoneOn:
            return None

    async def release(self, partitions: Sequence[int]) -> None:
        """Give everything up, so that others need not wait for the leases' end."""
        async with self._transactions.write() as connection:
            await release_leases(connection, self.me, partitions)
            await leave_members(connection, self.me)

    async def prune(self, partitions: Collection[int]) -> bool:
        """Delete a bounded number of old published rows; tell whether there may be more.

        What waits in these partitions although its event is gone (somebody deleted it by hand) is
        forgotten, and told of.
        """
        before_us = self._now_us() - OUTBOX_KEPT_S * 1_000_000
        async with self._transactions.write() as connection:
            if not await may_prune(connection):
                return False
            lost = [await forget_lost(connection, one, PRUNE_ROWS_MAX) for one in partitions]
            pruned = await prune(connection, before_us, PRUNE_ROWS_MAX)
        if any(lost):
            self._log.error("rows.missing", found=sum(lost))
        return PRUNE_ROWS_MAX in (*lost, pruned)

    def _now_us(self) -> int:
        return to_us(self._clock.now())

    def _new_id(self) -> str:
        return self._ids.new(to_ms(self._clock.now()))


async def _put_back(connection: AsyncConnection, lease: Lease, sequence: int) -> int:
    """Let all that is kept of a partition wait again; `_GoneOn` where it is no longer as it was.

    The partition's row comes last: other relays wait for it, and with it for the renewal of theirs.
    """
    rows = await restage(connection, lease.partition)
    if not await rewind(connection, lease, sequence):
        raise _GoneOn
    return rows


def is_whole(messages: Sequence[Message]) -> bool:
    """Tell whether a batch is as large as may be, so that more may have waited when it was stamped."""
    if len(messages) == RELAY_BATCH_MAX:
        return True
    return sum(len(one.data) for one in messages) >= BATCH_BYTES_MAX


def fair_share(me: str, alive: Sequence[str], partitions: int) -> int:
    """Return how many partitions a relay takes; over all of them it adds up to every partition."""
    each, rest = divmod(partitions, len(alive))
    return each + (alive.index(me) < rest)


def surplus_of(ours: Sequence[Lease], share: int, busy: Collection[int]) -> list[int]:
    """Return the partitions above the share, first those that can be given up now."""
    held = sorted((lease.partition in busy, lease.partition) for lease in ours)
    return [partition for _, partition in held[: max(0, len(ours) - share)]]
