"""One child process: apart from the terminal, tied to our life, with its log in a file."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from config.errors import EngineDown, Misconfigured
from gateway.engines import leash

START_S: Final = 30.0
STOP_S: Final = 10.0
LOG_BYTES_MAX: Final = 4 * 1024 * 1024
_POLL_S: Final = 0.01
_LOG_TAIL_BYTES: Final = 600


class Child:
    """A process in a session of its own, so that Ctrl-C does not reach it; it dies with us.

    `start` may be called again after the process ended; everything else is safe at any time.
    The kernel watches the thread that spawns, so only the main thread, which lives longest, may.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool],
        inherit: Sequence[int] = (),
        stop_signal: signal.Signals = signal.SIGTERM,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        """Take an absolute command, its log file, a quick probe, and descriptors to pass on."""
        self.command = tuple(command)
        self.log = log
        self._ready = ready
        self._inherit = tuple(inherit)
        self._stop_signal = stop_signal
        self._stdin = stdin
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return Path(self.command[0]).name

    @property
    def pid(self) -> int | None:
        """The id of the running process, which is its group's too; None when there is none."""
        return self._process.pid if self._process and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the process runs (or is paused)."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, within_s: float = START_S) -> None:
        """Start the process and return when its probe says ready; nothing if it runs already.

        Raises:
            Misconfigured: it ended by itself; the detail ends with the last lines of its log.
            EngineDown: it was not ready in time; it has been killed.
        """
        if self.alive:
            return
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a child ends with the thread that started it: use the main thread")
        self._process = self._spawn()
        try:
            self._wait_ready(time.monotonic() + within_s)
        except BaseException:
            self.kill()
            raise

    def revive(self) -> None:
        """Spawn the process again if it has ended, without waiting; whoever needs it sees when."""
        if not self.alive:
            self._process = self._spawn()

    def stop(self, *, within_s: float = STOP_S) -> None:
        """Ask the process to end, wait, then kill it; nothing if it has ended."""
        if self._process is None:
            return
        self._signal(self._stop_signal)
        self.resume()  # a paused process would not see the signal
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        self.kill()

    def kill(self) -> None:
        """Kill the process and its group at once, as a power cut would."""
        if self._process is None:
            return
        if self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_S)

    def pause(self) -> None:
        """Freeze the process: it keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self.alive:
            self._process.send_signal(number)

    def _spawn(self) -> subprocess.Popen[bytes]:
        script = (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()))
        with _open_log(self.log) as log:
            return subprocess.Popen(  # noqa: S603 - an absolute command that we wrote
                [*script, *self.command],
                stdin=self._stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self._inherit,
                env={"PATH": os.defpath, "LC_ALL": "C"},  # our environment holds secrets
            )

    def _wait_ready(self, deadline: float) -> None:
        while not self._ready():
            if not self.alive:
                raise Misconfigured(f"{self.name} ended while starting; {self._last_words()}")
            if time.monotonic() > deadline:
                raise EngineDown(f"{self.name} was not ready in time; {self._last_words()}")
            time.sleep(_POLL_S)
        if not self.alive:  # something else answered the probe
            raise Misconfigured(f"{self.name} ended while starting; {self._last_words()}")

    def _last_words(self) -> str:
        tail = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return f"the log {self.log} ends: {tail}"


def _open_log(path: Path) -> BinaryIO:
    """Open the log for appending; a long one becomes `.1`, so that two are kept at most."""
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")
