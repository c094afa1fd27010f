"""The data folder: made private, locked for one instance, with a short private runtime folder."""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from config.errors import Misconfigured

LOCK_S: Final = 2.0
"""How long to wait for the children of a killed instance to end: they hold the lock as well."""
_POLL_S: Final = 0.02
_RUNTIME_PREFIX: Final = "imv-"


class DataFolder:
    """An open data folder: nobody else has it open until `close`.

    Children that inherit `lock` keep it locked for as long as one of them lives. It holds orders, so
    whatever we and children make meanwhile is for its owner alone, also where the folder was open.
    """

    def __init__(self, path: Path, *, wait_s: float = LOCK_S) -> None:
        """Make or check the folder, lock it, and make a runtime folder for sockets.

        Raises:
            Misconfigured: not a folder, not writable, or open in another instance.
        """
        self.path = _made(path)
        self.lock = _locked(self.path / "lock", wait_s)
        try:
            self.runtime = _runtime(self.path / "runtime")
        except BaseException:
            os.close(self.lock)
            raise
        self._mask = os.umask(0o077)
        self._closed = False

    def close(self) -> None:
        """Remove the runtime folder and give up the lock; safe to repeat."""
        if self._closed:
            return
        self._closed = True
        os.umask(self._mask)
        shutil.rmtree(self.runtime, ignore_errors=True)
        (self.path / "runtime").unlink(missing_ok=True)
        os.close(self.lock)

    def __enter__(self) -> Self:
        """Return the open folder."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def write_private(path: Path, text: str) -> None:
    """Write a file that only we may read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)


def _made(path: Path) -> Path:
    """Return the absolute path of a folder that is there and writable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path.resolve()
    except (FileExistsError, NotADirectoryError) as error:
        raise Misconfigured(
            f"data folder {path}: {error.filename} is a file; name a folder"
        ) from error
    except OSError as error:
        raise Misconfigured(
            f"data folder {path}: {error.strerror}; name one that you may write to"
        ) from error


def _locked(file: Path, wait_s: float) -> int:
    """Lock the file and return its descriptor."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Misconfigured(f"lock file {file}: {error.strerror}; remove what is there") from error
    deadline = time.monotonic() + wait_s
    while not _lock(descriptor):
        if time.monotonic() > deadline:
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            os.close(descriptor)
            raise Misconfigured(
                f"data folder {file.parent} is in use by process {holder or 'unknown'}; "
                "stop that one, or name another folder with --data"
            )
        time.sleep(_POLL_S)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runtime(note: Path) -> Path:
    """Make a short private folder and note it; a killed instance's is removed first."""
    with suppress(FileNotFoundError, ValueError):  # ValueError: a damaged note names nothing
        left = Path(note.read_text())
        if left.name.startswith(_RUNTIME_PREFIX) and left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_RUNTIME_PREFIX))  # 0700 by contract
    write_private(note, str(folder))
    return folder
