"""The history of a run: what was sent, answered, lost and broken, as JSON lines."""

import time
from pathlib import Path
from typing import Any, Literal

import msgspec

What = Literal["begun", "sent", "answered", "lost", "gave_up", "fault", "healed", "quiet", "note"]


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened, so many seconds after the run began."""

    at_s: float
    what: What
    letter: int = -1
    status: int = 0
    body: str = ""
    about: str = ""


class History:
    """Writes notes to a file as they happen."""

    def __init__(self, path: Path) -> None:
        """Begin now."""
        self.path = path
        self.notes: list[Note] = []
        self._began = time.monotonic()
        self._file = path.open("ab", buffering=0)

    def now_s(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self._began

    def add(self, what: What, **fields: Any) -> None:
        """Write one note."""
        note = Note(at_s=round(self.now_s(), 4), what=what, **fields)
        self.notes.append(note)
        self._file.write(msgspec.json.encode(note) + b"\n")

    def close(self) -> None:
        """Close the file; safe to repeat."""
        self._file.close()


def read(path: Path) -> list[Note]:
    """Read the notes of a run that is over."""
    return [msgspec.json.decode(line, type=Note) for line in path.read_bytes().splitlines()]
