"""Every benchmark in small: that it measures, checks what was written, and reports."""

from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tests.bench.__main__ import BENCHMARKS, measure
from tests.bench.letters import Deck
from tests.bench.load import Run
from tests.bench.loading import Load
from tests.bench.plan import BOTH, Plan
from tests.bench.process import Failed
from tests.bench.report import Finding, Report, show, write
from tests.bench.rounds import alternate, percentile, ratio
from tests.bench.servers import bare
from tests.engines import Databases, needed

_RATIOS = {"ingest", "ack", "relay", "fanout", "hotsku", "growth", "overload", "workers"}


def quick(folder: Path, postgres: str) -> Plan:
    return Plan(
        folder=folder,
        quick=True,
        rounds=1,
        seconds=0.4,
        databases=BOTH,
        postgres=postgres,
        stored=2000,
    )


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_finds_what_it_wrote_and_reports_both_sides(
    name: str, tmp_path: Path, postgres_databases: Databases
) -> None:
    with needed():
        report = measure([name], quick(tmp_path, postgres_databases.url), lambda _line: None)
    assert report.failures == []
    assert report.findings
    for finding in report.findings:
        assert (finding.benchmark, finding.met) == (name, None)
        assert finding.figure > 0
        if name in _RATIOS and "memory" not in finding.measure:
            assert finding.ratio
            assert finding.ratio > 0
            assert finding.other_figure


def test_a_wrong_answer_fails_the_run(tmp_path: Path) -> None:
    with bare(tmp_path) as port, Load(tmp_path, Deck(first=10**12, count=50)) as load:
        # The bare handler gives no order id, which only a load that stores nothing accepts.
        with pytest.raises(Failed, match="wrong answers"):
            load.run(Run(port=port, start=0, seconds=0.2, connections=4))
        assert load.replay(Run(port=port, start=0, seconds=0.2, connections=4)).right > 0


def test_sides_alternate_and_every_other_round_goes_backwards() -> None:
    seen: list[str] = []

    def side(name: str, value: float) -> float:
        seen.append(name)
        return value

    figures = alternate({"a": lambda: side("a", 2.0), "b": lambda: side("b", 4.0)}, 3)
    assert "".join(seen) == "abbaab"
    assert figures == {"a": [2.0] * 3, "b": [4.0] * 3}
    assert ratio(figures["a"], figures["b"]) == 0.5


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, part) for part in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([], 0.99) == 0.0


def test_a_report_is_a_table_for_people_and_json_for_programs(tmp_path: Path) -> None:
    missed = Finding(
        benchmark="ingest",
        target="P1",
        measure="durable ingest",
        figure=3000.0,
        unit="orders/s",
        other="bare handler",
        other_figure=8000.0,
        ratio=0.375,
        wanted=">= 0.5",
        met=False,
    )
    machine = {
        "cores": 2,
        "processor": "any",
        "python": "3",
        "load_average": [0.0, 0.0, 0.0],
        "versions": {"postgresql": "18.4", "nats-server": "2.15.1"},
    }
    report = Report(
        quick=False, rounds=5, seconds=5.0, machine=machine, findings=[missed], failures=[]
    )
    console = Console(width=140, record=True, quiet=False, file=(tmp_path / "out").open("w"))
    show(report, console)
    console.file.close()
    told = console.export_text()
    assert "3,000 orders/s" in told
    assert "versions: postgresql 18.4, nats-server 2.15.1" in told
    assert not report.good
    write(report, tmp_path / "report.json")
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report) == report
