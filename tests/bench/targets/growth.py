"""P9: what an order costs with a long past in the database, beside one with a short past."""

import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.bench.books import Counts, check, check_gateway, counted, published, wait
from tests.bench.filling import fill, to_forget
from tests.bench.letters import Deck
from tests.bench.load import Run
from tests.bench.loading import Load
from tests.bench.plan import DatabaseKind, Plan
from tests.bench.report import Finding, judged
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.servers import Gateway, fresh, gateway, places
from tests.engines import Databases, name_of

AT_MOST: Final = 1.2
_TEMPLATES: Final = 50
_RATE: Final = 6000
_FORGETTING: Final = {"inbox": "messages", "outbox": "events"}
_OLDEST_EVENT: Final = "SELECT min(position) FROM outbox"
_LOOKS_S: Final = 150.0
"""Retention and pruning look once a minute, each for itself."""


def run(plan: Plan) -> list[Finding]:
    """Measure each database in turn."""
    return [_measure(plan, kind) for kind in plan.databases]


def _measure(plan: Plan, kind: DatabaseKind) -> Finding:
    folder = plan.folder / f"growth-{kind}"
    folder.mkdir()
    few, many = plan.size(10_000, 200), plan.stored
    with ExitStack() as stack:
        databases = stack.enter_context(places(plan, kind))
        template = _templates(folder, databases)
        sides: dict[str, tuple[Gateway, Load]] = {}
        before: dict[str, Counts] = {}
        filling_s = 0.0
        for name, count in (("few", few), ("many", many)):
            place = folder / name
            place.mkdir()
            database = _copy(databases, template, place / "imv.db")
            started = time.perf_counter()
            fill(database, _TEMPLATES, count, folder)
            filling_s = time.perf_counter() - started
            up = stack.enter_context(gateway(place, database, stocked=False))
            _check_filled(up, _copied(count))
            _have_published(up)
            before[name] = counted(up.books, up.nats)
            sides[name] = up, stack.enter_context(_load(plan, place))

        def one(name: str, seconds: float) -> float:
            up, load = sides[name]
            rate = load.run(
                Run(port=up.port, start=0, seconds=seconds, connections=plan.size(64, 16))
            ).rate
            up.books.drain()
            return rate

        for name in sides:
            one(name, plan.warm_s)
        left = _begun(plan, sides["many"][0])
        turns = {name: lambda name=name: one(name, plan.seconds) for name in sides}
        figures = alternate(turns, plan.rounds)
        for name, (up, load) in sides.items():
            check_gateway(up.books, load, up.nats, before=before[name])
        forgotten = {
            kind: count - _to_forget(sides["many"][0], kind) for kind, count in left.items()
        }
        if not plan.quick:
            check(what="tables that nothing left", expected=[], found=_unmoved(forgotten))
    shutil.rmtree(folder)  # a large one, and the other database is still to come
    return _finding(plan, kind, figures, (few, many, filling_s), forgotten)


def _have_published(up: Gateway) -> None:
    """Wait until the broker, which is new, has got the whole past."""
    wait(lambda: published(up.nats) > 0, "nothing of the past was published", _LOOKS_S)
    up.books.drain()


def _begun(plan: Plan, up: Gateway) -> dict[str, int]:
    """Wait until old messages and events are being deleted; return how many there are then.

    Each looks once a minute, and goes on without a pause while there are more. A quick run has too
    few of them to wait for, and no minute.
    """
    messages, event = _to_forget(up, "inbox"), up.books.number(_OLDEST_EVENT)

    def begun() -> bool:
        pruned = up.books.number(_OLDEST_EVENT) > event
        return pruned and _to_forget(up, "inbox") < messages

    if not plan.quick:
        wait(begun, "retention or pruning did not begin", _LOOKS_S)
    return {kind: _to_forget(up, kind) for kind in _FORGETTING}


def _to_forget(up: Gateway, kind: str) -> int:
    return up.books.number(to_forget(kind))


def _unmoved(forgotten: dict[str, int]) -> list[str]:
    return [kind for kind, count in forgotten.items() if count <= 0]


def _copied(count: int) -> int:
    """Return how many orders filling to a count makes: whole copies of the templates."""
    return max(1, count // _TEMPLATES) * _TEMPLATES


def _check_filled(up: Gateway, orders: int) -> None:
    """Every order has its message and movement; events are there for some, and none too often."""
    for table, of_orders in (("orders", "true"), ("stock_movements", "order_id IS NOT NULL")):
        found = up.books.number(f"SELECT count(*) FROM {table} WHERE {of_orders}")  # noqa: S608 - ours
        check(what=f"{table} filled in", expected=orders, found=found)
    doubled = "SELECT count(*) - count(DISTINCT id) FROM outbox"
    check(what="events filled in twice", expected=0, found=up.books.number(doubled))


def _templates(folder: Path, databases: Databases | None) -> str:
    """Have a real gateway take the orders that are copied then; return their database."""
    place = folder / "templates"
    place.mkdir()
    database = fresh(databases, place / "imv.db")
    deck = Deck(first=4 * 10**12, count=_TEMPLATES)
    with gateway(place, database) as up, Load(place, deck) as load:
        load.run(Run(port=up.port, start=0, seconds=30, connections=8, count_max=_TEMPLATES))
        up.books.drain()
    return database


def _copy(databases: Databases | None, template: str, file: Path) -> str:
    """Copy a database that nobody uses."""
    if databases:
        return databases.create(name_of(template))
    shutil.copyfile(template.partition("///")[2], file)
    return f"sqlite+aiosqlite:///{file}"


def _load(plan: Plan, folder: Path) -> Load:
    seconds = plan.warm_s + plan.rounds * plan.seconds
    return Load(folder, Deck(first=5 * 10**12, count=int(_RATE * seconds)))


def _finding(
    plan: Plan,
    kind: str,
    figures: dict[str, list[float]],
    sizes: tuple[int, int, float],
    forgotten: dict[str, int],
) -> Finding:
    few, many, filling_s = sizes
    cost = {name: [1000 / rate for rate in rates] for name, rates in figures.items()}
    found = ratio(cost["many"], cost["few"])
    deleted = "while it was measured it forgot " + " and ".join(
        f"{forgotten[kind]:,} old {name}" for kind, name in _FORGETTING.items()
    )
    finding = Finding(
        benchmark="growth",
        target="P9",
        measure=f"cost of an order, {many:,} stored, {kind}",
        figure=middle(cost["many"]),
        unit="ms/order",
        other=f"with {few:,} stored",
        other_figure=middle(cost["few"]),
        ratio=found,
        wanted=f"<= {AT_MOST:g}",
        notes=(f"the larger database was filled in {filling_s:.0f} s; {deleted}",),
        rounds=figures,
    )
    return judged(finding, met=found <= AT_MOST, quick=plan.quick)
