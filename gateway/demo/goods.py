"""The demo's packaged files: its network, its catalog and its stock."""

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent


def packaged(name: str) -> str:
    """Return the text of a file that is packaged beside this module."""
    return (_FOLDER / name).read_text(encoding="utf-8")
