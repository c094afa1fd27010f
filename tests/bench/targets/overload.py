"""Overload: twice what can be taken; refusals are quick, who is taken is answered in time."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from config.limits import ANSWER_WITHIN_S
from tests.bench.books import check_gateway
from tests.bench.letters import Deck
from tests.bench.load import Result, Run
from tests.bench.loading import Load
from tests.bench.plan import Plan
from tests.bench.process import Failed, watched
from tests.bench.report import Finding, judged
from tests.bench.rounds import middle, ratio
from tests.bench.servers import Gateway, gateway

OF_CALM: Final = 0.5
"""Our own bound: a refusal is received and answered too, and takes its share of the processor."""
OFFERED: Final = 2.0
"""So many times what the gateway has just taken is offered, steadily."""
IN_TIME_S: Final = 0.15
"""Within what time the gateway is set to answer what it takes: about its p99 at full load."""
TAKEN_OF_CALM: Final = 2.0
"""Our own bound: so many times the p99 at full load, for those who are taken."""
PATIENCE_S: Final = 3.0
"""What the least patient provider waits (eBay): our own bound where the setting is left alone."""
AFTER_OF_CALM: Final = 0.8
"""Our own bound on what is taken at once after it."""
GROWN_MIB: Final = 64.0
"""Our own bound on what the gateway holds more at most, connections and caches included."""
_SIDES: Final = ("over", "calm", "after")
_KEPT_UP: Final = 0.9
_RATE: Final = 6000


class _Round(msgspec.Struct, frozen=True):
    """Full load, twice as much, and full load again at once."""

    calm: Result
    over: Result
    after: Result


def run(plan: Plan) -> list[Finding]:
    """Measure a gateway that is to answer within what it takes at full load, and one as it comes."""
    return [_measure(plan, IN_TIME_S), _measure(plan, ANSWER_WITHIN_S)]


def _measure(plan: Plan, answer_s: float) -> Finding:
    folder = plan.folder / f"overload-{answer_s:g}"
    folder.mkdir()
    with ExitStack() as stack:
        up = stack.enter_context(gateway(folder, answer_within_s=answer_s))
        load = stack.enter_context(_load(plan, folder))
        load.run(_full(plan, up, plan.warm_s))
        up.books.drain()
        with watched(up.process) as peak:
            rounds = [_round(plan, up, load) for _ in range(plan.rounds)]
        check_gateway(up.books, load, up.nats)
    return _finding(plan, answer_s, rounds, peak.grown_bytes / 2**20)


def _load(plan: Plan, folder: Path) -> Load:
    count = int(_RATE * (plan.rounds * 3 * plan.seconds + plan.warm_s)) + 1000
    return Load(folder, Deck(first=9 * 10**12, count=count))


def _full(plan: Plan, up: Gateway, seconds: float) -> Run:
    connections = plan.size(64, 16)
    return Run(port=up.port, start=0, seconds=seconds, connections=connections, refusals=True)


def _round(plan: Plan, up: Gateway, load: Load) -> _Round:
    """Measure one round; nothing waits between the flood and what comes after it."""
    calm = load.run(_full(plan, up, plan.seconds))
    up.books.drain()
    rate, connections = OFFERED * calm.rate, plan.size(1024, 128)
    flood = msgspec.structs.replace(
        _full(plan, up, plan.seconds), rate=rate, connections=connections
    )
    over = load.run(flood)
    after = load.run(_full(plan, up, plan.seconds))
    up.books.drain()
    if not plan.quick and over.sent < _KEPT_UP * rate * plan.seconds:
        raise Failed(f"only {over.sent / plan.seconds:.0f} of {rate:.0f} orders/s were offered")
    return _Round(calm, over, after)


def _finding(plan: Plan, answer_s: float, rounds: list[_Round], grown_mib: float) -> Finding:
    figures = {name: [getattr(one, name).rate for one in rounds] for name in _SIDES}
    taken_ms, calm_ms = (_p99(rounds, name) for name in ("over", "calm"))
    found, back = (ratio(figures[name], figures["calm"]) for name in ("over", "after"))
    refused = _refused([one.over for one in rounds])
    as_it_comes = answer_s == ANSWER_WITHIN_S
    if not (plan.quick or as_it_comes or refused):
        raise Failed("nobody was refused: this was no overload")
    bound_ms = PATIENCE_S * 1000 if as_it_comes else TAKEN_OF_CALM * calm_ms
    bound = f"{PATIENCE_S:g} s" if as_it_comes else f"{TAKEN_OF_CALM:g} x"
    finding = Finding(
        benchmark="overload",
        target="-",
        measure=f"{OFFERED:g} x what it takes offered, answers within {answer_s:g} s wanted, sqlite",
        figure=middle(figures["over"]),
        unit="orders/s",
        other="orders/s at full load",
        other_figure=middle(figures["calm"]),
        ratio=found,
        wanted=f">= {OF_CALM:g}, p99 of those taken <= {bound}",
        notes=(_of_flood(rounds, refused), _of_after(rounds, back, grown_mib)),
        rounds=figures,
    )
    kept = taken_ms <= bound_ms and grown_mib <= GROWN_MIB
    met = found >= OF_CALM and back >= AFTER_OF_CALM and kept
    return judged(finding, met=met, quick=plan.quick)


def _of_flood(rounds: list[_Round], refused: float) -> str:
    refusals_ms = middle([one.over.refused_p99_ms for one in rounds])
    due_ms = middle([one.over.ms["p99"] for one in rounds])
    told = f"{refused:.0%} refused with 503 and Retry-After, p99 {refusals_ms:.0f} ms"
    taken = f"those taken p99 {_p99(rounds, 'over'):.0f} ms, from when they were due {due_ms:.0f}"
    return f"{told}; {taken}; at full load {_p99(rounds, 'calm'):.0f}"


def _of_after(rounds: list[_Round], back: float, grown_mib: float) -> str:
    rate = middle([one.after.rate for one in rounds])
    refused = _refused([one.after for one in rounds])
    told = f"at once after it {rate:,.0f} orders/s, {back:.2f} of full load"
    told += f", p99 {_p99(rounds, 'after'):.0f} ms, {refused:.0%} refused"
    return f"{told}; at most {grown_mib:.0f} MiB more; every acknowledged order is stored"


def _p99(rounds: list[_Round], side: str) -> float:
    """Return the median of the rounds' p99 of one side, in ms from sending to the answer."""
    return middle([getattr(one, side).answer_ms["p99"] for one in rounds])


def _refused(results: list[Result]) -> float:
    return sum(one.refused for one in results) / max(1, sum(one.sent for one in results))
