"""The intake: a bounded queue and the single loop that drains it into batches.

There is no timer: under light load a batch is one message, under heavy load it grows by itself.
"""

import asyncio
from typing import Protocol

from config import crash
from config.errors import Overloaded, Unavailable
from config.limits import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX
from handlers.batch import Settled
from handlers.message import Message, Outcome

_Waiting = tuple[Message, asyncio.Future[Outcome]]


class Batches(Protocol):
    """Runs batches, one at a time."""

    async def run(self, messages: list[Message]) -> list[Settled]:
        """Settle every message, in order; never raises for a message's fault or an engine's."""
        ...


class WayIn(Protocol):
    """Takes messages one by one."""

    async def submit(self, message: Message) -> Outcome:
        """Wait for the message's outcome; errors as `Intake.submit`."""
        ...


class Intake:
    """Takes messages one by one and gives each its own outcome after its batch is committed."""

    def __init__(self, batch: Batches, queue_messages_max: int) -> None:
        """Take the batch runner and the bound of the queue."""
        self._batch = batch
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue(queue_messages_max)
        self._closed = False
        self._next: _Waiting | None = None

    @property
    def waiting(self) -> int:
        """Return how many messages wait for their batch."""
        return self._queue.qsize()

    def check_room(self) -> None:
        """Raise Overloaded where a message would be refused now; it need not even be looked at then."""
        if self._queue.full():
            raise Overloaded

    async def submit(self, message: Message) -> Outcome:
        """Wait for the message's outcome; a caller that gives up changes nothing.

        Raises:
            Overloaded: the queue is full, nothing was accepted. Unavailable: an engine is down or we
            are stopping. Rejected: an operator's request cannot be done.
        """
        if self._closed:
            raise Unavailable("the gateway is stopping; send it again")
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((message, outcome))
        except asyncio.QueueFull:
            raise Overloaded from None
        # The future is shielded: cancelling a request must not cancel what its batch will set.
        return await asyncio.shield(outcome)

    async def run(self) -> None:
        """Drain the queue into batches until `close`; then what was taken is finished."""
        while (first := await self._take()) is not None:
            batch = [first, *self._drain(len(first[0].body))]
            crash.here("intake.taken")
            settled = await self._batch.run([message for message, _ in batch])
            for (_, outcome), result in zip(batch, settled, strict=True):
                _settle(outcome, result)

    def close(self) -> None:
        """Take no more; `run` returns when everything taken has its outcome. Twice is harmless."""
        if not self._closed:
            self._closed = True
            # A full queue has no room for the sign to stop; its loop then sees `_closed` when empty.
            if not self._queue.full():
                self._queue.put_nowait(None)

    async def _take(self) -> _Waiting | None:
        if self._next is not None:
            first, self._next = self._next, None
            return first
        if self._closed and self._queue.empty():
            return None
        return await self._queue.get()

    def _drain(self, bytes_taken: int) -> list[_Waiting]:
        taken: list[_Waiting] = []
        while len(taken) + 1 < BATCH_MESSAGES_MAX and not self._queue.empty():
            waiting = self._queue.get_nowait()
            if waiting is None:
                break
            bytes_taken += len(waiting[0].body)
            if bytes_taken > BATCH_BYTES_MAX:
                self._next = waiting
                break
            taken.append(waiting)
        return taken


def _settle(outcome: asyncio.Future[Outcome], result: Settled) -> None:
    if outcome.done():
        return
    if isinstance(result, Outcome):
        outcome.set_result(result)
    else:
        outcome.set_exception(result)
        # Nobody may be there any more to see it; it must not be reported as lost.
        outcome.exception()
