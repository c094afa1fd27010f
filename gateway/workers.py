"""Several worker processes behind one listening socket: forked, watched, stopped together.

Everything that must be right between them is in the database and in Redis; the workers know nothing of
each other. They are forked before any thread or event loop exists.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from config.errors import EngineDown, ImvError
from config.limits import SHUTDOWN_S
from config.log import get_log
from gateway.engines.leash import leash

_READY_S: Final = 30.0
_STOP_S: Final = SHUTDOWN_S + 10.0
"""Above what an orderly stop takes: requests are given SHUTDOWN_S, then what was taken is finished.

Below the 30 s after which `deploy/compose.yaml` has everything killed, so that the log tells of it.
"""
_AGAIN_S: Final = 1.0
_LOOK_S: Final = 0.1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_log = get_log("workers")
Mask = set[int | signal.Signals]
Work = Callable[[Callable[[], None]], None]
"""What a worker does until it is told to stop; it calls its argument once when it serves."""


class Workers:
    """The processes of one `imv serve --workers N`."""

    def __init__(
        self, count: int, work: Work, *, ready_s: float = _READY_S, stop_s: float = _STOP_S
    ) -> None:
        """Take how many there shall be, what each does, and how long a start and the stop may take."""
        self._count = count
        self._work = work
        self._ready_s = ready_s
        self._stop_s = stop_s
        self._pids: set[int] = set()
        self._told: set[int] = set()
        self._stopping = False

    def run(self, ready: Callable[[], None]) -> None:
        """Fork all, say when the last one serves, and replace any that ends, until we are told to stop.

        Raises:
            EngineDown: a worker did not come up; the log says why.
        """
        for number in _SIGNALS:
            signal.signal(number, self._stop)
        try:
            for _ in range(self._count):
                if not self._start():
                    raise EngineDown("a worker did not come up; its log lines say why")
                if self._stopping:
                    return
            ready()
            self._watch()
        finally:
            self._end()

    def _start(self) -> bool:
        """Fork one worker, wait until it serves and return whether it does, or must not any more.

        One that hangs is killed.
        """
        told, tell = os.pipe()
        parent = os.getpid()  # asked before: an orphan would take its new parent for the right one
        with _signals_waiting() as before:
            pid = os.fork()
            if pid == 0:
                os.close(told)
                _become_worker(self._work, tell, parent, before)
            self._pids.add(pid)
        os.close(tell)
        serves = self._wait_for(told)
        os.close(told)
        if serves is None:
            self._kill([pid])
        return bool(serves) or self._stopping

    def _wait_for(self, told: int) -> bool | None:
        """Return whether a new worker serves or has ended; None when it does neither in time."""
        deadline = time.monotonic() + self._ready_s
        while not self._stopping and time.monotonic() < deadline:
            readable, _, _ = select.select([told], [], [], _LOOK_S)
            if readable:
                return bool(os.read(told, 1))
        return False if self._stopping else None

    def _watch(self) -> None:
        """Replace whoever ends, for as long as it takes.

        The others go on: what keeps a new one from starting, as an engine that is away, need not
        keep them from answering.
        """
        while not self._stopping:
            if not self._collect():
                time.sleep(_LOOK_S)
                continue
            time.sleep(_AGAIN_S)
            if not self._stopping:
                self._start()

    def _collect(self) -> bool:
        """Take one that has ended off the list and log it; False when none has."""
        with _signals_waiting():  # a stop must not tell one whose id is free again
            pid, status = os.waitpid(-1, os.WNOHANG)
            self._pids.discard(pid)
        if pid and not self._stopping:
            _log.error("worker.ended", pid=pid, status=os.waitstatus_to_exitcode(status))
        return pid != 0

    def _kill(self, pids: Collection[int]) -> None:
        for pid in pids:
            _log.error("worker.killed", pid=pid)
            os.kill(pid, signal.SIGKILL)

    def _stop(self, _number: int, _frame: object) -> None:
        """Tell each worker once: a second signal would end it in the middle of its work."""
        self._stopping = True
        with _signals_waiting():
            for pid in self._pids - self._told:
                self._told.add(pid)
                os.kill(pid, signal.SIGTERM)

    def _end(self) -> None:
        """Tell whoever has not been told, wait for all, and kill those that are late."""
        self._stop(signal.SIGTERM, None)
        deadline = time.monotonic() + self._stop_s
        while self._pids and time.monotonic() < deadline:
            if not self._collect():
                time.sleep(_LOOK_S)
        self._kill(self._pids)
        for pid in self._pids:
            os.waitpid(pid, 0)
        self._pids.clear()


@contextmanager
def _signals_waiting() -> Iterator[Mask]:
    """Have the signals that stop us wait meanwhile; gives the mask from before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become_worker(work: Work, tell: int, parent: int, mask: Mask) -> None:
    """Work in this new process and never come back from it.

    It begins with the parent's handler, which would tell the other workers to stop, and nothing to us:
    no signal gets through before that is gone.
    """
    status = 1
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if sys.platform == "linux":
            leash(parent)
        work(lambda: _say(tell))
        status = 0
    except ImvError as error:
        _log.error("worker.failed", pid=os.getpid(), reason=error.detail)
    except BaseException:  # noqa: BLE001 - nothing may unwind into the parent's stack
        _log.exception("worker.failed", pid=os.getpid())
    finally:
        os._exit(status)


def _say(tell: int) -> None:
    os.write(tell, b"1")
    os.close(tell)
