"""Several processes on PostgreSQL: orders/s of one worker and of two, with a relay of its own."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import psutil

from tests.bench.books import check_gateway, wait
from tests.bench.letters import Deck
from tests.bench.load import Run
from tests.bench.loading import Load
from tests.bench.plan import Plan
from tests.bench.process import Failed
from tests.bench.report import Finding
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.servers import Gateway, postgres, served

_RATE: Final = 6000
_ACCEPTED_S: Final = 10.0


class Share(msgspec.Struct, frozen=True):
    """What one worker had of a round: connections of the load, and seconds of processor time."""

    connections: int
    cpu_s: float


def run(plan: Plan) -> list[Finding]:
    """Measure one and two; there is no target, for two workers and a load fill two cores."""
    if "postgresql" not in plan.databases:
        return []
    with ExitStack() as stack:
        databases = stack.enter_context(postgres(plan))
        sides: dict[int, tuple[Gateway, Load]] = {}
        shared: dict[int, list[list[Share]]] = {1: [], 2: []}
        for workers in (1, 2):
            folder = plan.folder / f"workers-{workers}"
            folder.mkdir()
            up = stack.enter_context(served(folder, databases.create(), workers))
            sides[workers] = up, stack.enter_context(_load(plan, folder, workers))

        def one(workers: int, seconds: float) -> float:
            up, load = sides[workers]
            run = Run(port=up.port, start=0, seconds=seconds, connections=plan.size(64, 32))
            before, begun = _cpu_s(up), load.begin(run)
            held = _accepted(up, run.connections)
            rate = load.finish(begun).rate
            shared[workers].append(shares_of(held, before, _cpu_s(up)))
            up.books.drain()
            return rate

        for workers in sides:
            one(workers, plan.warm_s)
            shared[workers].clear()
        turns = {
            "two": lambda: one(2, plan.seconds),
            "one": lambda: one(1, plan.seconds),
        }
        figures = alternate(turns, plan.rounds)
        for up, load in sides.values():
            check_gateway(up.books, load, up.nats)
        if not plan.quick:
            check_shared(shared[2])
    return [
        Finding(
            benchmark="workers",
            target="-",
            measure="2 workers, postgresql, relay apart",
            figure=middle(figures["two"]),
            unit="orders/s",
            other="1 worker",
            other_figure=middle(figures["one"]),
            ratio=ratio(figures["two"], figures["one"]),
            notes=(_told(shared[2]),),
            rounds=figures,
        )
    ]


def _workers(up: Gateway) -> list[psutil.Process]:
    """Return the workers: the children of what was started, or that where it works itself."""
    process = psutil.Process(up.process.pid)
    return process.children() or [process]


def _cpu_s(up: Gateway) -> dict[int, float]:
    """Return the processor time of each worker so far."""
    times = [(one.pid, one.cpu_times()) for one in _workers(up)]
    return {pid: used.user + used.system for pid, used in times}


def _accepted(up: Gateway, count: int) -> dict[int, int]:
    """Wait until all of the load's connections are accepted; return how many each worker has."""
    held: dict[int, int] = {}

    def all_held() -> bool:
        held.update({one.pid: _connections(one, up.port) for one in _workers(up)})
        return sum(held.values()) >= count

    wait(all_held, "not every connection was accepted", _ACCEPTED_S)
    return held


def _connections(worker: psutil.Process, port: int) -> int:
    found = worker.net_connections(kind="tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in found)


def shares_of(
    held: dict[int, int], before: dict[int, float], after: dict[int, float]
) -> list[Share]:
    """Return each worker's share of a round; Failed when one was replaced."""
    if not held.keys() == before.keys() == after.keys():
        raise Failed("a worker ended in a round")
    return [Share(held[pid], after[pid] - before[pid]) for pid in sorted(held)]


def check_shared(rounds: Sequence[Sequence[Share]]) -> None:
    """Check that each worker took part; in a single round one may accept all, as it wakes first."""
    for mine in zip(*rounds, strict=True):
        if not (sum(one.connections for one in mine) and sum(one.cpu_s for one in mine)):
            raise Failed(f"a worker did nothing in all rounds: {rounds}")


def _told(shared: list[list[Share]]) -> str:
    """Return the sums of all rounds, worker by worker."""
    workers = list(zip(*shared, strict=True))
    connections = " + ".join(str(sum(one.connections for one in mine)) for mine in workers)
    cpu = " + ".join(f"{sum(one.cpu_s for one in mine):.1f}" for mine in workers)
    return f"shares of the two workers: connections {connections}, processor time {cpu} s"


def _load(plan: Plan, folder: Path, workers: int) -> Load:
    seconds = plan.warm_s + plan.rounds * plan.seconds
    return Load(folder, Deck(first=5 * 10**12, count=int(_RATE * workers * seconds)))
