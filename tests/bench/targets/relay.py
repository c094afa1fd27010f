"""P4: events/s of the real relay beside raw atomic batches and beside single publishes."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import uvloop

from config.limits import PARTITIONS, RELAY_BATCH_MAX
from tests.bench.books import Books, check
from tests.bench.outbox_feed import commit, sample_events
from tests.bench.plan import Plan
from tests.bench.process import READY_S, Process
from tests.bench.raw_publishing import make_stream, publish_batches, publish_singly
from tests.bench.report import Finding, judged
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.servers import configure, migrated
from tests.bench.stream_watch import Drained, drained, length, made
from tests.engines import running_nats

OF_RAW, OF_SINGLE = 0.7, 5.0
LANES: Final = (1, 4)
"""Raw batches at once; the relay is measured against what is faster."""
_NO_REDIS: Final = "redis://127.0.0.1:1"
"""The relay's role needs a complete configuration, but never asks Redis."""


def run(plan: Plan) -> list[Finding]:
    """Fill the outbox and let the relay empty it; publish the same bodies in the two other ways."""
    folder = plan.folder / "relay"
    folder.mkdir()
    events, singles = plan.size(30_000, 4 * RELAY_BATCH_MAX), plan.size(6_000, 200)
    database = migrated(f"sqlite+aiosqlite:///{folder / 'imv.db'}")
    books = Books(database)
    with ExitStack() as stack:
        nats = stack.enter_context(running_nats(folder / "nats"))
        other = stack.enter_context(running_nats(folder / "other"))
        config = configure(folder, {"database": database, "redis": _NO_REDIS, "nats": [nats.url]})
        arguments = ("gateway", "relay", "--config", str(config))
        relay = stack.enter_context(Process(folder / "relay.log", *arguments))
        relay.hear(READY_S)
        drains: list[Drained] = []

        def relayed(count: int = events) -> float:
            with uvloop_runner() as runner:
                before = runner.run(length(nats.url))
                runner.run(commit(database, sample_events(count)))
                drains.append(runner.run(drained(nats.url, books, count, before)))
            return drains[-1].rate

        def raw(lanes: int) -> Callable[[], float]:
            def published() -> float:
                with uvloop_runner() as runner:
                    return runner.run(publish_batches(other.url, sample_events(events), lanes))

            return published

        def single() -> float:
            with uvloop_runner() as runner:
                return runner.run(publish_singly(other.url, sample_events(singles)))

        with uvloop_runner() as runner:
            runner.run(make_stream(other.url))
            runner.run(made(nats.url))
        relayed(events // 10)
        raws = {_raw(lanes): raw(lanes) for lanes in LANES}
        figures = alternate({"relay": relayed, **raws, "single": single}, plan.rounds)
        check(
            what="events in the stream",
            expected=books.number("SELECT count(*) FROM outbox"),
            found=drains[-1].stored,
        )
    return _findings(plan, figures)


def uvloop_runner() -> asyncio.Runner:
    """Return a runner on the loop that the gateway uses too."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _raw(lanes: int) -> str:
    return f"raw_{lanes}"


def _raws(figures: dict[str, list[float]]) -> str:
    return " and ".join(f"{lanes} ({middle(figures[_raw(lanes)]):,.0f}/s)" for lanes in LANES)


def _findings(plan: Plan, figures: dict[str, list[float]]) -> list[Finding]:
    lanes = max(LANES, key=lambda one: middle(figures[_raw(one)]))
    of_raw = ratio(figures["relay"], figures[_raw(lanes)])
    of_single = ratio(figures["relay"], figures["single"])
    found = Finding(
        benchmark="relay",
        target="P4",
        measure="relay from SQLite, 1.5 KB events",
        figure=middle(figures["relay"]),
        unit="events/s",
        other="raw atomic batches",
        other_figure=middle(figures[_raw(lanes)]),
        ratio=of_raw,
        wanted=f">= {OF_RAW:g}",
        notes=(
            f"both {RELAY_BATCH_MAX} a batch and the same client; relay: from SQL, {PARTITIONS} at once",
            f"raw: from memory, {lanes} at once, the better of {_raws(figures)}",
        ),
        rounds=figures,
    )
    beside = Finding(
        benchmark="relay",
        target="P4",
        measure="relay from SQLite, 1.5 KB events",
        figure=middle(figures["relay"]),
        unit="events/s",
        other="single publishes",
        other_figure=middle(figures["single"]),
        ratio=of_single,
        wanted=f">= {OF_SINGLE:g}",
        notes=("single publishes: 64 under way at once, each fsynced",),
    )
    return [
        judged(found, met=of_raw >= OF_RAW, quick=plan.quick),
        judged(beside, met=of_single >= OF_SINGLE, quick=plan.quick),
    ]
