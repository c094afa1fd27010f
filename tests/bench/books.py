"""Questions to a database and a stream after a run: is everything there that was acknowledged?"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import asyncpg
import msgspec
import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from config.clock import SystemClock, to_us
from config.limits import OUTBOX_KEPT_S
from tests.bench.goods import ITEMS, UNITS
from tests.bench.loading import Load
from tests.bench.process import Failed

Row = tuple[Any, ...]
DRAIN_S: Final = 30.0
"""How long the relay may stand still while events wait."""
_LOOK_S: Final = 0.02
_STREAM_S: Final = 20.0


class Books:
    """One database, read from outside."""

    def __init__(self, url: str) -> None:
        """Take an SQLAlchemy URL."""
        self.url = url

    def rows(self, question: str) -> list[Row]:
        """Return the answer's rows."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.partition("///")[2])) as database:
                return list(database.execute(question).fetchall())
        return asyncio.run(self._asked(question))

    async def _asked(self, question: str) -> list[Row]:
        connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        try:
            return [tuple(row) for row in await connection.fetch(question)]
        finally:
            await connection.close()

    def number(self, question: str) -> int:
        """Return the one number that is asked for, 0 for none."""
        return int(self.rows(question)[0][0] or 0)

    def waiting(self) -> int:
        """Return how many events the relay has still to publish."""
        return self.number("SELECT count(*) FROM outbox_pending")

    def drain(self) -> tuple[int, float]:
        """Wait until the relay has published everything; return its backlog and how long it took.

        It may take its time (a new broker gets a whole past), but must not stand still.
        """
        backlog, started = self.waiting(), time.perf_counter()
        left, looked = backlog, started
        while self.number("SELECT count(*) FROM (SELECT 1 FROM outbox_pending LIMIT 1) AS first"):
            time.sleep(_LOOK_S)
            if time.perf_counter() - looked > DRAIN_S:
                before, left, looked = left, self.waiting(), time.perf_counter()
                if left >= before:
                    raise Failed(f"the relay stands still with {left} events to publish")
        return backlog, time.perf_counter() - started


def wait(happened: Callable[[], bool], otherwise: str, within_s: float) -> None:
    """Look until it has happened; Failed when it does not in time."""
    deadline = time.perf_counter() + within_s
    while not happened():
        if time.perf_counter() > deadline:
            raise Failed(otherwise)
        time.sleep(_LOOK_S)


def check(*, what: str, expected: object, found: object) -> None:
    """Fail unless they are equal."""
    if expected != found:
        raise Failed(f"{what}: expected {expected}, found {found}")


class Counts(msgspec.Struct, frozen=True):
    """What a database and its stream hold; of events only those that are not to be pruned."""

    orders: int = 0
    captured: int = 0
    routed: int = 0
    assigned: int = 0
    fulfilments: int = 0
    reservations: int = 0
    units: int = 0
    """Allocated, over all cells."""
    events: int = 0
    published: int = 0


NOTHING: Final = Counts()


def counted(books: Books, nats_url: str) -> Counts:
    """Count everything that an order leaves behind."""
    kept = f"at_us >= {_kept_since_us()}"
    question = f"SELECT type, count(*) FROM outbox WHERE {kept} GROUP BY type"  # noqa: S608 - ours
    events: dict[str, int] = dict(books.rows(question))
    return Counts(
        orders=books.number("SELECT count(*) FROM orders"),
        captured=events.get("imv.order.captured.v1", 0),
        routed=events.get("imv.order.routed.v1", 0),
        assigned=events.get("imv.fulfilment.assigned.v1", 0),
        fulfilments=books.number("SELECT count(*) FROM fulfilments"),
        reservations=books.number(
            "SELECT count(*) FROM stock_movements WHERE kind = 'allocated'",
        ),
        units=books.number("SELECT sum(allocated) FROM stock_levels"),
        events=sum(events.values()),
        published=published(nats_url),
    )


def _kept_since_us() -> int:
    return to_us(SystemClock().now()) - OUTBOX_KEPT_S * 1_000_000


