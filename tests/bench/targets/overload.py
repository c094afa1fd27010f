"""Overload: twice what can be taken; refusals are quick, and who is taken is answered in time."""

from contextlib import ExitStack
from typing import Final

from tests.bench.books import check_gateway
from tests.bench.letters import Deck
from tests.bench.load import Result, Run
from tests.bench.loading import Load
from tests.bench.plan import Plan
from tests.bench.report import Finding, judged
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.servers import gateway

OF_FULL: Final = 0.5
"""Our own bound: a refusal is received and answered too, and takes its share of the processor."""
OFFERED: Final = 2.0
"""So many times what the gateway takes is offered, steadily; senders that were refused wait."""
ANSWER_S: Final = 0.15
"""Within what time the gateway is set to answer what it takes: the p99 that it has at full load."""
TAKEN_OF_FULL: Final = 2.0
"""Our own bound: so many times the p99 at full load, for those who are taken."""
TAKEN_P99_MS: Final = 1000.0
"""And whatever that is: a third of what the least patient provider waits (eBay, 3 s)."""
GROWN_MIB: Final = 64.0
"""Our own bound on what the gateway holds more after it, connections and caches included."""
_RATE: Final = 6000


def run(plan: Plan) -> list[Finding]:
    """Alternate a load of senders that wait for their answers with one that no queue can hold."""
    folder = plan.folder / "overload"
    folder.mkdir()
    crowd = plan.size(1024, 128)
    with ExitStack() as stack:
        up = stack.enter_context(gateway(folder, answer_within_s=ANSWER_S))
        count = int(_RATE * (plan.rounds * 2 * plan.seconds + plan.warm_s)) + 1000
        load = stack.enter_context(Load(folder, Deck(first=9 * 10**12, count=count)))
        refused: list[Result] = []
        calms: list[Result] = []

        def full(seconds: float = plan.seconds) -> float:
            load_of = Run(
                port=up.port,
                start=0,
                seconds=seconds,
                connections=plan.size(64, 16),
                refusals=True,
            )
            calms.append(load.run(load_of))
            up.books.drain()
            return calms[-1].rate

        def overloaded(rate: float) -> float:
            many = Run(
                port=up.port,
                start=0,
                seconds=plan.seconds,
                connections=crowd,
                rate=rate,
                refusals=True,
            )
            refused.append(load.run(many))
            up.books.drain()
            return refused[-1].rate

        offered = OFFERED * full(plan.warm_s)
        sides = {"overload": lambda: overloaded(offered), "full": full}
        before = up.process.memory_bytes()
        figures = alternate(sides, plan.rounds)
        grown = up.process.memory_bytes() - before
        check_gateway(up.books, load, up.nats)
    found = ratio(figures["overload"], figures["full"])
    share = sum(one.refused for one in refused) / sum(one.sent for one in refused)
    slow = middle([one.refused_p99_ms for one in refused])
    told = f"{share:.0%} refused with 503 and Retry-After, p99 {slow:.0f} ms"
    taken = middle([one.answer_ms["p99"] for one in refused])
    calm = middle([one.answer_ms["p99"] for one in calms[1:]])
    told += f"; those taken p99 {taken:.0f} ms (at full load {calm:.0f})"
    spared = sum(one.refused for one in calms[1:]) / sum(one.sent for one in calms[1:])
    told += f", where {spared:.0%} are refused"
    told += f"; {grown / 2**20:.0f} MiB more after; every acknowledged order is stored"
    kept = taken <= min(TAKEN_OF_FULL * calm, TAKEN_P99_MS) and grown <= GROWN_MIB * 2**20
    finding = Finding(
        benchmark="overload",
        target="-",
        measure=f"{OFFERED:g} x what it takes offered, sqlite",
        figure=middle(figures["overload"]),
        unit="orders/s",
        other="orders/s at full load",
        other_figure=middle(figures["full"]),
        ratio=found,
        wanted=f">= {OF_FULL:g}, p99 of those taken <= {TAKEN_OF_FULL:g} x",
        notes=(f"{crowd} connections, answers within {ANSWER_S:g} s are asked for; {told}",),
        rounds=figures,
    )
    return [judged(finding, met=found >= OF_FULL and kept, quick=plan.quick)]
