"""P3: how soon a steady load of mixed webhooks is acknowledged, beside the bare handler."""

from contextlib import ExitStack
from typing import Final

from store.rows import decode_order
from tests.bench.books import Books, check, check_gateway, wait
from tests.bench.goods import PAYMENTS, PLACES
from tests.bench.letters import PAYMENT_EVERY, PAYMENT_LAG, Deck
from tests.bench.load import Result, Run
from tests.bench.loading import Load
from tests.bench.plan import Plan
from tests.bench.process import Failed
from tests.bench.report import Finding, judged
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.screens import Screens
from tests.bench.servers import Gateway, bare, gateway, live
from tests.bench.sockets import Watch

ORDERS: Final = 300
"""A second; the payments come on top of them."""
P99_MS, OF_BARE = 25.0, 5.0
SCREENS: Final = 50
_WARM_S, _FRAMES_S = 60.0, 30.0


def run(plan: Plan) -> list[Finding]:
    """Measure on SQLite, with screens and the relay running."""
    folder = plan.folder / "ack"
    folder.mkdir()
    rate = _orders(plan) * PAYMENT_EVERY / (PAYMENT_EVERY - 1)
    seconds, screens = max(plan.seconds, plan.size(10, 1)), plan.size(SCREENS, len(PLACES))
    with ExitStack() as stack:
        up = stack.enter_context(gateway(folder))
        live(up)
        port = stack.enter_context(bare(folder))
        count = PAYMENT_LAG + int(rate * (plan.rounds * seconds + plan.warm_s) * 1.1) + 10
        load = stack.enter_context(Load(folder, Deck(first=6 * 10**12, count=count, kind="mixed")))
        wall = stack.enter_context(Screens(folder, _watch(up, screens)))
        results: list[Result] = []

        def steady(at: int, length: float) -> Run:
            return Run(port=at, start=0, seconds=length, rate=rate, count_max=int(rate * length))

        def one() -> float:
            results.append(load.run(steady(up.port, seconds)))
            return results[-1].ms["p99"]

        # The first payments are of the first orders, so those are there before the pace begins.
        load.run(Run(port=up.port, start=0, seconds=_WARM_S, count_max=PAYMENT_LAG))
        load.run(steady(up.port, plan.warm_s))
        load.replay(steady(port, plan.warm_s))
        sides = {"gateway": one, "bare": lambda: load.replay(steady(port, seconds)).ms["p99"]}
        figures = alternate(sides, plan.rounds)
        up.books.drain()
        check_gateway(up.books, load, up.nats)
        _check_payments(up.books, load)
        _check_screens(up.books, wall, screens)
    return [_finding(plan, figures, results)]


def _orders(plan: Plan) -> int:
    return plan.size(ORDERS, 100)


def _watch(up: Gateway, screens: int) -> Watch:
    topics = tuple(f"board:{place}" for place in PLACES)
    return Watch(port=up.port, screens=screens, token=up.token, topics=topics)


def _check_payments(books: Books, load: Load) -> None:
    """Every payment that was acknowledged stands beside its order, in it and in an event."""
    paid = load.right - len(load.taken)
    there = books.number(f"SELECT count(*) FROM payments WHERE source = '{PAYMENTS}'")  # noqa: S608 - ours
    check(what="payments", expected=paid, found=there)
    told = books.number("SELECT count(*) FROM outbox WHERE type = 'imv.payment.captured.v1'")
    check(what="payments' events", expected=paid, found=told)
    rows = books.rows("SELECT document FROM orders WHERE id IN (SELECT order_id FROM payments)")
    tenders = [one for (document,) in rows for one in decode_order(document).tenders]
    captured = [one for one in tenders if one.source == PAYMENTS and one.state == "captured"]
    check(what="captured tenders in orders", expected=paid, found=len(captured))
    if not paid:
        raise Failed("no payment was among the webhooks")


def _check_screens(books: Books, wall: Screens, screens: int) -> None:
    """Every screen is open still, and got every fulfilment of its board."""
    rows, each = books.rows("SELECT id FROM fulfilments"), screens // len(PLACES)

    def whole() -> bool:
        seen = wall.seen(len(rows) * each, _FRAMES_S)
        check(what="screens that stayed open", expected=screens, found=seen.open)
        return all(len(seen.rows.get(row, ())) == each for (row,) in rows)

    wait(whole, f"not all of {len(rows)} fulfilments reached their {each} screens", _FRAMES_S)


def _finding(plan: Plan, figures: dict[str, list[float]], results: list[Result]) -> Finding:
    p99, found = middle(figures["gateway"]), ratio(figures["gateway"], figures["bare"])
    median = middle([one.ms["p50"] for one in results])
    elapsed_s = sum(one.elapsed_s for one in results)
    orders = sum(len(one.taken) for one in results) / elapsed_s
    payments = sum(one.right for one in results) / elapsed_s - orders
    finding = Finding(
        benchmark="ack",
        target="P3",
        measure=f"p99 of answers at {_orders(plan)} orders/s, sqlite",
        figure=p99,
        unit="ms",
        other="bare handler",
        other_figure=middle(figures["bare"]),
        ratio=found,
        wanted=f"<= {P99_MS:g} ms, <= {OF_BARE:g} x",
        notes=(
            f"{orders:.0f} orders/s and {payments:.0f} payments/s answered; late sends count",
            f"median {median:.1f} ms; payments and screens checked: all there",
        ),
        rounds=figures,
    )
    return judged(finding, met=p99 <= P99_MS and found <= OF_BARE, quick=plan.quick)
