"""The disk as a power cut would leave it: only what was synced, judged at each promise."""

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from tests.e2e.strace import Begins, Call, Ends

_DATABASE: Final = ("imv.db", "imv.db-wal")
_APPENDS: Final = "appendonly.aof"
_STREAM: Final = re.compile(r"/streams/IMV/msgs/\d+\.blk$")
_SYNCS: Final = frozenset({"fsync", "fdatasync"})
_HEAD: Final = (b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")
_ANSWER: Final = re.compile(rb'\{"outcome":"\w+","message_id":"([^"]+)"')
_FRAME_HEAD_BYTES: Final = 24
_PUBLISHED: Final = """
SELECT id FROM outbox WHERE NOT EXISTS
(SELECT 1 FROM outbox_pending WHERE outbox_pending.position = outbox.position)"""


class Verdict(msgspec.Struct):
    """How often each promise was given, and each time that it was given too early."""

    answers: int = 0
    reservations: int = 0
    marks: int = 0
    lies: dict[str, list[str]] = msgspec.field(
        default_factory=lambda: {"answer": [], "reservation": [], "mark": []}
    )


class _File:
    """A file's content as programs see it, and as it is on the disk for certain."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.safe = bytearray()
        self._waiting: list[tuple[int, bytes | None]] = []

    @property
    def dirty(self) -> int:
        return len(self._waiting)

    def change(self, call: Call) -> None:
        if call.name == "ftruncate":
            change: tuple[int, bytes | None] = (call.offset, None)
        else:
            place = call.offset if call.name == "pwrite64" else len(self.seen)
            change = (place, call.data)
        _apply(self.seen, *change)
        self._waiting.append(change)

    def sync(self, changes: int) -> None:
        for change in self._waiting[:changes]:
            _apply(self.safe, *change)
        del self._waiting[:changes]


class PowerCut:
    """Follows a trace; at each promise it looks at the disk of that very moment."""

    def __init__(self, folder: Path) -> None:
        self.verdict = Verdict()
        self._folder = folder
        self._files: dict[str, _File] = {}
        self._syncing: dict[int, tuple[_File, int]] = {}
        self._redis: int | None = None
        self._committing: set[int] = set()
        self._promised: dict[str, set[str]] = {}
        self._marked: set[str] = set()

    def judge(self, steps: Iterable[Begins | Ends]) -> Verdict:
        for step in steps:
            match step:
                case Begins(call):
                    self._begins(call)
                case Ends(call, result):
                    self._ends(call, result)
        return self.verdict

    def _begins(self, call: Call) -> None:
        if call.name in _SYNCS:
            if file := self._files.get(call.file):
                self._syncing[call.thread] = (file, file.dirty)
        elif call.file.startswith("socket:"):
            self._speaks(call)

    def _ends(self, call: Call, result: int) -> None:
        if call.name in _SYNCS:
            file, changes = self._syncing.pop(call.thread, (None, 0))
            if file and result == 0:
                file.sync(changes)
        elif result >= 0 and _is_watched(call.file):
            self._files.setdefault(call.file, _File()).change(call)
            if call.file.endswith(_APPENDS):
                self._redis = call.thread
                self.verdict.reservations += b":operations\r\n" in call.data
            if call.file.endswith("-wal"):
                self._writes_log(call)

    def _speaks(self, call: Call) -> None:
        if call.thread == self._redis:
            file = next(f for name, f in self._files.items() if name.endswith(_APPENDS))
            if file.dirty:
                self.verdict.lies["reservation"].append(repr(call.data[:80]))
            return
        if call.data.startswith(_HEAD):
            # The status alone is the promise; which message it is about, the body tells.
            self._promised[call.file] = self._ask("SELECT id FROM inbox", safe=True)
        if found := _ANSWER.search(call.data):
            self.verdict.answers += 1
            if found[1].decode() not in self._promised[call.file]:
                self.verdict.lies["answer"].append(found[1].decode())

    def _writes_log(self, call: Call) -> None:
        """Look at each commit: a frame whose head tells the database's size is its last."""
        if len(call.data) == _FRAME_HEAD_BYTES:
            if any(call.data[4:8]):
                self._committing.add(call.thread)
        elif call.thread in self._committing:
            self._committing.discard(call.thread)
            self._marks()

    def _marks(self) -> None:
        fresh = self._ask(_PUBLISHED, safe=False) - self._marked
        self._marked |= fresh
        self.verdict.marks += len(fresh)
        stored = b"".join(bytes(f.safe) for name, f in self._files.items() if _STREAM.search(name))
        lies = (one for one in sorted(fresh) if f"ce-id: {one}\r\n".encode() not in stored)
        self.verdict.lies["mark"].extend(lies)

    def _ask(self, question: str, *, safe: bool) -> set[str]:
        """Start SQLite on the files as they are now, or as a power cut now would leave them."""
        for path in self._folder.iterdir():
            path.unlink()
        for name, file in self._files.items():
            base = name.rpartition("/")[2]
            if base in _DATABASE:
                (self._folder / base).write_bytes(file.safe if safe else file.seen)
        # Closed here: one that is collected later takes its files along while the next looks at them.
        with closing(sqlite3.connect(self._folder / _DATABASE[0])) as database:
            try:
                return {row[0] for row in database.execute(question)}
            except sqlite3.DatabaseError as error:
                # No table yet; or, after a power cut, a file that SQLite cannot read: nothing is there.
                if safe or "no such table" in str(error):
                    return set()
                raise


def _is_watched(file: str) -> bool:
    base = file.rpartition("/")[2]
    return base in _DATABASE or base == _APPENDS or _STREAM.search(file) is not None


def _apply(content: bytearray, place: int, data: bytes | None) -> None:
    if data is None:
        del content[place:]
        content.extend(bytes(place - len(content)))
        return
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(data)] = data
