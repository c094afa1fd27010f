"""What the tidy tests read: our files, and the Python ones parsed."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "handlers", "routing", "store", "outbox", "config", "tests")
_NOT_OURS = {".git", ".venv", "var", "build", "dist", "node_modules"}


@cache
def python_files() -> dict[str, ast.Module]:
    """Return every module of ours by its path from the root, parsed."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_bytes()) for path in paths}


def text_files() -> Iterator[tuple[str, str]]:
    """Yield the path and content of every text file that belongs to the project."""
    for path in _files():
        try:
            yield str(path.relative_to(ROOT)), path.read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # an image, or a file that was just removed


def _files() -> list[Path]:
    """Return what git tracks; without git, everything that is not generated."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z"],  # noqa: S607 - the developer's own
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return [path for path in ROOT.rglob("*") if path.is_file() and not _is_generated(path)]
    return [ROOT / name for name in done.stdout.split("\0") if name]


def _is_generated(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return bool(_NOT_OURS & set(parts)) or any(
        part.endswith(("_cache", "cache__")) for part in parts
    )
