"""P5: from the commit to the frame on a screen.

Nothing outside sees the moment of a commit. The judged figure begins before it, when the batch
began: its events bear that time. So it holds the batch's own work, too, and is never too good.
"""

from contextlib import ExitStack
from time import perf_counter
from typing import Final

import msgspec

from config.clock import SystemClock, to_us
from tests.bench.books import Books, check, check_gateway
from tests.bench.goods import PLACES
from tests.bench.letters import Deck
from tests.bench.load import Run, Taken
from tests.bench.loading import Load
from tests.bench.plan import Plan
from tests.bench.process import Failed
from tests.bench.report import Finding, judged
from tests.bench.rounds import middle, percentile
from tests.bench.screens import Screens
from tests.bench.servers import gateway, live
from tests.bench.sockets import Seen, Watch

P99_MS: Final = 100.0
_FRAMES_S: Final = 30.0
_CLOCK: Final = SystemClock()
_CLOCK_MOVED_S: Final = 0.005
"""By how much the machine's clock may be set or slewed in a round, beside its monotonic one."""
_BEGUN, _ANSWERED, _SENT = "begun_to_frame", "answered_to_frame", "sent_to_frame"


class Life(msgspec.Struct, frozen=True):
    """When an order was sent, its batch began and its answer came; this machine's monotonic seconds."""

    sent: float
    begun: float
    answered: float


class _Event(msgspec.Struct, frozen=True):
    id: str


def run(plan: Plan) -> list[Finding]:
    """Hold screens on every board while orders come in at a steady rate."""
    folder = plan.folder / "stream"
    folder.mkdir()
    rate, screens = plan.size(300, 50), plan.size(500, 20)
    seconds = max(plan.seconds, plan.size(10, 1))
    figures: dict[str, list[float]] = {_BEGUN: [], _ANSWERED: [], _SENT: []}
    frames = 0
    with ExitStack() as stack:
        up = stack.enter_context(gateway(folder))
        live(up)
        count = int(rate * (plan.rounds * seconds + plan.warm_s) * 1.1) + 10
        load = stack.enter_context(Load(folder, Deck(first=7 * 10**12, count=count)))
        topics = tuple(f"board:{place}" for place in PLACES)
        watch = Watch(port=up.port, screens=screens, token=up.token, topics=topics)
        wall = stack.enter_context(Screens(folder, watch))

        def one(length: float) -> dict[str, list[float]]:
            wall.clear()
            began = _wall_s()
            taken = load.run(_steady(up.port, rate, length)).taken
            rows = _assigned(up.books, taken, _same(began, _wall_s()))
            each = screens // len(PLACES)
            seen = wall.seen(len(rows) * each, _FRAMES_S)
            check(what="screens that stayed open", expected=screens, found=seen.open)
            _check_whole(rows, seen, each)
            return _delays(rows, seen)

        one(plan.warm_s)
        for _ in range(plan.rounds):
            delays = one(seconds)
            for name, values in delays.items():
                figures[name].append(percentile(values, 0.99))
            frames += len(delays[_SENT])
        up.books.drain()
        check_gateway(up.books, load, up.nats)
    answered, sent = middle(figures[_ANSWERED]), middle(figures[_SENT])
    notes = (
        f"{frames:,} frames checked; from the begin of the batch, which the commit ends",
        f"from the order's answer p99 {answered:.0f} ms, from its sending {sent:.0f} ms",
    )
    finding = Finding(
        benchmark="stream",
        target="P5",
        measure=f"commit to frame, p99, {rate:g} orders/s, {screens} screens",
        figure=middle(figures[_BEGUN]),
        unit="ms",
        wanted=f"<= {P99_MS:g} ms",
        notes=notes,
        rounds={f"{name}_p99_ms": values for name, values in figures.items()},
    )
    return [judged(finding, met=finding.figure <= P99_MS, quick=plan.quick)]


def _steady(port: int, rate: int, seconds: float) -> Run:
    return Run(port=port, start=0, seconds=seconds, rate=rate, count_max=int(rate * seconds))


def _wall_s() -> float:
    """Return what the machine's clock is ahead of its monotonic one."""
    return to_us(_CLOCK.now()) / 1_000_000 - perf_counter()


def _same(before: float, after: float) -> float:
    """Return how far the clocks are apart; Failed when that changed meanwhile."""
    if abs(after - before) > _CLOCK_MOVED_S:
        raise Failed(f"the machine's clock moved by {after - before:.3f} s during a round")
    return after


def _assigned(books: Books, taken: list[Taken], apart_s: float) -> dict[str, Life]:
    """Return the fulfilments of these orders, each with what happened to its order."""
    orders = {one.order_id: one for one in taken}
    begun_us = {
        msgspec.json.decode(data, type=_Event).id: at_us for data, at_us in books.rows(_EVENTS)
    }
    found = books.rows("SELECT id, order_id FROM fulfilments")
    mine = [(row, orders[order]) for row, order in found if order in orders]
    untold = [row for row, _ in mine if row not in begun_us]
    check(what="fulfilments without an event", expected=[], found=untold[:5])
    return {
        row: Life(one.sent, begun_us[row] / 1_000_000 - apart_s, one.answered) for row, one in mine
    }


_EVENTS: Final = "SELECT data, at_us FROM outbox WHERE type = 'imv.fulfilment.assigned.v1'"


def _check_whole(rows: dict[str, Life], seen: Seen, each: int) -> None:
    """Every screen of a board gets every fulfilment of that board."""
    short = [row for row in rows if len(seen.rows.get(row, ())) != each]
    if short:
        raise Failed(f"{len(short)} of {len(rows)} fulfilments did not reach all {each} screens")


def _delays(rows: dict[str, Life], seen: Seen) -> dict[str, list[float]]:
    """Return milliseconds to each frame; one that overtook its order's answer came 0 after it."""
    pairs = [(at, rows[row]) for row, times in seen.rows.items() if row in rows for at in times]
    return {
        _BEGUN: [(at - one.begun) * 1000 for at, one in pairs],
        _ANSWERED: [max(0.0, at - one.answered) * 1000 for at, one in pairs],
        _SENT: [(at - one.sent) * 1000 for at, one in pairs],
    }
