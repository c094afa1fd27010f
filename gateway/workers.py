"""Several worker processes behind one listening socket: forked, watched, stopped together.

Everything that must be right between them is in the database and in Redis; the workers know nothing of
each other. They are forked before any thread or event loop exists.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

from config.errors import EngineDown, ImvError
from config.log import get_log
from gateway.engines.leash import leash

_READY_S: Final = 30.0
_AGAIN_S: Final = 1.0
_log = get_log("workers")
Work = Callable[[Callable[[], None]], None]
"""What a worker does until it is told to stop; it calls its argument once when it serves."""


class Workers:
    """The processes of one `imv serve --workers N`."""

    def __init__(self, count: int, work: Work) -> None:
        """Take how many there shall be and what each does."""
        self._count = count
        self._work = work
        self._pids: set[int] = set()
        self._told: set[int] = set()
        self._stopping = False

    def run(self, ready: Callable[[], None]) -> None:
        """Fork all, say when the last one serves, and replace any that ends, until we are told to stop.

        Raises:
            EngineDown: a worker did not come up; the log says why.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        try:
            for _ in range(self._count):
                if not self._start():
                    raise EngineDown("a worker did not come up; its log lines say why")
            ready()
            self._watch()
        finally:
            self._end()

    def _start(self) -> bool:
        """Fork one worker, wait until it serves and return whether it does, or must not any more."""
        told, tell = os.pipe()
        parent = os.getpid()  # asked before: an orphan would take its new parent for the right one
        pid = os.fork()
        if pid == 0:
            os.close(told)
            _become_worker(self._work, tell, parent)
        os.close(tell)
        self._pids.add(pid)
        readable, _, _ = select.select([told], [], [], _READY_S)
        serves = bool(readable and os.read(told, 1))
        os.close(told)
        return serves or self._stopping

    def _watch(self) -> None:
        while not self._stopping:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                time.sleep(_AGAIN_S / 5)
            elif pid in self._pids:
                self._pids.discard(pid)
                _log.error("worker.ended", pid=pid, status=os.waitstatus_to_exitcode(status))
                time.sleep(_AGAIN_S)
                if not self._stopping:
                    self._replace()

    def _replace(self) -> None:
        """Start another worker; one that hangs is killed, and the watch comes here again.

        The others go on: what keeps a new one from starting, as an engine that is away, need not
        keep them from answering.
        """
        before = set(self._pids)
        if not self._start():
            for pid in self._pids - before:
                os.kill(pid, signal.SIGKILL)

    def _stop(self, _number: int, _frame: object) -> None:
        """Tell each worker once: a second signal would end it in the middle of its work."""
        self._stopping = True
        for pid in self._pids - self._told:
            self._told.add(pid)
            os.kill(pid, signal.SIGTERM)

    def _end(self) -> None:
        """Wait for all, and tell whoever has not been told."""
        self._stop(signal.SIGTERM, None)
        for pid in self._pids:
            os.waitpid(pid, 0)
        self._pids.clear()


def _become_worker(work: Work, tell: int, parent: int) -> None:
    """Work in this new process and never come back from it."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
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
