"""The relay as a child: started with its settings, and told of commits as they happen."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.engines.child import Child

PROGRAM = "gateway.relaying"


class RelayChild(Child):
    """A relay in a process of its own; it settles by itself with the engines, so it is ready at once."""

    def __init__(self, settings: msgspec.Struct, *, log: Path) -> None:
        """Take the settings, which hold passwords, so they travel through a pipe."""
        command = (sys.executable, "-P", "-m", PROGRAM)
        super().__init__(command, log=log, ready=lambda: True, stdin=subprocess.PIPE)
        self._settings = msgspec.json.encode(settings) + b"\n"

    @property
    def name(self) -> str:
        """What messages call it."""
        return "relay"

    def wake(self) -> None:
        """Say that events were committed; a relay that is not there finds them by itself."""
        self._write(b"!")

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = super()._spawn()
        assert process.stdin
        os.set_blocking(process.stdin.fileno(), False)
        self._process = process
        self._write(self._settings)
        return process

    def _write(self, news: bytes) -> None:
        """Write unless nobody reads: a full pipe already says that there is something to do."""
        pipe = self._process.stdin if self._process else None
        if pipe and not pipe.closed:
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(pipe.fileno(), news)
