"""Commands that come with a checkout's tests, not with the installed package."""

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from config.errors import Misconfigured

_ROOT: Final = Path(__file__).parents[2]


def run_module(name: str, arguments: Sequence[str], *, needs: Sequence[str]) -> NoReturn:
    """Run `python -m tests.<name>` of the checkout we stand in, and end as it ends.

    Raises:
        Misconfigured: a package of the extra `dev` is missing, or there is no checkout.
    """
    if missing := [package for package in needs if find_spec(package) is None]:
        raise Misconfigured(f"`imv {name}` needs {', '.join(missing)}: install the extra `dev`")
    for root in (_ROOT, Path.cwd()):
        if (root / "tests" / name / "__main__.py").exists():
            command = [sys.executable, "-m", f"tests.{name}", *arguments]
            raise SystemExit(subprocess.run(command, cwd=root, check=False).returncode)  # noqa: S603 - our own module
    raise Misconfigured(
        f"`imv {name}` comes with the source, not with the installed package: run `./imv {name}` in "
        "a checkout"
    )
