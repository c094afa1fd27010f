"""Ties a process to the life of its parent, then becomes the command: `leash.py PARENT COMMAND…`.

It runs as a script in a fresh interpreter, so that nothing has to run between fork and exec in
the gateway's own process, which has threads. Linux only; elsewhere it just becomes the command.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def leash(parent: int) -> None:
    """Have the kernel kill this process when the parent's spawning thread ends.

    The parent may have ended before the kernel was told; its id is compared afterwards.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    if sys.platform == "linux":
        leash(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - a list of arguments that we wrote
