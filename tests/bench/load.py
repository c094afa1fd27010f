"""The load generator, a process of its own: `python -m tests.bench.load`.

It makes and signs its letters before the clock starts, keeps its connections open, and counts only
answers that are right: the expected status, outcome and a message id, and no order id twice.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Iterator
from time import perf_counter
from typing import Final

import msgspec
import uvloop

from config.clock import SystemClock
from tests.bench.http_client import Connection
from tests.bench.letters import Deck, Letter, make
from tests.bench.process import reply, requests
from tests.bench.rounds import percentile

_TICK_S: Final = 0.001
_GRACE_S: Final = 30.0
_REST_S: Final = 0.1
"""How long a sender that was refused rests, where no rate says when to send next."""
_WRONG_TOLD: Final = 5
_CLIENT_ERROR, _UNABLE, _OK = 400, 503, 200


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Letters from `start` on, until the time is over or they are all sent.

    Without a `rate` each connection sends its next letter when it has the answer; with one they
    are sent when due, and a late one counts from then. `again` starts over when letters run out
    (for a server that stores nothing). `refusals`: 503 with Retry-After is a right answer too.
    """

    port: int
    start: int
    seconds: float
    connections: int = 64
    count_max: int = 10**9
    rate: float | None = None
    again: bool = False
    refusals: bool = False
    keep: bool = False


