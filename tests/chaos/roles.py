"""Roles of the program as real processes, forked from a warm one; they can be killed and stopped."""

import asyncio
import itertools
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from config.settings import environment
from gateway.engines import leash

ROOT: Final = Path(__file__).parents[2]
READY_S: Final = 40.0
_LOOK_S: Final = 0.01


class NotReady(Exception):
    """A role ended, or said nothing, before it was ready; its log says why."""


class Role:
    """One running role."""

    def __init__(self, pid: int, out: Path, log: Path, ended: asyncio.Future[int]) -> None:
        """Take what the warm process told, and where it writes."""
        self.pid = pid
        self.log = log
        self.ended = ended
        self._out = out

    @property
    def alive(self) -> bool:
        """Whether it runs, or stands still."""
        return not self.ended.done()

    async def ready(self) -> dict[str, Any]:
        """Return its ready line; NotReady when it ends before that, or takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                while self.alive and not self._line():  # noqa: ASYNC110 - a file sends no event
                    await asyncio.sleep(_LOOK_S)
        if line := self._line():
            told: dict[str, Any] = msgspec.json.decode(line)
            return told
        raise NotReady(f"{self.log} ends: {self.last_words()}")

    def tell(self, number: signal.Signals) -> None:
        """Send a signal if it is still there."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def end(self, number: signal.Signals = signal.SIGTERM, *, within_s: float = 20.0) -> int:
        """End it, by force if need be; return its status."""
        self.tell(signal.SIGCONT)
        self.tell(number)
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.shield(self.ended)
        except TimeoutError:
            self.tell(signal.SIGKILL)
            return await asyncio.shield(self.ended)

    def last_words(self) -> str:
        """Return the end of its log."""
        return self.log.read_bytes()[-1500:].decode(errors="replace").strip()

    def _line(self) -> bytes:
        try:
            line, mark, _ = self._out.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return b""
        return line if mark else b""


class Warm:
    """The warm process; `start` forks a role of it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take the process; see `warm`."""
        self._process = process
        self._born: deque[asyncio.Future[int]] = deque()
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._numbers = itertools.count(1)

    async def start(
        self, folder: Path, arguments: Sequence[str], environ: Mapping[str, str] | None = None
    ) -> Role:
        """Start one role; what it prints stands in the folder."""
        number = next(self._numbers)
        out = folder / f"{number:03d}-{arguments[0]}.out"
        log = folder / f"{arguments[0]}.log"
        log.touch()
        order = {
            "arguments": list(arguments),
            "environ": dict(environ or {}),
            "out": str(out),
            "log": str(log),
        }
        born: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._born.append(born)
        assert self._process.stdin
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        await self._process.stdin.drain()
        pid = await born
        return Role(pid, out, log, self._ends[pid])

    async def listen(self) -> None:
        """Hear of births and ends until the process is gone."""
        assert self._process.stdout
        async for line in self._process.stdout:
            told = msgspec.json.decode(line)
            pid = told["pid"]
            if "status" in told:
                self._ends[pid].set_result(told["status"])
            else:
                self._ends[pid] = asyncio.get_running_loop().create_future()
                self._born.popleft().set_result(pid)


@asynccontextmanager
async def warm() -> AsyncIterator[Warm]:
    """Run a warm process; it takes its roles with it when it ends."""
    environ = {n: v for n, v in environment().items() if not n.startswith("IMV_")}
    tied = (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()))
    process = await asyncio.create_subprocess_exec(
        *tied,
        sys.executable,
        "-m",
        "tests.chaos.warm",
        cwd=ROOT,
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    parent = Warm(process)
    try:
        async with asyncio.TaskGroup() as group:
            ears = group.create_task(parent.listen(), name="warm.ears")
            try:
                yield parent
            finally:
                assert process.stdin
                process.stdin.close()
                await process.wait()
                await ears
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
