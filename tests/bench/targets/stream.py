"""P5: from the commit to the frame on a screen."""

from contextlib import ExitStack
from typing import Final

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


def run(plan: Plan) -> list[Finding]:
    """Hold screens on every board while orders come in at a steady rate."""
    folder = plan.folder / "stream"
    folder.mkdir()
    rate, screens = plan.size(300, 50), plan.size(500, 20)
    seconds = max(plan.seconds, plan.size(10, 1))
    commit: list[float] = []
    sent: list[float] = []
    frames = 0
    with ExitStack() as stack:
        up = stack.enter_context(gateway(folder))
        live(up)
        count = int(rate * (plan.rounds * seconds + plan.warm_s) * 1.1) + 10
        load = stack.enter_context(Load(folder, Deck(first=7 * 10**12, count=count)))
        topics = tuple(f"board:{place}" for place in PLACES)
        watch = Watch(port=up.port, screens=screens, token=up.token, topics=topics)
        wall = stack.enter_context(Screens(folder, watch))

        def one(length: float) -> tuple[list[float], list[float]]:
            wall.clear()
            taken = load.run(_steady(up.port, rate, length)).taken
            rows = _assigned(up.books, taken)
            each = screens // len(PLACES)
            seen = wall.seen(len(rows) * each, _FRAMES_S)
            check(what="screens that stayed open", expected=screens, found=seen.open)
            _check_whole(rows, seen, each)
            return _delays(rows, seen)

        one(plan.warm_s)
        for _ in range(plan.rounds):
            since_answer, since_sent = one(seconds)
            commit.append(percentile(since_answer, 0.99))
            sent.append(percentile(since_sent, 0.99))
            frames += len(since_sent)
        up.books.drain()
        check_gateway(up.books, load, up.nats)
    notes = (
        f"{frames:,} frames checked; from the sending of the order p99 {middle(sent):.0f} ms",
        "the commit is taken to be when its answer came, which is a little later",
    )
    finding = Finding(
        benchmark="stream",
        target="P5",
        measure=f"commit to frame, p99, {rate:g} orders/s, {screens} screens",
        figure=middle(commit),
        unit="ms",
        wanted=f"<= {P99_MS:g} ms",
        notes=notes,
        rounds={"commit_to_frame_p99_ms": commit, "sent_to_frame_p99_ms": sent},
    )
    return [judged(finding, met=finding.figure <= P99_MS, quick=plan.quick)]


def _steady(port: int, rate: int, seconds: float) -> Run:
    return Run(port=port, start=0, seconds=seconds, rate=rate, count_max=int(rate * seconds))


def _assigned(books: Books, taken: list[Taken]) -> dict[str, Taken]:
    """Return the fulfilments of these orders, each with when its order was sent and answered."""
    orders = {one.order_id: one for one in taken}
    found = books.rows("SELECT id, order_id FROM fulfilments")
    return {row: orders[order] for row, order in found if order in orders}


def _check_whole(rows: dict[str, Taken], seen: Seen, each: int) -> None:
    """Every screen of a board gets every fulfilment of that board."""
    short = [row for row in rows if len(seen.rows.get(row, ())) != each]
    if short:
        raise Failed(f"{len(short)} of {len(rows)} fulfilments did not reach all {each} screens")


def _delays(rows: dict[str, Taken], seen: Seen) -> tuple[list[float], list[float]]:
    """Return milliseconds from answer, and from sending, to each frame."""
    pairs = [(at, rows[row]) for row, times in seen.rows.items() if row in rows for at in times]
    since_answer = [max(0.0, at - one.answered) * 1000 for at, one in pairs]
    return since_answer, [(at - one.sent) * 1000 for at, one in pairs]
