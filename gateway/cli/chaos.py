"""`imv chaos`: the crash points, and the crash and chaos runs of a checkout."""

import click

from config import crash
from gateway.cli.checkout import run_module

_THROUGH = {"ignore_unknown_options": True, "help_option_names": []}
_NEEDS = ("asyncpg", "nats", "psutil", "pytest")


@click.group("chaos")
def chaos() -> None:
    """Kill, cut and stop real processes, and check that nothing was lost or doubled."""


@chaos.command("points")
def points() -> None:
    """List where `IMV_CRASH_AT=<point>[:N]` kills the process at its Nth pass."""
    width = max(map(len, crash.POINTS))
    for point, meaning in crash.POINTS.items():
        click.echo(f"{point:<{width}}  {meaning}")


@chaos.command("crash", context_settings=_THROUGH)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def crash_command(arguments: tuple[str, ...]) -> None:
    """Kill a real gateway or relay at every point and check every invariant."""
    run_module("chaos", ("crash", *arguments), needs=_NEEDS)


@chaos.command("judge", context_settings=_THROUGH)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def judge(arguments: tuple[str, ...]) -> None:
    """Judge a kept run again."""
    run_module("chaos", ("judge", *arguments), needs=_NEEDS)


@chaos.command("run", context_settings=_THROUGH)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> None:
    """Let real processes suffer random faults under traffic and check every invariant."""
    run_module("chaos", ("run", *arguments), needs=_NEEDS)
