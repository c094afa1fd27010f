"""P3: how soon a steady load of mixed webhooks is acknowledged, beside the bare handler."""

from contextlib import ExitStack
from typing import Final

from tests.bench.books import check_gateway
from tests.bench.goods import PLACES
from tests.bench.letters import Deck
from tests.bench.load import Result, Run
from tests.bench.loading import Load
from tests.bench.plan import Plan
from tests.bench.report import Finding, judged
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.screens import Screens
from tests.bench.servers import Gateway, bare, gateway
from tests.bench.sockets import Watch

RATE: Final = 300.0
P99_MS, OF_BARE = 25.0, 5.0
SCREENS: Final = 50


def run(plan: Plan) -> list[Finding]:
    """Measure on SQLite, with screens and the relay running."""
    folder = plan.folder / "ack"
    folder.mkdir()
    rate = plan.size(int(RATE), 100)
    seconds = max(plan.seconds, plan.size(10, 1))
    with ExitStack() as stack:
        up = stack.enter_context(gateway(folder))
        port = stack.enter_context(bare(folder))
        count = int(rate * (plan.rounds * seconds + plan.warm_s) * 1.1) + 10
        load = stack.enter_context(Load(folder, Deck(first=6 * 10**12, count=count, kind="mixed")))
        stack.enter_context(Screens(folder, _watch(up, plan.size(SCREENS, 10))))
        results: list[Result] = []

        def steady(at: int, length: float) -> Run:
            return Run(port=at, start=0, seconds=length, rate=rate, count_max=int(rate * length))

        def one() -> float:
            results.append(load.run(steady(up.port, seconds)))
            return results[-1].ms["p99"]

        load.run(steady(up.port, plan.warm_s))
        sides = {"gateway": one, "bare": lambda: load.replay(steady(port, seconds)).ms["p99"]}
        figures = alternate(sides, plan.rounds)
        up.books.drain()
        check_gateway(up.books, load, up.nats)
    return [_finding(plan, figures, results)]


def _watch(up: Gateway, screens: int) -> Watch:
    topics = tuple(f"board:{place}" for place in PLACES)
    return Watch(port=up.port, screens=screens, token=up.token, topics=topics)


def _finding(plan: Plan, figures: dict[str, list[float]], results: list[Result]) -> Finding:
    p99, found = middle(figures["gateway"]), ratio(figures["gateway"], figures["bare"])
    median = middle([one.ms["p50"] for one in results])
    finding = Finding(
        benchmark="ack",
        target="P3",
        measure="p99 of answers at 300/s, sqlite",
        figure=p99,
        unit="ms",
        other="bare handler",
        other_figure=middle(figures["bare"]),
        ratio=found,
        wanted=f"<= {P99_MS:g} ms, <= {OF_BARE:g} x",
        notes=(f"median {median:.1f} ms; a fifth of the webhooks are payments; late sends count",),
        rounds=figures,
    )
    return judged(finding, met=p99 <= P99_MS and found <= OF_BARE, quick=plan.quick)
