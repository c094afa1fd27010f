"""`imv bench`: runs the benchmarks of a checkout; they come with the tests, not with the package."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click

from config.errors import Misconfigured

_ROOT: Final = Path(__file__).parents[2]
_PACKAGE: Final = "tests.bench"
_NEEDED: Final = ("asyncpg", "nats", "psutil", "pytest")


@click.command("bench", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure every target of the design, both sides in one run."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise Misconfigured(f"the benchmarks need {', '.join(missing)}: install the extra `dev`")
    for root in (_ROOT, Path.cwd()):
        if (root / "tests" / "bench" / "__main__.py").exists():
            command = [sys.executable, "-m", _PACKAGE, *arguments]
            raise SystemExit(subprocess.run(command, cwd=root, check=False).returncode)  # noqa: S603 - our own module
    raise Misconfigured(
        "the benchmarks come with the source, not with the installed package: run `./imv bench` in "
        "a checkout"
    )
