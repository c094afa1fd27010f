"""What strace saw: every call of an instance and its engines that writes, in one order."""

import codecs
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from config.errors import Misconfigured

_CALLS: Final = "write,writev,pwrite64,sendto,sendmsg,fsync,fdatasync,ftruncate"
_DATA_BYTES_MAX: Final = 1 << 20
_BEGUN: Final = re.compile(rb"(\d+) +(\w+)\(\d+<([^>]*)>(.*)")
_RESUMED: Final = re.compile(rb"(\d+) +<\.\.\. (\w+) resumed>.*= (-?\d+)")
_TEXT: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_OFFSET: Final = re.compile(rb", (\d+)(?:\)| <)")
_RESULT: Final = re.compile(rb"\) += (-?\d+)")


class Call(msgspec.Struct, frozen=True):
    """A call on an open file or socket; `offset` is pwrite's place, or ftruncate's length."""

    thread: int
    name: str
    file: str
    data: bytes
    offset: int


class Begins(msgspec.Struct, frozen=True):
    """The kernel has the call; what other calls end later can not have come before it."""

    call: Call


class Ends(msgspec.Struct, frozen=True):
    """The call is done, with this result."""

    call: Call
    result: int


def tracing(trace: Path) -> tuple[str, ...]:
    """Return the command that runs what follows, and all its children, into a trace.

    One tracer for all processes: the order of its lines is the order of events. The traced program
    keeps its parent and its process id (`-D`), and only the named calls are stopped (seccomp).
    """
    program = shutil.which("strace")
    if program is None:
        raise Misconfigured("install strace")
    limit = str(_DATA_BYTES_MAX)
    options = ("-D", "-f", "--seccomp-bpf", "-y", "-qq", "-e", "signal=none", "-s", limit)
    return (program, *options, "-e", f"trace={_CALLS}", "-o", str(trace))


def read_trace(trace: Path) -> Iterator[Begins | Ends]:
    """Yield the beginning and the end of every call in their order."""
    under_way: dict[int, Call] = {}
    with trace.open("rb") as lines:
        for line in lines:
            if begun := _BEGUN.match(line):
                call = _call(begun)
                yield Begins(call)
                if line.rstrip().endswith(b"<unfinished ...>"):
                    under_way[call.thread] = call
                elif result := _RESULT.search(begun[4], begun[4].rfind(b")")):
                    yield Ends(call, int(result[1]))
            elif (resumed := _RESUMED.match(line)) and int(resumed[1]) in under_way:
                yield Ends(under_way.pop(int(resumed[1])), int(resumed[3]))


def _call(begun: re.Match[bytes]) -> Call:
    rest = begun[4]
    data = b"".join(codecs.escape_decode(text)[0] for text in _TEXT.findall(rest))
    offsets = _OFFSET.findall(rest, rest.rfind(b'"') + 1)
    return Call(
        thread=int(begun[1]),
        name=begun[2].decode(),
        file=begun[3].decode(errors="replace"),
        data=data,
        offset=int(offsets[-1]) if offsets else 0,
    )
