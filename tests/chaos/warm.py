"""A warm process: it has imported the program once and forks a role of it whenever it is told.

Reads lines of JSON: `{"arguments": […], "environ": {…}, "out": PATH, "log": PATH}`; answers each with
`{"pid": N}`, and tells of every end with `{"pid": N, "status": N}` (negative: the signal). Importing
takes longer than everything else that a role does when it starts.
"""

import os
import select
import signal
import sys
from contextlib import suppress
from typing import NoReturn

import msgspec

from gateway.__main__ import main
from gateway.engines.leash import leash


class Order(msgspec.Struct, frozen=True):
    """One role to start."""

    arguments: list[str]
    environ: dict[str, str]
    out: str
    log: str


def _become(order: Order, parent: int) -> NoReturn:
    status = 1
    try:
        os.setsid()
        leash(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _redirect(order)
        os.environ.update(order.environ)  # noqa: TID251 - what a shell would have done
        sys.argv = ["imv", *order.arguments]
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _redirect(order: Order) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, path in ((1, order.out), (2, order.log)):
        descriptor = os.open(path, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)


def _say(told: dict[str, int]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


def _tell_of_ends() -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _say({"pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _serve() -> None:
    """Fork what is asked for until our parent is gone."""
    heard, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    me, waiting = os.getpid(), b""
    while True:
        readable, _, _ = select.select([0, heard], [], [])
        if heard in readable:
            os.read(heard, 1024)
            _tell_of_ends()
        if 0 not in readable:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, waiting = (waiting + chunk).split(b"\n")
        for line in lines:
            order = msgspec.json.decode(line, type=Order)
            pid = os.fork()
            if pid == 0:
                _become(order, me)
            _say({"pid": pid})


if __name__ == "__main__":
    _serve()