def check_gateway(
    books: Books, load: Load, nats_url: str, *, held: int = 0, before: Counts = NOTHING
) -> None:
    """Check orders, events, reservations and stock of a gateway that took a load's orders.

    `held` of them got no stock; `before` is what was there already.
    """
    _check_orders(books, load)
    check(what="oversold cells", expected=0, found=books.number(_OVERSOLD))
    taken = len(load.taken)
    found = counted(books, nats_url)
    parts = found.fulfilments - before.fulfilments
    expected = Counts(
        orders=before.orders + taken,
        captured=before.captured + taken,
        routed=before.routed + taken - held,
        assigned=before.assigned + parts,
        fulfilments=found.fulfilments,
        reservations=before.reservations + taken - held,
        units=before.units + load.units - held,
        events=found.events,
        published=found.published,
    )
    check(what="what the orders left behind", expected=expected, found=found)
    if before is NOTHING:
        _check_cells(books)
    _check_stream(books, nats_url, before)


def _check_stream(books: Books, nats_url: str, before: Counts) -> None:
    """Wait until the stream has exactly the events of the outbox, none more and none less.

    Availability is still told for a moment after the last order, so that one look may come between
    an event's commit and its publishing; a lost or doubled one never comes right.
    """
    found: dict[str, int] = {}

    def equal() -> bool:
        waiting = books.waiting()
        kept = f"SELECT count(*) FROM outbox WHERE at_us >= {_kept_since_us()}"  # noqa: S608 - ours
        found["expected"] = books.number(kept) - before.events
        found["found"] = published(nats_url) - before.published
        return not waiting and found["expected"] == found["found"]

    try:
        wait(equal, "not equal", _STREAM_S)
    except Failed:
        check(what="events in the stream", **found)
        raise


_OVERSOLD: Final = """SELECT count(*) FROM stock_levels WHERE allocated < 0 OR held <> 0
  OR allocated > on_hand"""


def _check_orders(books: Books, load: Load) -> None:
    rows = books.rows("SELECT external_id, id FROM orders WHERE external_id >= '5'")
    stored: dict[str, str] = dict(rows)
    wrong = [one.ref for one in load.taken if stored.get(one.ref) != one.order_id]
    check(what="acknowledged orders that are not stored", expected=[], found=wrong[:5])


class _Line(msgspec.Struct, frozen=True):
    sku: str
    quantity: int


class _Lines(msgspec.Struct, frozen=True):
    lines: tuple[_Line, ...]


def _check_cells(books: Books) -> None:
    """Each cell holds for orders what its fulfilments ask for, and nothing has left a shelf."""
    asked: dict[tuple[str, str], int] = {}
    for place, document in books.rows("SELECT location, document FROM fulfilments"):
        for line in msgspec.json.decode(document, type=_Lines).lines:
            cell = line.sku, place
            asked[cell] = asked.get(cell, 0) + line.quantity
    rows = books.rows("SELECT sku, location, allocated FROM stock_levels WHERE allocated <> 0")
    allocated = {(sku, place): units for sku, place, units in rows}
    wrong = sorted(set(asked.items()) ^ set(allocated.items()))
    check(what="cells that hold other units than their fulfilments", expected=[], found=wrong[:5])
    sold = {item.sku for item in ITEMS}
    rows = books.rows(f"SELECT sku FROM stock_levels WHERE on_hand <> {UNITS}")  # noqa: S608 - ours
    moved = sorted(sku for (sku,) in rows if sku in sold)
    check(what="items of which some left the shelf", expected=[], found=moved[:5])


def check_conventional(books: Books, load: Load) -> None:
    """Check orders, lines and events of the conventional side."""
    orders = len(load.taken)
    check(
        what="its orders", expected=orders, found=books.number("SELECT count(*) FROM shop_orders")
    )
    events = books.number("SELECT count(*) FROM shop_outbox")
    check(what="its events", expected=2 * orders, found=events)
    units = books.number("SELECT sum(quantity) FROM shop_lines")
    check(what="its units", expected=load.units, found=units)


def published(url: str) -> int:
    """Return how many events are in the stream, markers not counted; 0 before there is one."""
    return asyncio.run(_published(url))


async def _published(url: str) -> int:
    client = await nats.connect(url)
    try:
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.NONE,
            filter_subject="imv.v1.>",
            inactive_threshold=5.0,
            mem_storage=True,
        )
        info = await client.jetstream().add_consumer("IMV", config)
        return int(info.num_pending or 0)
    except NotFoundError:
        return 0  # a new broker has no stream yet
    finally:
        await client.close()
