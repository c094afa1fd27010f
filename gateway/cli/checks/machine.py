"""Checks of the machine: versions of everything, file limit, clock."""

import re
import resource
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Final

from config.errors import Misconfigured
from gateway.cli.checks.finding import Finding, Subject, fail, judged, ok, warn
from gateway.engines.nats import find_nats
from gateway.engines.redis import find_redis

_DISTRIBUTION: Final = "imv-edge-gateway"
_ROOT: Final = Path(__file__).parents[3]
_PYTHON_MIN, _PYTHON_END = (3, 11), (3, 13)
_REDIS_GOOD: Final = (7, 2)
_SQLITE_GOOD: Final = (3, 51, 3)
_FILES_GOOD: Final = 4096
_SKEW: Final = timedelta(minutes=5)


async def python(_subject: Subject) -> list[Finding]:
    """Look at the interpreter."""
    version = sys.version_info[:3]
    advice = "install Python 3.11 or 3.12 and remove .venv"
    text = ".".join(map(str, version))
    wrong = "" if _PYTHON_MIN <= version[:2] < _PYTHON_END else f"{text} is not supported"
    return [judged("python", wrong, text, advice)]


async def libraries(_subject: Subject) -> list[Finding]:
    """Compare the installed libraries with the pinned versions, or with what the package asks."""
    pins = _pinned()
    wrong = [f"{name} {there or 'missing'}, not {want}" for name, want, there in _different(pins)]
    detail = f"{len(pins)} libraries as {'pinned' if _pins_file().is_file() else 'required'}"
    advice = "install again: ./imv does it, or pip install --require-hashes -r requirements.txt"
    return [judged("libraries", "; ".join(wrong)[:500], detail, advice)]


async def engine_programs(subject: Subject) -> list[Finding]:
    """Look for the programs of embedded engines."""
    engines, found = subject.instance.settings.engines, []
    advice = "install Redis or Valkey 7.2 or later; until then it is reachable by nobody else"
    if not engines.redis:
        found.append(_program("redis program", find_redis, _REDIS_GOOD, advice))
    if not engines.nats:
        found.append(_program("nats program", find_nats, (), ""))
    return found


async def sqlite(subject: Subject) -> list[Finding]:
    """Look at SQLite: older versions can damage a WAL file when a writer and a checkpoint race."""
    if not subject.urls.database.startswith("sqlite"):
        return []
    if sqlite3.sqlite_version_info >= _SQLITE_GOOD:
        return [ok("sqlite", sqlite3.sqlite_version)]
    return [
        warn(
            "sqlite",
            f"{sqlite3.sqlite_version} is before 3.51.3, whose WAL reset can lose a commit when "
            "two connections write and checkpoint at once",
            "nothing must be done: only the gateway's writer checkpoints here; open the file with "
            "no other program that writes, and prefer a newer SQLite",
        )
    ]


async def file_limit(_subject: Subject) -> list[Finding]:
    """Look at how many files and sockets one process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= soft < _FILES_GOOD
    text = "unlimited" if soft < 0 else str(soft)
    advice = f"raise it: ulimit -n {_FILES_GOOD}, or LimitNOFILE in the service's unit"
    wrong = f"{text} open files; every client and screen takes one" if few else ""
    return [judged("file limit", wrong, f"{text} open files", advice, level="warn")]


async def clock(subject: Subject) -> list[Finding]:
    """Compare the clock with the program's own files, which cannot be from the future."""
    now = subject.clock.now()
    built = _built()
    wrong = f"{now:%Y-%m-%d %H:%M} UTC is before this program was installed"
    advice = "set the clock, and keep it right with NTP: signed times are checked against it"
    return [
        judged(
            "clock", wrong if now < built - _SKEW else "", f"{now:%Y-%m-%d %H:%M:%S} UTC", advice
        )
    ]


def _built() -> datetime:
    return datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)


def _program(
    check: str, find: Callable[[], tuple[str, tuple[int, ...]]], good: tuple[int, ...], advice: str
) -> Finding:
    try:
        path, version = find()
    except Misconfigured as error:
        return fail(check, "not found", error.detail)
    text = f"{'.'.join(map(str, version))} at {path}"
    return warn(check, text, advice) if version < good else ok(check, text)


def _pins_file() -> Path:
    return _ROOT / "requirements.txt"


def _pinned() -> dict[str, str]:
    """Return `==version` by library in a checkout, else what the installed package requires."""
    if _pins_file().is_file():
        found = re.findall(r"^([\w.-]+)==(\S+)(.*)$", _pins_file().read_text(), re.MULTILINE)
        return {name: f"=={version}" for name, version, rest in found if ";" not in rest}
    try:
        lines = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    found = [
        re.match(r"([\w.-]+)\s*(?:\[.*?\])?\s*(\S*)", line) for line in lines if ";" not in line
    ]
    return {one[1]: one[2] for one in found if one}


def _different(pins: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, want in pins.items():
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            there = ""
        if not there or not _fits(there, want):
            yield name, want, there


def _fits(version: str, wanted: str) -> bool:
    """Tell whether a version is as wanted; `==` exactly, `>=` and `<` by its numbers."""
    for rule in filter(None, wanted.split(",")):
        sign, text = re.match(r"([=<>!~]*)(.*)", rule).groups()  # type: ignore[union-attr]  # matches all
        here, there = _numbers(version), _numbers(text)
        if (sign == "==" and version != text) or (sign == ">=" and here < there):
            return False
        if sign == "<" and here >= there:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])
