"""P1 and P2: durable ingest beside the bare handler and the conventional one, and on many places."""

from contextlib import ExitStack
from pathlib import Path

from tests.bench.books import Books, check_conventional, check_gateway
from tests.bench.letters import Deck
from tests.bench.load import Result, Run
from tests.bench.loading import Load
from tests.bench.plan import DatabaseKind, Plan
from tests.bench.report import Finding, judged
from tests.bench.rounds import Figures, alternate, middle, ratio
from tests.bench.servers import bare, conventional, fresh, gateway, places
from tests.engines import Databases

OF_BARE, OF_CONVENTIONAL = 0.5, 12.0
_FASTEST, _SLOWEST = 6000, 1500
"""Orders/s for which letters are made; a side that needs more fails and says so."""


def run(plan: Plan) -> list[Finding]:
    """Measure each database in turn."""
    return [finding for kind in plan.databases for finding in _measure(plan, kind)]


def _measure(plan: Plan, kind: DatabaseKind) -> list[Finding]:
    folder = plan.folder / f"ingest-{kind}"
    folder.mkdir()
    with places(plan, kind) as databases:
        figures, notes = _beside_others(plan, folder, databases)
        wide = _on_many_places(plan, folder, databases)
    return [
        _finding(plan, "P1", kind, figures, against="bare", notes=notes),
        _finding(plan, "P2", kind, figures, against="conventional"),
        _of_many_places(kind, wide, figures["gateway"]),
    ]


def _beside_others(
    plan: Plan, folder: Path, databases: Databases | None
) -> tuple[Figures, tuple[str, ...]]:
    ours_at = fresh(databases, folder / "ours.db")
    other_at = fresh(databases, folder / "other.db")
    with ExitStack() as stack:
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
    return figures, _notes(drains, results)


def _on_many_places(plan: Plan, folder: Path, databases: Databases | None) -> list[float]:
    """Take the same orders on P7's network, afterwards, so that nothing of it disturbs the targets."""
    at = fresh(databases, folder / "wide.db")
    with ExitStack() as stack:
        up = stack.enter_context(gateway(folder / "wide", at, wide=True))
        load = stack.enter_context(_load(plan, folder, _FASTEST))

        def one(seconds: float) -> float:
            rate = load.run(_run(plan, up.port, seconds)).rate
            up.books.drain()
            return rate

        one(plan.warm_s)
        rates = [one(plan.seconds) for _ in range(plan.rounds)]
        check_gateway(up.books, load, up.nats)
    return rates


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


def _of_many_places(kind: str, wide: list[float], narrow: list[float]) -> Finding:
    """Report, without a target, what a network of 100 places takes beside one of 10."""
    return Finding(
        benchmark="ingest",
        target="P1",
        measure=f"the same on 100 places, {kind}",
        figure=middle(wide),
        unit="orders/s",
        other="on 10 places",
        other_figure=middle(narrow),
        ratio=ratio(wide, narrow),
        notes=("one after the other, not in turns",),
        rounds={"wide": wide, "narrow": narrow},
    )
