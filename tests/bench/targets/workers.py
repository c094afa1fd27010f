"""Several processes on PostgreSQL: orders/s of one worker and of two, with a relay of its own."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.bench.books import check_gateway
from tests.bench.letters import Deck
from tests.bench.load import Run
from tests.bench.loading import Load
from tests.bench.plan import Plan
from tests.bench.report import Finding
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.servers import Gateway, postgres, served

_RATE: Final = 6000


def run(plan: Plan) -> list[Finding]:
    """Measure one and two; there is no target, for two workers and a load fill two cores."""
    if "postgresql" not in plan.databases:
        return []
    with ExitStack() as stack:
        databases = stack.enter_context(postgres(plan))
        sides: dict[int, tuple[Gateway, Load]] = {}
        for workers in (1, 2):
            folder = plan.folder / f"workers-{workers}"
            folder.mkdir()
            up = stack.enter_context(served(folder, databases.create(), workers))
            sides[workers] = up, stack.enter_context(_load(plan, folder, workers))

        def one(workers: int, seconds: float) -> float:
            up, load = sides[workers]
            run = Run(port=up.port, start=0, seconds=seconds, connections=plan.size(64, 16))
            rate = load.run(run).rate
            up.books.drain()
            return rate

        for workers in sides:
            one(workers, plan.warm_s)
        turns = {
            "two": lambda: one(2, plan.seconds),
            "one": lambda: one(1, plan.seconds),
        }
        figures = alternate(turns, plan.rounds)
        for up, load in sides.values():
            check_gateway(up.books, load, up.nats)
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
            rounds=figures,
        )
    ]


def _load(plan: Plan, folder: Path, workers: int) -> Load:
    seconds = plan.warm_s + plan.rounds * plan.seconds
    return Load(folder, Deck(first=5 * 10**12, count=int(_RATE * workers * seconds)))
