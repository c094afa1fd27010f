"""A running instance's note, `run.json`: where it is, and a credential for this machine's commands."""

from pathlib import Path

import msgspec

from config.errors import Misconfigured
from gateway.engines.folder import write_private

FILE = "run.json"


class Running(msgspec.Struct, frozen=True):
    """What commands need to talk to a running instance."""

    http: str
    nats: str
    token: str
    pid: int


def write_running(folder: Path, running: Running) -> None:
    """Leave the note, readable only for its owner."""
    write_private(folder / FILE, msgspec.json.encode(running).decode())


def read_running(folder: Path) -> Running | None:
    """Return the note of the instance on a data folder, None when none runs there."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Running)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"{path} cannot be read; remove it if nothing runs there") from error


def remove_running(folder: Path) -> None:
    """Take the note away; twice is harmless."""
    (folder / FILE).unlink(missing_ok=True)
