"""A finding, and the subject that the checks look at."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec

from config.clock import Clock
from gateway.cli.instance import Instance
from gateway.running import Running
from gateway.urls import Urls

Level = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """What one check found; `advice` says what to do unless all is well."""

    check: str
    level: Level
    detail: str
    advice: str = ""


class Subject(msgspec.Struct, frozen=True):
    """The instance that is looked at; `trouble` says why its settings could not be read.

    `urls` are of engines that can be asked now: an embedded one's only while it runs.
    """

    instance: Instance
    environ: Mapping[str, str]
    clock: Clock
    urls: Urls
    running: Running | None = None
    trouble: str = ""


Check = Callable[[Subject], Awaitable[list[Finding]]]


def ok(check: str, detail: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", detail)


def warn(check: str, detail: str, advice: str) -> Finding:
    """It works, but not as well as it should."""
    return Finding(check, "warn", detail, advice)


def fail(check: str, detail: str, advice: str) -> Finding:
    """It does not work, or something could be lost."""
    return Finding(check, "fail", detail, advice)


def judged(check: str, wrong: str, right: str, advice: str, *, level: Level = "fail") -> Finding:
    """Return a finding of this level when something is wrong, else that it is right."""
    return Finding(check, level, wrong, advice) if wrong else ok(check, right)
