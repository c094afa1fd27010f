"""A process of a benchmark: it talks in lines of JSON and ends with us, whatever happens."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

import msgspec
import psutil

from config.settings import environment
from gateway.engines import leash

ROOT = Path(__file__).parents[2]
READY_S = 60.0
STOP_S = 30.0
_LOOK_S = 0.05


class Failed(Exception):
    """The benchmark cannot say anything: something is missing, wrong, or did not start."""


class Process:
    """A Python module that runs beside us; what it prints to stderr stands in its log."""

    def __init__(self, log: Path, *arguments: str) -> None:
        """Start it; `arguments` follow `python -m`."""
        environ = {n: v for n, v in environment().items() if not n.startswith("IMV_")}
        tied = (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()))
        self._log_path = log
        with log.open("ab") as file:
            self._popen = subprocess.Popen(
                [*tied, sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._popen.pid

    def hear(self, within_s: float) -> dict[str, Any]:
        """Return the next line; Failed when none comes in time."""
        out = self._popen.stdout
        assert out
        readable, _, _ = select.select([out], [], [], within_s)
        line = out.readline() if readable else b""
        if not line.startswith(b"{"):
            said = line[:200].decode(errors="replace") or "nothing"
            raise Failed(f"a process answered {said}; its log ends: {self._last_words()}")
        told: dict[str, Any] = msgspec.json.decode(line)
        return told

    def tell(self, request: object) -> None:
        """Write one line to it."""
        assert self._popen.stdin
        self._popen.stdin.write(msgspec.json.encode(request) + b"\n")
        self._popen.stdin.flush()

    def memory_bytes(self) -> int:
        """Return its resident memory, without children."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def cpu_s(self) -> float:
        """Return the processor time that it has used."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """Ask it to end, wait, then kill it."""
        if self._popen.poll() is None:
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_S)
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait(STOP_S)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        """Return the running process."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    def _last_words(self) -> str:
        return self._log_path.read_bytes()[-800:].decode(errors="replace").strip()


class Peak:
    """How much memory a process held more, at most."""

    grown_bytes = 0


@contextmanager
def watched(process: Process) -> Iterator[Peak]:
    """Look at a process's memory twenty times a second while this is open."""
    peak, over, before = Peak(), Event(), process.memory_bytes()

    def look() -> None:
        with suppress(psutil.NoSuchProcess):
            while not over.wait(_LOOK_S):
                peak.grown_bytes = max(peak.grown_bytes, process.memory_bytes() - before)

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Let us, and what is started meanwhile, run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def requests() -> Iterator[Mapping[str, Any]]:
    """Yield what our parent tells us, line by line, until it is gone."""
    for line in sys.stdin.buffer:
        yield msgspec.json.decode(line)


def reply(answer: object) -> None:
    """Answer our parent."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()
