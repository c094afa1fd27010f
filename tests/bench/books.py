"""Questions to a database and a stream after a run: is everything there that was acknowledged?"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import asyncpg
import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

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


def check_gateway(
    books: Books, load: Load, nats_url: str, *, held: int = 0, before: int = 0
) -> None:
    """Check orders, events, reservations and stock of a gateway that took a load's orders.

    `held` of them got no stock; `before` orders were in the database already.
    """
    _check_orders(books, load, before)
    check(what="oversold cells", expected=0, found=books.number(_OVERSOLD))
    if before:
        return
    counts: dict[str, int] = dict(books.rows("SELECT type, count(*) FROM outbox GROUP BY type"))
    orders = len(load.taken)
    check(what="captured events", expected=orders, found=counts.get("imv.order.captured.v1"))
    check(what="routed events", expected=orders - held, found=counts.get("imv.order.routed.v1", 0))
    parts = books.number("SELECT count(*) FROM fulfilments")
    check(what="assigned", expected=parts, found=counts.get("imv.fulfilment.assigned.v1", 0))
    taken = books.number("SELECT count(*) FROM stock_movements WHERE kind = 'allocated'")
    check(what="reservations", expected=orders - held, found=taken)
    allocated = books.number("SELECT sum(allocated) FROM stock_levels")
    check(what="units allocated", expected=load.units - held, found=allocated)
    _check_stream(books, nats_url)


def _check_stream(books: Books, nats_url: str) -> None:
    """Wait until the stream has exactly the events of the outbox, none more and none less.

    Availability is still told for a moment after the last order, so that one look may come between
    an event's commit and its publishing; a lost or doubled one never comes right.
    """
    found: dict[str, int] = {}

    def equal() -> bool:
        waiting = books.waiting()
        found["expected"] = books.number("SELECT count(*) FROM outbox")
        found["found"] = published(nats_url)
        return not waiting and found["expected"] == found["found"]

    try:
        wait(equal, "not equal", _STREAM_S)
    except Failed:
        check(what="events in the stream", **found)
        raise


_OVERSOLD: Final = """SELECT count(*) FROM stock_levels WHERE allocated < 0 OR held <> 0
  OR allocated > on_hand"""


def _check_orders(books: Books, load: Load, before: int) -> None:
    rows = books.rows("SELECT external_id, id FROM orders WHERE external_id >= '5'")
    stored: dict[str, str] = dict(rows)
    wrong = [one.ref for one in load.taken if stored.get(one.ref) != one.order_id]
    check(what="acknowledged orders that are not stored", expected=[], found=wrong[:5])
    there = books.number("SELECT count(*) FROM orders")
    check(what="orders", expected=len(load.taken) + before, found=there)


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
    """Return how many events are in the stream, markers not counted."""
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
    finally:
        await client.close()
