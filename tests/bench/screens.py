"""Our side of the process that holds the screens."""

from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.bench.process import Process
from tests.bench.sockets import Seen, Watch

_OPEN_S, _TELL_S = 120.0, 60.0


class Screens:
    """Websockets in a process of their own."""

    def __init__(self, folder: Path, *watches: Watch) -> None:
        """Open them."""
        self._process = Process(folder / "screens.log", "tests.bench.sockets")
        for watch in watches:
            self.open(watch)

    def open(self, watch: Watch) -> None:
        """Open more; returns when every one has its snapshot."""
        self._process.tell(watch)
        self._process.hear(_OPEN_S)

    def clear(self) -> None:
        """Forget what was seen."""
        self._process.tell({"clear": True})
        self._process.hear(_TELL_S)

    def seen(self, frames: int, within_s: float) -> Seen:
        """Wait for so many frames since `clear`, but not longer; return what was seen."""
        self._process.tell({"frames": frames, "within_s": within_s})
        return msgspec.convert(self._process.hear(within_s + _TELL_S), Seen)

    def __enter__(self) -> Self:
        """Return the open screens."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close them."""
        self._process.stop()