class Taken(msgspec.Struct, frozen=True):
    """An order that was acknowledged; times are this machine's monotonic seconds."""

    ref: str
    order_id: str
    units: int
    sent: float
    answered: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run; `wrong` holds the first wrong answers, and counts below are of right ones.

    `ms` counts from when a letter was due, `answer_ms` from when it was sent.
    """

    sent: int
    right: int
    refused: int
    units: int
    elapsed_s: float
    rate: float
    ms: dict[str, float]
    answer_ms: dict[str, float]
    histogram_ms: dict[str, int]
    refused_p99_ms: float
    wrong_count: int
    wrong: list[str]
    taken: list[Taken]


class _Answer(msgspec.Struct, frozen=True):
    outcome: str = ""
    message_id: str = ""
    order_id: str | None = None


_DECODER: Final = msgspec.json.Decoder(_Answer)
_BOUNDS_MS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)


class Tally:
    """Judges and counts answers."""

    def __init__(self, run: Run) -> None:
        """Count for one run."""
        self._run = run
        self.seconds: list[float] = []
        self.answering: list[float] = []
        self.refused: list[float] = []
        self.units = 0
        self.taken: list[Taken] = []
        self.wrong: list[str] = []
        self._orders: set[str] = set()

    def answer(self, connection: Connection, status: int, head: bytes, body: bytes) -> None:
        """Take one answer."""
        now, letter = perf_counter(), connection.letter
        assert letter
        if status == _UNABLE and self._run.refusals and b"retry-after:" in head.lower():
            self.refused.append(now - connection.sent)
            return
        told = _read(body) if status == _OK else None
        if told is None or told.outcome != "applied" or not self._is_new(letter, told):
            self.wrong.append(f"{letter.ref}: {status} {body[:200].decode(errors='replace')}")
            return
        self.seconds.append(now - connection.due)
        self.answering.append(now - connection.sent)
        self.units += letter.units
        if self._run.keep and letter.units:
            order_id = told.order_id or ""
            self.taken.append(Taken(letter.ref, order_id, letter.units, connection.sent, now))

    def _is_new(self, letter: Letter, told: _Answer) -> bool:
        """Whether an order got an id that no other order of this run got."""
        if not told.message_id:
            return False
        if self._run.again or not letter.units:
            return True
        if not told.order_id or told.order_id in self._orders:
            return False
        self._orders.add(told.order_id)
        return True

    def result(self, sent: int, elapsed_s: float) -> Result:
        """Return the sums."""
        ms = [one * 1000 for one in self.seconds]
        answering = [one * 1000 for one in self.answering]
        return Result(
            sent=sent,
            right=len(ms),
            refused=len(self.refused),
            units=self.units,
            elapsed_s=elapsed_s,
            rate=len(ms) / elapsed_s if elapsed_s else 0.0,
            ms={f"p{p}": percentile(ms, p / 100) for p in (50, 90, 99, 100)},
            answer_ms={f"p{p}": percentile(answering, p / 100) for p in (50, 99)},
            histogram_ms=_histogram(ms),
            refused_p99_ms=percentile(self.refused, 0.99) * 1000,
            wrong_count=len(self.wrong),
            wrong=self.wrong[:_WRONG_TOLD],
            taken=self.taken,
        )


class Drive:
    """One run over its connections."""

    def __init__(self, run: Run, letters: list[Letter]) -> None:
        """Take the letters that may be sent."""
        self._run = run
        self._letters = _dealt(run, letters)
        self.tally = Tally(run)
        self._idle: deque[Connection] = deque()
        self._due: deque[tuple[Letter, float]] = deque()
        self._busy = 0
        self._sent = 0
        self._over = False
        self._done = asyncio.Event()

    async def run(self) -> Result:
        """Connect everything, then send until it is over and every answer is there."""
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(self._connection, "127.0.0.1", self._run.port)
            for _ in range(self._run.connections)
        ]
        self._idle.extend(connection for _, connection in made)
        started = perf_counter()
        try:
            async with asyncio.timeout(self._run.seconds + _GRACE_S):
                await (self._pace(started) if self._run.rate else self._rush(started))
                await self._answers()
        except TimeoutError:
            self.tally.wrong.append(f"{self._busy} answers did not come")
        elapsed = perf_counter() - started
        for _, connection in made:
            connection.letter = None
            connection.close()
        return self.tally.result(self._sent, elapsed)

    def _connection(self) -> Connection:
        return Connection(self._answered, self._lost)

    async def _rush(self, started: float) -> None:
        while self._idle and self._send_next():
            pass
        while not self._over and perf_counter() - started < self._run.seconds:  # noqa: ASYNC110 - time itself
            await asyncio.sleep(_TICK_S * 5)
        self._over = True

    async def _pace(self, started: float) -> None:
        rate = self._run.rate or 1.0
        number = 0
        while (now := perf_counter()) - started < self._run.seconds:
            while started + number / rate <= now:
                letter = next(self._letters, None)
                if letter is None:
                    break
                self._due.append((letter, started + number / rate))
                number += 1
            while self._idle and self._send_due():
                pass
            await asyncio.sleep(_TICK_S)
        self._over = True

    async def _answers(self) -> None:
        """Wait for what is under way; of a paced load also for what is due and waits."""
        while self._busy or self._due:
            self._done.clear()
            await self._done.wait()

    def _send_next(self) -> bool:
        letter = None if self._over else next(self._letters, None)
        if letter is None:
            self._over = True
            return False
        self._send(letter, None)
        return True

    def _send_due(self) -> bool:
        if not self._due:
            return False
        self._send(*self._due.popleft())
        return True

    def _send(self, letter: Letter, due: float | None) -> None:
        self._busy += 1
        self._sent += 1
        self._idle.popleft().send(letter, due)

    def _answered(self, connection: Connection, status: int, head: bytes, body: bytes) -> None:
        self.tally.answer(connection, status, head, body)
        connection.letter = None
        self._busy -= 1
        if status == _UNABLE and not self._run.rate:
            asyncio.get_running_loop().call_later(_REST_S, self._go_on, connection)
            self._done.set()
        else:
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        if connection.closed:
            return
        self._idle.append(connection)
        if not (self._send_due() if self._run.rate else self._send_next()):
            self._done.set()

    def _lost(self, connection: Connection) -> None:
        letter, connection.letter = connection.letter, None
        self.tally.wrong.append(f"{letter.ref if letter else ''}: the connection was closed")
        self._busy -= 1
        self._done.set()


def _dealt(run: Run, letters: list[Letter]) -> Iterator[Letter]:
    """Yield the run's letters; from the first one again, if it may."""
    stop = min(len(letters), run.start + run.count_max)
    while True:
        for index in range(run.start, stop):
            yield letters[index]
        if not run.again:
            return


def _read(body: bytes) -> _Answer | None:
    try:
        return _DECODER.decode(body)
    except msgspec.DecodeError:
        return None


def _histogram(ms: list[float]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in ms:
        bound = next((str(b) for b in _BOUNDS_MS if value <= b), "more")
        counts[bound] = counts.get(bound, 0) + 1
    return counts


def main() -> None:
    """Obey our parent: a deck replaces the letters, a run sends some of them."""
    letters: list[Letter] = []
    for request in requests():
        if "kind" in request:
            letters = make(msgspec.convert(request, Deck), SystemClock())
            gc.collect()
            gc.freeze()  # a collection over all letters would be a pause in the middle of a run
            reply({"letters": len(letters)})
        else:
            run = msgspec.convert(request, Run)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                reply(runner.run(Drive(run, letters).run()))


if __name__ == "__main__":
    main()
