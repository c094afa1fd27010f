"""The intake: a bounded queue and the single loop that drains it into batches.

There is no timer: under light load a batch is one message, under heavy load it grows by itself.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from config import crash
from config.clock import Clock
from config.errors import Overloaded, Unavailable
from config.limits import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX
from handlers.batch import Settled
from handlers.message import Message, Outcome
from handlers.room import Room


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


class _Waiting(NamedTuple):
    """A message in the queue, who waits for it, since when (monotonic seconds), and among how many."""

    message: Message
    outcome: asyncio.Future[Outcome]
    since: float
    among: int


class Intake:
    """Takes messages one by one and gives each its own outcome after its batch is committed.

    The queue is bounded in number, and what is under way so that most of it is answered within
    `answer_s` (see `Room`). While the oldest has waited as long for a batch that is slower than any
    before, who comes now would wait longer, and is refused as well.
    """

    def __init__(self, batch: Batches, clock: Clock, *, messages_max: int, answer_s: float) -> None:
        """Take the batch runner, the clock and the bounds: messages that wait, seconds to an answer."""
        self._batch = batch
        self._clock = clock
        self._messages_max = messages_max
        self._answer_s = answer_s
        self._room = Room(messages_max + BATCH_MESSAGES_MAX, answer_s)
        self._queue: deque[_Waiting] = deque()
        self._running = 0
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Return how many messages wait for their batch."""
        return len(self._queue)

    @property
    def under_way(self) -> int:
        """Return how many messages wait, or are in the batch that runs."""
        return len(self._queue) + self._running

    @property
    def room(self) -> int:
        """Return how many may be under way at once, as it is learned by now."""
        return self._room.bound

    def has_room(self) -> bool:
        """Tell whether a message would be taken now; where not, it need not even be looked at."""
        return not self._is_full() and self._room.has(self.under_way)

    async def submit(self, message: Message) -> Outcome:
        """Wait for the message's outcome; a caller that gives up changes nothing.

        Raises:
            Overloaded: the queue is full or slow, nothing was accepted. Unavailable: an engine is down
            or we are stopping. Rejected: an operator's request cannot be done.
        """
        if self._closed:
            raise Unavailable("the gateway is stopping; send it again")
        if not self.has_room():
            raise Overloaded
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(message, outcome, self._clock.monotonic(), self.under_way + 1)
        self._queue.append(waiting)
        self._changed.set()
        # The future is shielded: cancelling a request must not cancel what its batch will set.
        return await asyncio.shield(outcome)

    async def run(self) -> None:
        """Drain the queue into batches until `close`; then what was taken is finished."""
        while await self._is_any():
            batch = list(self._drain())
            self._running = len(batch)
            crash.here("intake.taken")
            settled = await self._batch.run([one.message for one in batch])
            self._running = 0
            # What an engine that is down takes to say so tells nothing of how many could be taken.
            if not all(isinstance(result, Unavailable) for result in settled):
                self._room.learn(batch[0].since, self._clock.monotonic(), batch[-1].among)
            for one, result in zip(batch, settled, strict=True):
                _settle(one.outcome, result)

    def close(self) -> None:
        """Take no more; `run` returns when everything taken has its outcome. Twice is harmless."""
        self._closed = True
        self._changed.set()

    async def _is_any(self) -> bool:
        """Wait until a message waits; False when none will come any more."""
        while not self._queue:
            if self._closed:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    def _is_full(self) -> bool:
        """Tell whether too many wait for a batch, or one has waited too long for it."""
        if not self._queue:
            return False
        waited_s = self._clock.monotonic() - self._queue[0].since
        return len(self._queue) >= self._messages_max or waited_s > self._answer_s

    def _drain(self) -> Iterator[_Waiting]:
        """Take the oldest, and those behind it as far as they fit into one batch."""
        messages = taken_bytes = 0
        while self._queue and messages < BATCH_MESSAGES_MAX:
            taken_bytes += len(self._queue[0].message.body)
            if messages and taken_bytes > BATCH_BYTES_MAX:
                return
            messages += 1
            yield self._queue.popleft()


def _settle(outcome: asyncio.Future[Outcome], result: Settled) -> None:
    if outcome.done():
        return
    if isinstance(result, Outcome):
        outcome.set_result(result)
    else:
        outcome.set_exception(result)
        # Nobody may be there any more to see it; it must not be reported as lost.
        outcome.exception()
