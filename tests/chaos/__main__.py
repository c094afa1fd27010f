"""`python -m tests.chaos crash|run`: what `imv chaos` runs from a checkout."""

import asyncio
import logging
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import click
import structlog

from config import crash
from tests import engines
from tests.chaos.crashing import SEED, Result, crash_at
from tests.chaos.house import BOTH, DatabaseKind, Template, template
from tests.chaos.roles import Warm, warm
from tests.chaos.storm import FAULTS_PER_S, LETTERS_PER_S, Outcome, Storm, draw, rage
from tests.engines import PostgresServer


@click.group()
def chaos() -> None:
    """Kill, cut and stop real processes, and check that nothing was lost or doubled."""


@chaos.command("crash")
@click.option("--point", "points", multiple=True, type=click.Choice(list(crash.POINTS)))
@click.option("--database", "kinds", multiple=True, type=click.Choice(BOTH))
@click.option("--seed", default=SEED, help="Draws other letters.")
@click.option("--at-once", default=3, type=click.IntRange(1, 16), help="Houses side by side.")
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
    todo = [(point, kind) for point in points or crash.POINTS for kind in kinds or BOTH]
    results = asyncio.run(crash_all(todo, seed=seed, at_once=at_once, keep=keep, tell=_tell))
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


async def crash_all(
    todo: Sequence[tuple[str, DatabaseKind]],
    *,
    seed: int,
    at_once: int,
    keep: Path | None,
    tell: object,
) -> list[Result]:
    """Run points, several houses side by side; most of their time is waiting."""
    results: list[Result] = []
    room = asyncio.Semaphore(at_once)
    with tempfile.TemporaryDirectory(prefix="imv-chaos-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        async with _templates(folder, {kind for _, kind in todo}) as (parent, templates, _):

            async def one(point: str, kind: DatabaseKind) -> None:
                async with room:
                    place = folder / f"{kind}-{point}"
                    result = await crash_at(point, templates[kind], parent, place, seed=seed)
                    results.append(result)
                    assert callable(tell)
                    tell(result)
                    if not result.good and keep:
                        shutil.copytree(place, keep / place.name, dirs_exist_ok=True)
                    shutil.rmtree(place, ignore_errors=True)

            async with asyncio.TaskGroup() as group:
                for point, kind in todo:
                    group.create_task(one(point, kind))
    return results


@asynccontextmanager
async def _templates(
    folder: Path, kinds: set[DatabaseKind]
) -> AsyncIterator[tuple[Warm, dict[DatabaseKind, Template], PostgresServer | None]]:
    async with AsyncExitStack() as stack:
        parent = await stack.enter_async_context(warm())
        databases, server = None, None
        if "postgres" in kinds:
            server = stack.enter_context(engines.running_postgres())
            databases = engines.Databases(server.url)
        templates = {
            kind: await stack.enter_async_context(
                template(parent, folder / f"template-{kind}", kind, databases)
            )
            for kind in sorted(kinds)
        }
        yield parent, templates, server


@chaos.command("run")
@click.option("--seconds", default=60.0, type=click.FloatRange(5, 86_400), help="How long.")
@click.option("--seed", type=int, help="Repeats a run; without it a new one is drawn and printed.")
@click.option("--database", "kind", default="sqlite", type=click.Choice(BOTH))
@click.option("--letters-per-s", default=LETTERS_PER_S, help="Purchases begun in a second.")
@click.option("--faults-per-s", default=FAULTS_PER_S, help="Faults begun in a second.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep history and evidence here.")
@click.option("--plan", "show_plan", is_flag=True, help="Print every fault and do nothing.")
def run_command(  # noqa: PLR0913 - the options of the command
    *,
    seconds: float,
    seed: int | None,
    kind: DatabaseKind,
    letters_per_s: float,
    faults_per_s: float,
    keep: Path | None,
    show_plan: bool,
) -> None:
    """Let real processes suffer random faults under traffic and check every invariant."""
    seed = secrets.randbelow(10**6) if seed is None else seed
    storm = draw(seed, seconds, kind, letters_per_s=letters_per_s, faults_per_s=faults_per_s)
    click.echo(storm.summary())
    if show_plan:
        click.echo("\n".join(map(str, storm.faults)))
        return
    sys.exit(0 if report(storm, asyncio.run(storm_once(storm, keep))) else 1)


def report(storm: Storm, outcome: Outcome) -> bool:
    """Print what became of a storm; tell whether every invariant holds."""
    click.echo(
        f"{outcome.attempts} attempts, {outcome.answers} answers, {outcome.lost} lost, "
        f"{outcome.orders} orders, {outcome.events} events, {outcome.seconds:.0f} s"
    )
    if not outcome.violations:
        click.echo(f"every invariant holds (seed {storm.seed})")
        return True
    first, *others = outcome.violations
    click.echo(f"VIOLATED with seed {storm.seed}: {first}")
    for violation in others:
        click.echo(f"  also {violation}")
    return False


async def storm_once(storm: Storm, keep: Path | None) -> Outcome:
    """Run one storm on engines of its own; what it wrote is kept when asked for or when it fails."""
    name = tempfile.mkdtemp(prefix="imv-chaos-")
    folder, failed = Path(name), True
    try:
        async with _templates(folder, {storm.kind}) as (parent, templates, postgres):
            place = folder / "house"
            outcome = await rage(storm, templates[storm.kind], parent, place, postgres)
            failed = bool(outcome.violations)
            if keep:
                shutil.copytree(place, keep, dirs_exist_ok=True)
        return outcome
    finally:
        if failed and not keep:
            click.echo(f"history and evidence: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.disable(logging.INFO)
    chaos()
