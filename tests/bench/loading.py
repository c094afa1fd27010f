"""Our side of the load generator: what was sent so far, and that every answer was right."""

from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from tests.bench.letters import Deck
from tests.bench.load import Result, Run, Taken
from tests.bench.process import Failed, Process

_MAKING_S: Final = 120.0
_RUNNING_S: Final = 60.0


class Load:
    """One load generator with one deck; runs that store something never send a letter twice."""

    def __init__(self, folder: Path, deck: Deck) -> None:
        """Start it and have the letters made."""
        self._process = Process(folder / "load.log", "tests.bench.load")
        self._next = 0
        self.taken: list[Taken] = []
        self.units = 0
        self.right = 0
        self.deal(deck)

    def deal(self, deck: Deck) -> None:
        """Replace the letters."""
        self._process.tell(deck)
        self._process.hear(_MAKING_S)
        self._left = deck.count
        self._next = 0

    def run(self, run: Run) -> Result:
        """Send new letters, and remember the orders that were acknowledged."""
        return self.finish(self.begin(run))

    def begin(self, run: Run) -> Run:
        """Send new letters while we do something else; `finish` waits for the end."""
        run = msgspec.structs.replace(run, start=self._next, keep=True)
        self._process.tell(run)
        return run

    def finish(self, run: Run) -> Result:
        """Return what came of the run that was begun."""
        result = self._result(run)
        self._next += result.sent
        self.taken += result.taken
        self.units += result.units
        self.right += result.right
        return result

    def replay(self, run: Run) -> Result:
        """Send letters from the first one on, again and again, to a server that stores nothing."""
        run = msgspec.structs.replace(run, start=0, again=True)
        self._process.tell(run)
        return self._result(run)

    def _result(self, run: Run) -> Result:
        result = msgspec.convert(self._process.hear(run.seconds + _RUNNING_S), Result)
        if result.wrong_count or not result.right:
            raise Failed(f"{result.wrong_count} wrong answers: {'; '.join(result.wrong)}")
        if result.elapsed_s < run.seconds / 2 and result.right < run.count_max:
            raise Failed(f"the letters were used up in {result.elapsed_s:.1f} s: prepare more")
        return result

    def __enter__(self) -> Self:
        """Return the running load generator."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self._process.stop()
