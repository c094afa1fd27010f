"""What comes behind the batches under way: read, and sent, before it is stamped."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from config.clock import Clock
from config.errors import Conflict, Unavailable
from outbox.message import Batch, Message
from outbox.partitions import Partitions
from outbox.ports import AheadSender

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
    at_s: float = 0.0


_NOTHING: Final = _Upcoming((), Ready(()))
_LATE: Final = _Upcoming((), Ready((), sent="some"))


class Lookahead:
    """Reads and sends what follows each batch under way, while that one is committed and marked.

    It is a guess. The stream stores nothing before the marker of a stamped batch, and a batch takes over
    what was sent ahead only where it has exactly these positions, whose rows never change. Only whole
    batches are sent ahead: what is less grows until its turn.
    """

    def __init__(self, partitions: Partitions, sender: AheadSender, clock: Clock) -> None:
        """Take where to read and where to send."""
        self._partitions = partitions
        self._sender = sender
        self._clock = clock
        self._tasks: dict[int, asyncio.Task[_Upcoming]] = {}
        self._resume_at = 0.0

    def begin(self, batch: Batch, group: asyncio.TaskGroup) -> None:
        """Look behind a batch that goes on its way."""
        work = group.create_task(self._look(batch), name=f"behind {batch.id}")
        self._tasks[batch.partition] = work

    async def take(self, batch: Batch) -> Ready | None:
        """Return what was read for a batch; None where nothing was, or something else."""
        task = self._tasks.pop(batch.partition, None)
        if task is None:
            return None
        await asyncio.wait((task,), timeout=WAIT_S)
        found = task.result() if task.done() else _LATE
        if found.positions != batch.positions:
            if found.ready.sent:
                # The broker holds only so many of these until it forgets them.
                self._resume_at = self._clock.monotonic() + PAUSE_S
            return None
        if self._clock.monotonic() - found.at_s > FRESH_S:
            return Ready(found.ready.messages)
        return found.ready

    def keep(self, partitions: Collection[int]) -> None:
        """Forget what was read of other partitions."""
        for partition in self._tasks.keys() - partitions:
            del self._tasks[partition]

    async def _look(self, batch: Batch) -> _Upcoming:
        if self._clock.monotonic() < self._resume_at:
            return _NOTHING
        try:
            positions, messages = await self._partitions.load_upcoming(batch)
        except (Unavailable, Conflict):
            return _NOTHING  # the turn that stamps them tells of it
        if not messages:
            return _NOTHING
        return _Upcoming(positions, await self._sent(messages), self._clock.monotonic())

    async def _sent(self, messages: Sequence[Message]) -> Ready:
        try:
            return Ready(messages, await self._sender.send_ahead(messages))
        except Unavailable:
            return Ready(messages)
