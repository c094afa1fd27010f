"""`python -m tests.bench [NAME]… [--quick] [--json FILE] [--rounds N] [--seconds S]`."""

import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from tests.bench import machine
from tests.bench.plan import BOTH, DatabaseKind, Plan
from tests.bench.report import Finding, Report, show, write
from tests.bench.targets import (
    ack,
    crowd,
    fanout,
    growth,
    hotsku,
    idle,
    ingest,
    overload,
    relay,
    routing,
    stream,
    workers,
)

Benchmark = Callable[[Plan], list[Finding]]
BENCHMARKS: Final[dict[str, Benchmark]] = {
    "ingest": ingest.run,
    "ack": ack.run,
    "relay": relay.run,
    "stream": stream.run,
    "fanout": fanout.run,
    "routing": routing.run,
    "hotsku": hotsku.run,
    "growth": growth.run,
    "idle": idle.run,
    "overload": overload.run,
    "workers": workers.run,
    "crowd": crowd.run,
}


def measure(names: Sequence[str], plan: Plan, tell: Callable[[str], None]) -> Report:
    """Run benchmarks one after another; one that fails does not stop the others."""
    facts = machine.facts(plan.postgres)
    findings: list[Finding] = []
    failures: list[str] = []
    for name in names:
        tell(f"{name} …")
        try:
            findings += BENCHMARKS[name](plan)
        except Exception as error:  # noqa: BLE001 - told, and the others go on
            failures.append(f"{name}: {type(error).__name__}: {error}")
    return Report(
        quick=plan.quick,
        rounds=plan.rounds,
        seconds=plan.seconds,
        machine=facts,
        findings=findings,
        failures=failures,
    )


@click.command("bench")
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(BENCHMARKS)))
@click.option("--quick", is_flag=True, help="Small sizes, no thresholds: proves the benchmark.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write JSON to a file.")
@click.option("--rounds", type=click.IntRange(1, 99), help="Rounds of each side (5).")
@click.option("--seconds", type=click.FloatRange(0.2, 120), help="Length of one side's turn (5).")
@click.option("--stored", type=click.IntRange(100), help="Orders in growth's larger database.")
@click.option("--postgres", default="", help="A PostgreSQL server's URL; else one is started.")
@click.option("--database", type=click.Choice(BOTH), help="Only this database.")
def bench(  # noqa: PLR0913 - the command's options
    *,
    names: tuple[str, ...],
    quick: bool,
    json_file: Path | None,
    rounds: int | None,
    seconds: float | None,
    stored: int | None,
    postgres: str,
    database: DatabaseKind | None,
) -> None:
    """Measure both sides of every target and print figures, ratios and verdicts."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    with _scratch() as folder:
        plan = Plan(
            folder=folder,
            quick=quick,
            rounds=rounds or (1 if quick else 5),
            seconds=seconds or (0.5 if quick else 5.0),
            postgres=postgres,
            databases=(database,) if database else BOTH,
            stored=stored or (2000 if quick else 1_000_000),
        )
        report = measure(names or tuple(BENCHMARKS), plan, console.print)
    show(report, console)
    if json_file:
        write(report, json_file)
    sys.exit(0 if report.good else 1)


@contextmanager
def _scratch() -> Iterator[Path]:
    """Make a folder for everything that a run writes; it goes with the run."""
    with tempfile.TemporaryDirectory(prefix="imv-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    logging.disable(logging.INFO)
    signal.signal(signal.SIGTERM, _interrupted)
    bench()
