"""`python -m tests.chaos crash|run|judge`: what `imv chaos` runs from a checkout."""

import asyncio
import logging
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import click
import msgspec
import structlog

from tests.chaos import checker, history
from tests.chaos.crashing import POINTS, SEED, Result
from tests.chaos.evidence import Evidence
from tests.chaos.house import BOTH, DatabaseKind
from tests.chaos.letters import Letter
from tests.chaos.runs import crash_all, storm_once
from tests.chaos.storm import FAULTS_PER_S, LETTERS_PER_S, Outcome, Storm, draw


@click.group()
def chaos() -> None:
    """Kill, cut and stop real processes, and check that nothing was lost or doubled."""


@chaos.command("crash")
@click.option("--point", "points", multiple=True, type=click.Choice(POINTS))
@click.option("--database", "kinds", multiple=True, type=click.Choice(BOTH))
@click.option("--seed", default=SEED, help="Draws other letters.")
@click.option("--at-once", default=4, type=click.IntRange(1, 16), help="Houses side by side.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep what failed in this folder.")
def crash_command(
    *,
    points: tuple[str, ...],
    kinds: tuple[DatabaseKind, ...],
    seed: int,
    at_once: int,
    keep: Path | None,
) -> None:
    """Kill a real gateway or relay at every point and check every invariant."""
    began = time.monotonic()
    todo = [(point, kind) for point in points or POINTS for kind in kinds or BOTH]
    results = asyncio.run(crash_all(todo, _tell, seed=seed, at_once=at_once, keep=keep))
    failed = [result for result in results if not result.good]
    click.echo(
        f"{len(results) - len(failed)} of {len(results)} crashes left every invariant whole "
        f"({time.monotonic() - began:.0f} s)"
    )
    sys.exit(1 if failed else 0)


def _tell(result: Result) -> None:
    mark = "ok" if result.good else "FAILED"
    click.echo(f"{mark:<6} {result.kind:<8} {result.point:<22} {result.seconds:5.1f} s")
    for violation in result.violations:
        click.echo(f"       {violation}")


@chaos.command("run")
@click.option("--seconds", default=60.0, type=click.FloatRange(5, 86_400), help="How long.")
@click.option("--seed", type=int, help="Repeats a run; without it a new one is drawn and printed.")
@click.option("--database", "kind", default="sqlite", type=click.Choice(BOTH))
@click.option(
    "--workers", default=1, type=click.IntRange(1, 8), help="Gateway processes; PostgreSQL only."
)
@click.option("--letters-per-s", default=LETTERS_PER_S, help="Purchases begun in a second.")
@click.option("--faults-per-s", default=FAULTS_PER_S, help="Faults begun in a second.")
@click.option(
    "--spare-roles", is_flag=True, help="Never end gateway and relay, so that leaks add up."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep history and evidence here.")
@click.option("--plan", "show_plan", is_flag=True, help="Print every fault and do nothing.")
def run_command(  # noqa: PLR0913 - the options of the command
    *,
    seconds: float,
    seed: int | None,
    kind: DatabaseKind,
    workers: int,
    letters_per_s: float,
    faults_per_s: float,
    spare_roles: bool,
    keep: Path | None,
    show_plan: bool,
) -> None:
    """Let real processes suffer random faults under traffic and check every invariant."""
    seed = secrets.randbelow(10**6) if seed is None else seed
    if workers > 1 and kind == "sqlite":
        raise click.UsageError("SQLite has one writer: --workers needs --database postgres")
    storm = draw(
        seed,
        seconds,
        kind,
        letters_per_s=letters_per_s,
        faults_per_s=faults_per_s,
        workers=workers,
        spare_roles=spare_roles,
    )
    click.echo(storm.summary())
    if show_plan:
        click.echo("\n".join(map(str, storm.faults)))
        return
    sys.exit(0 if _run(storm, keep) else 1)


@chaos.command("judge")
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
def judge_command(folder: Path) -> None:
    """Judge a kept run again: its history, letters and evidence."""
    letters = msgspec.json.decode((folder / "letters.json").read_bytes(), type=list[Letter])
    evidence = msgspec.json.decode((folder / "evidence.json").read_bytes(), type=Evidence)
    notes = history.read(folder / "history.jsonl")
    violations = checker.judge(checker.Case(letters, notes, evidence))
    for violation in violations:
        click.echo(str(violation))
    click.echo("every invariant holds" if not violations else "VIOLATED")
    sys.exit(1 if violations else 0)


def _run(storm: Storm, keep: Path | None) -> bool:
    """Run a storm; what it wrote is kept when that is asked for, or when it fails."""
    folder, good = Path(tempfile.mkdtemp(prefix="imv-chaos-")), False
    try:
        good = _report(storm, asyncio.run(storm_once(storm, folder)))
    finally:
        if keep and (folder / "house").exists():
            shutil.copytree(folder / "house", keep, dirs_exist_ok=True)
        if good or keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            click.echo(f"history and evidence: {folder / 'house'}")
    return good


def _report(storm: Storm, outcome: Outcome) -> bool:
    """Print what became of a storm; tell whether every invariant holds."""
    click.echo(
        f"{outcome.attempts} attempts, {outcome.answers} answers, {outcome.lost} lost, "
        f"{outcome.orders} orders, {outcome.events} events, {outcome.seconds:.0f} s"
    )
    click.echo(outcome.held)
    if not outcome.violations:
        click.echo(f"every invariant holds (seed {storm.seed})")
        return True
    first, *others = outcome.violations
    click.echo(f"VIOLATED with seed {storm.seed}: {first}")
    for violation in others:
        click.echo(f"  also {violation}")
    return False


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, _interrupted)
    chaos()
