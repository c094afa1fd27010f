"""`imv doctor`: one line per check, with what to do where something is wrong."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from config import log
from config.clock import SystemClock
from config.errors import ImvError, Misconfigured
from config.settings import Settings, environment
from gateway.cli.checks import database, files, machine, nats, redis
from gateway.cli.checks.finding import Check, Finding, Subject
from gateway.cli.demo_parts import find_whole
from gateway.cli.instance import Instance, instance_options
from gateway.cli.live import find_running
from gateway.cli.output import fail, json_option, people, plain, show_json
from gateway.engines.redis_access import address, kept
from gateway.running import Running
from gateway.urls import Urls

CHECKS: Final[Sequence[Check]] = (
    machine.python,
    machine.libraries,
    machine.engine_programs,
    machine.sqlite,
    machine.file_limit,
    machine.clock,
    files.data_folder,
    files.disk,
    files.file_system,
    files.configuration,
    files.secrets,
    files.network,
    files.sources,
    files.port,
    database.database,
    redis.redis,
    nats.nats,
    redis.gate,
)
_CHECK_S: Final = 15.0
_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command("doctor")
@json_option
@instance_options
def doctor(*, as_json: bool, data: str | None, config: str | None) -> None:
    """Look at everything that the gateway needs.

    One line per check, with what to do where something is wrong; the exit code is 1 if any check
    fails. The instance may run or not; nothing is changed.
    """
    log.configure(level="critical")
    findings = asyncio.run(examine(subject_of(data, config), CHECKS))
    good = all(finding.level != "fail" for finding in findings)
    if as_json:
        show_json({"ok": good, "checks": findings})
    else:
        _show(findings)
    if not good:
        fail()


async def examine(subject: Subject, checks: Sequence[Check]) -> list[Finding]:
    """Run every check, one after the other; none can stop the others."""
    return [finding for check in checks for finding in await _guarded(check, subject)]


def subject_of(data: str | None, config: str | None) -> Subject:
    """Find what is looked at; wrong settings are a finding, and defaults are looked at instead."""
    environ = environment()
    trouble = ""
    try:
        instance = find_whole(data, config)
    except ImvError as error:
        trouble = error.detail
        folder = Path(data or environ.get("IMV_DATA") or "./var")
        instance = Instance(Settings(), folder, Path(config) if config else None)
    running: Running | None = None
    try:
        running = find_running(instance)
    except Misconfigured as error:
        trouble = trouble or error.detail
    return Subject(instance, environ, SystemClock(), _urls(instance, running), running, trouble)


def _urls(instance: Instance, running: Running | None) -> Urls:
    """Return where engines can be asked now; nowhere for embedded ones that do not run."""
    urls = instance.urls()
    if not instance.embedded or running is None:
        return urls
    runtime = ""
    with suppress(OSError):
        runtime = (instance.data / "runtime").read_text().strip()
    access = kept(instance.data / "redis.json")
    redis_url = address(f"{runtime}/redis.sock", access) if runtime else ""
    return Urls(urls.database, urls.redis or redis_url, urls.nats or (running.nats,))


async def _guarded(check: Check, subject: Subject) -> list[Finding]:
    name = getattr(check, "__name__", "check").replace("_", " ")
    try:
        async with asyncio.timeout(_CHECK_S):
            return await check(subject)
    except TimeoutError:
        return [Finding(name, "fail", "no answer in time", "look at the engine that it asks")]
    except ImvError as error:
        return [Finding(name, "fail", error.detail, "mend what is named")]
    except Exception as error:  # noqa: BLE001 - the other checks must still be made
        return [
            Finding(name, "fail", f"could not be checked ({type(error).__name__})", "report it")
        ]


def _show(findings: Sequence[Finding]) -> None:
    console = people()
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        line = Text(f"{finding.level:<4}", style=_STYLES[finding.level])
        line.append(f"  {finding.check:<{width}}  {plain(finding.detail)}", style="default")
        if finding.advice and finding.level != "ok":
            line.append(f" — {plain(finding.advice)}", style="default")
        console.print(line)
