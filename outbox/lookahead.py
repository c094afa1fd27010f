"""What comes behind the batches under way: read, and sent, before it is stamped."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from config.clock import Clock
from config.errors import Conflict, Unavailable
from outbox.message import Batch, Message
from outbox.partitions import Partitions, is_whole
from outbox.ports import AheadSender
from outbox.trouble import Trouble

PARTITIONS_AHEAD_MAX: Final = 16
"""NATS holds 50 open batches of a stream: of each partition one that is published, one that is ahead,
and one that a predecessor left."""
FRESH_S: Final = 5.0
"""NATS forgets what was sent ahead after ten seconds."""
PAUSE_S: Final = 10.0
WAIT_S: Final = 0.5
"""A broker that does not read must not keep the relay from its leases."""


class Ready(msgspec.Struct, frozen=True):
    """The messages of a batch; `sent` is the name under which they went ahead, if they did."""

    messages: Sequence[Message]
    sent: str = ""


class _Upcoming(msgspec.Struct, frozen=True):
    positions: tuple[int, ...]
    ready: Ready
    at_s: float


class Lookahead:
    """Reads and sends what follows each batch under way, while that one is committed and marked.

    It is a guess. The stream stores nothing before the marker of a stamped batch, and a batch takes over
    what was sent ahead only where it has exactly these positions, whose rows never change. Only whole
    batches are sent ahead, behind whole ones: what is less grows until its turn. After a guess in vain
    there is none for a while, since the broker still holds that one.
    """

    def __init__(self, partitions: Partitions, sender: AheadSender, clock: Clock) -> None:
        """Take where to read and where to send."""
        self._partitions = partitions
        self._sender = sender
        self._clock = clock
        self._tasks: dict[int, asyncio.Task[_Upcoming | None]] = {}
        self._reading = asyncio.Lock()  # others need the database's connections, too
        self._resume_at = 0.0
        self._trouble = Trouble(clock, "ahead.refused")

    def begin(self, batch: Batch, messages: Sequence[Message], group: asyncio.TaskGroup) -> None:
        """Look behind a batch that goes on its way."""
        is_guessed = is_whole(messages) and self._partitions.count <= PARTITIONS_AHEAD_MAX
        if is_guessed and self._clock.monotonic() >= self._resume_at:
            work = group.create_task(self._look(batch), name=f"behind {batch.id}")
            self._tasks[batch.partition] = work

    async def take(self, stamped: Sequence[Batch]) -> dict[str, Ready]:
        """Return what was sent ahead of these batches, by the batch's id."""
        tasks = {one.id: self._tasks.pop(one.partition, None) for one in stamped}
        under_way = [task for task in tasks.values() if task]
        if under_way:
            await asyncio.wait(under_way, timeout=WAIT_S)
        found = {one.id: self._fitting(tasks[one.id], one) for one in stamped}
        return {name: ready for name, ready in found.items() if ready}

    def failed(self, error: Exception) -> None:
        """Hear that the stream did not take a batch that was sent ahead; make no guess for a while."""
        self._trouble.tell(error)
        self._pause()

    def succeeded(self) -> None:
        """Hear that the stream took one."""
        self._trouble.over()

    def keep(self, partitions: Collection[int]) -> None:
        """Forget what follows in other partitions."""
        for partition in self._tasks.keys() - partitions:
            self._tasks.pop(partition).cancel()

    def _fitting(self, task: asyncio.Task[_Upcoming | None] | None, batch: Batch) -> Ready | None:
        if task is None:
            return None
        if not task.done():
            task.cancel()
            self._pause()
            return None
        found = None if task.cancelled() else task.result()
        if found is None:
            return None
        is_fresh = self._clock.monotonic() - found.at_s <= FRESH_S
        if found.positions != batch.positions or not is_fresh:
            self._pause()
            return None
        return found.ready

    def _pause(self) -> None:
        self._resume_at = self._clock.monotonic() + PAUSE_S

    async def _look(self, batch: Batch) -> _Upcoming | None:
        try:
            async with self._reading:
                positions, messages = await self._partitions.load_upcoming(batch)
            if not messages:
                return None
            sent = await self._sender.send_ahead(messages)
        except (Unavailable, Conflict):
            return None  # who stamps and publishes them tells of it
        return _Upcoming(positions, Ready(messages, sent), self._clock.monotonic())
