"""What a benchmark found, as a table for people and as JSON for programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One measure against its target; `met` is None where there is none, or in a quick run."""

    benchmark: str
    target: str
    measure: str
    figure: float
    unit: str
    other: str = ""
    other_figure: float | None = None
    ratio: float | None = None
    wanted: str = ""
    met: bool | None = None
    notes: tuple[str, ...] = ()
    rounds: dict[str, list[float]] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run; `failures` are benchmarks that did not find what they wrote."""

    quick: bool
    rounds: int
    seconds: float
    machine: dict[str, Any]
    findings: list[Finding]
    failures: list[str]

    @property
    def good(self) -> bool:
        """Whether everything was right and no target was missed."""
        return not self.failures and all(one.met is not False for one in self.findings)


def judged(finding: Finding, *, met: bool, quick: bool) -> Finding:
    """Return the finding with its verdict; a quick run has none."""
    return msgspec.structs.replace(finding, met=None if quick else met)


def write(report: Report, path: Path) -> None:
    """Write the report as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def show(report: Report, console: Console) -> None:
    """Print the table, then its notes, then what failed."""
    console.print(_table(report.findings))
    for finding in report.findings:
        for note in finding.notes:
            console.print(f"{finding.target} {finding.measure}: {note}")
    for failure in report.failures:
        console.print(f"FAILED {failure}")
    console.print(_circumstances(report))
    console.print(_versions(report))


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("target", "measure", "figure", "beside", "ratio", "wanted", "met"):
        right = name in {"figure", "ratio"}
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for one in findings:
        table.add_row(*_cells(one))
    return table


def _cells(one: Finding) -> tuple[str, ...]:
    beside = f"{_number(one.other_figure)} {one.other}" if one.other_figure is not None else ""
    ratio = f"{one.ratio:.2f}" if one.ratio is not None else ""
    met = {None: "-", True: "yes", False: "NO"}[one.met]
    figure = f"{_number(one.figure)} {one.unit}"
    return one.target, one.measure, figure, beside, ratio, one.wanted, met


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _circumstances(report: Report) -> str:
    machine = report.machine
    load = ", ".join(f"{part:.1f}" for part in machine["load_average"])
    return (
        f"{machine['cores']} cores, {machine['processor']}, Python {machine['python']}; load average "
        f"before: {load}; {report.rounds} rounds of {report.seconds:g} s, median; the load generator "
        "shares the machine with both sides"
    )


def _versions(report: Report) -> str:
    found: dict[str, str] = report.machine["versions"]
    return "versions: " + ", ".join(f"{name} {version}" for name, version in found.items())
