"""Where the engines' programs are: on PATH, or inside the packages that carry them."""

import re
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from config.errors import Misconfigured

_ANSWER_S: Final = 10.0


def packaged(distribution: str, program: str) -> Iterator[str]:
    """Yield the paths at which an installed package carries a program; imports nothing of it."""
    try:
        files = metadata.distribution(distribution).files or []
    except metadata.PackageNotFoundError:
        return
    for file in files:
        path = Path(str(file.locate())).resolve()
        if file.name == program and path.is_file():
            yield str(path)


def version_of(program: str) -> tuple[int, ...]:
    """Ask a program for its version; empty when it does not run or does not say."""
    try:
        done = subprocess.run(  # noqa: S603 - a path that we found ourselves
            [program, "--version"], capture_output=True, text=True, timeout=_ANSWER_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"\bv=?(\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in found.groups()) if found else ()


def check(command: list[str]) -> None:
    """Run a program's own check of its configuration; Misconfigured with what it said."""
    done = subprocess.run(  # noqa: S603 - a path that we found ourselves
        command, capture_output=True, text=True, timeout=_ANSWER_S, check=False
    )
    if done.returncode:
        raise Misconfigured(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip()}")
