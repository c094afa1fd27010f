"""P8: one unit and thousands who want it: one winner, and the losers are told as fast as ever."""

from contextlib import ExitStack
from typing import Final

from tests.bench.books import Books, check, check_gateway
from tests.bench.gates import check_gate
from tests.bench.goods import ITEMS
from tests.bench.letters import Deck
from tests.bench.load import Run
from tests.bench.loading import Load
from tests.bench.plan import Plan
from tests.bench.report import Finding, judged
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.servers import Gateway, gateway

OF_NORMAL: Final = 0.8
_FIRST: Final = 8 * 10**12
_PLACE: Final = "W-001"
_VARIANT: Final = 999_000_000_001
"""What the shop calls it; the catalog does not know it, so that its SKU decides."""


def run(plan: Plan) -> list[Finding]:
    """Alternate contenders for a new single unit with the same orders of something plentiful."""
    folder = plan.folder / "hotsku"
    folder.mkdir()
    contenders = plan.size(10_000, 200)
    with ExitStack() as stack:
        up = stack.enter_context(gateway(folder))
        load = stack.enter_context(Load(folder, Deck(first=_FIRST - 1000, count=200)))
        load.run(_run(plan, up, 200))
        turns = iter(range(1, 10_000))

        def one(sku: str, variant: int) -> float:
            number = next(turns)
            first = _FIRST + number * contenders
            load.deal(Deck(first=first, count=contenders, kind="single", sku=sku, variant=variant))
            rate = load.run(_run(plan, up, contenders)).rate
            up.books.drain()
            return rate

        def contended() -> float:
            hot = f"HOT-{next(turns):04d}"
            up.stock(hot, _PLACE, 1)
            up.books.drain()
            rate = one(hot, _VARIANT)
            _check_one_winner(up.books, hot)
            return rate

        sides = {"contended": contended, "normal": lambda: one(ITEMS[0].sku, ITEMS[0].variant)}
        figures = alternate(sides, plan.rounds)
        held = plan.rounds * (contenders - 1)
        check_gateway(up.books, load, up.nats, held=held)
        check_gate(up)
    found = ratio(figures["contended"], figures["normal"])
    finding = Finding(
        benchmark="hotsku",
        target="P8",
        measure=f"1 unit, {contenders:,} contenders, sqlite",
        figure=middle(figures["contended"]),
        unit="told/s",
        other="orders/s of plenty",
        other_figure=middle(figures["normal"]),
        ratio=found,
        wanted=f">= {OF_NORMAL:g}, 1 winner",
        notes=("exactly 1 winner in every round; gate and ledger agree on every cell, no orphan",),
        rounds=figures,
    )
    return [judged(finding, met=found >= OF_NORMAL, quick=plan.quick)]


def _run(plan: Plan, up: Gateway, count: int) -> Run:
    return Run(port=up.port, start=0, seconds=120.0, connections=plan.size(64, 16), count_max=count)


def _check_one_winner(books: Books, sku: str) -> None:
    (level,) = books.rows(
        f"SELECT on_hand, allocated, held FROM stock_levels WHERE sku = '{sku}'"  # noqa: S608 - ours
    )
    check(what="on hand, allocated and held of the one unit", expected=(1, 1, 0), found=level)
