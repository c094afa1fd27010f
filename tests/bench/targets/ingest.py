"""P1 and P2: durable ingest beside the bare handler and beside the conventional one."""

from contextlib import ExitStack
from pathlib import Path

from tests.bench.books import Books, check_conventional, check_gateway
from tests.bench.letters import Deck
from tests.bench.load import Result, Run
from tests.bench.loading import Load
from tests.bench.plan import DatabaseKind, Plan
from tests.bench.report import Finding, judged
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.servers import bare, conventional, fresh, gateway, places

OF_BARE, OF_CONVENTIONAL = 0.5, 12.0
_FASTEST, _SLOWEST = 6000, 1500
"""Orders/s for which letters are made; a side that needs more fails and says so."""


def run(plan: Plan) -> list[Finding]:
    """Measure each database in turn."""
    return [finding for kind in plan.databases for finding in _measure(plan, kind)]


def _measure(plan: Plan, kind: DatabaseKind) -> list[Finding]:
    folder = plan.folder / f"ingest-{kind}"
    folder.mkdir()
    with ExitStack() as stack:
        databases = stack.enter_context(places(plan, kind))
        ours_at = fresh(databases, folder / "ours.db")
        other_at = fresh(databases, folder / "other.db")
        up = stack.enter_context(gateway(folder, ours_at))
        bare_port = stack.enter_context(bare(folder))
        other_port = stack.enter_context(conventional(folder, other_at))
        ours = stack.enter_context(_load(plan, folder, _FASTEST))
        other = stack.enter_context(_load(plan, folder, _SLOWEST))
        drains: list[tuple[int, float]] = []
        results: list[Result] = []

        def one(seconds: float) -> float:
            results.append(ours.run(_run(plan, up.port, seconds)))
            drains.append(up.books.drain())
            return results[-1].rate

        sides = {
            "gateway": lambda: one(plan.seconds),
            "bare": lambda: ours.replay(_run(plan, bare_port, plan.seconds)).rate,
            "conventional": lambda: other.run(_run(plan, other_port, plan.seconds)).rate,
        }
        one(plan.warm_s)
        ours.replay(_run(plan, bare_port, plan.warm_s))
        other.run(_run(plan, other_port, plan.warm_s))
        figures = alternate(sides, plan.rounds)
        check_gateway(up.books, ours, up.nats)
        check_conventional(Books(other_at), other)
    notes = _notes(drains, results)
    return [
        _finding(plan, "P1", kind, figures, against="bare", notes=notes),
        _finding(plan, "P2", kind, figures, against="conventional"),
    ]


def _load(plan: Plan, folder: Path, rate: int) -> Load:
    seconds = plan.warm_s + plan.rounds * plan.seconds
    return Load(folder, Deck(first=5_000_000_000_000, count=int(rate * seconds)))


def _run(plan: Plan, port: int, seconds: float) -> Run:
    return Run(port=port, start=0, seconds=seconds, connections=plan.size(64, 32))


def _notes(drains: list[tuple[int, float]], results: list[Result]) -> tuple[str, ...]:
    backlog = middle([float(count) for count, _ in drains[1:] or drains])
    seconds = middle([took for _, took in drains[1:] or drains])
    latency = middle([one.ms["p99"] for one in results[1:] or results])
    drained = (
        f"the relay's backlog after a round was {backlog:,.0f} events, gone in {seconds:.1f} s"
    )
    return (f"{drained}; p99 of the answers {latency:.0f} ms",)


def _finding(
    plan: Plan,
    target: str,
    kind: str,
    figures: dict[str, list[float]],
    *,
    against: str,
    notes: tuple[str, ...] = (),
) -> Finding:
    found = ratio(figures["gateway"], figures[against])
    wanted = OF_BARE if against == "bare" else OF_CONVENTIONAL
    finding = Finding(
        benchmark="ingest",
        target=target,
        measure=f"durable ingest, {kind}",
        figure=middle(figures["gateway"]),
        unit="orders/s",
        other=f"{against} handler",
        other_figure=middle(figures[against]),
        ratio=found,
        wanted=f">= {wanted:g}",
        notes=notes,
        rounds=figures,
    )
    return judged(finding, met=found >= wanted, quick=plan.quick)
