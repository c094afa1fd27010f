"""Finds the folder of platform payloads: `IMV_PAYLOADS`, or `../shared/payloads` beside us."""

from pathlib import Path

import pytest

from config.settings import environment

_BESIDE = Path(__file__).parents[2] / "shared" / "payloads"


def payload_folder() -> Path:
    """Return the folder; without it a test skips, and fails where CI would else pass blindly."""
    environ = environment()
    folder = Path(environ.get("IMV_PAYLOADS", _BESIDE))
    if folder.is_dir():
        return folder
    reason = "no payload folder; set IMV_PAYLOADS to it"
    if environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def own_payload(name: str) -> bytes:
    """Return one of the small payloads of our own, written from the documented shapes."""
    return (Path(__file__).parent / "payloads" / name).read_bytes()
