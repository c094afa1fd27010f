"""Fills a database with the past: orders copied by SQL from some that a real gateway took.

Copies are closed and their events published, as most of a shop's past is. Events are copied for a
quarter of them: the outbox keeps 7 days where the inbox keeps 30. A part of both is older than that,
so that the gateway and its relay have something to forget while they are measured.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import asyncpg
from sqlalchemy import Table

from config.clock import SystemClock, to_us
from config.limits import INBOX_KEPT_S, OUTBOX_KEPT_S
from outbox.table import outbox
from store.tables import fulfilments, inbox, orders, stock_movements
from tests.bench.process import Failed

ORDER_BYTES: Final = 24 * 1024
"""More than an order takes with its message, plan, movement, fulfilments, events and indexes."""
_CHUNK: Final = 20_000
_OUTBOX_PART: Final = 4
_OLD_EVENTS_PART, _OLD_MESSAGES_PART = 10, 2
"""The first tenth of the copies have events to prune, the last half messages to forget."""
_OLDER_US: Final = 86_400_000_000
_TEMPLATES: Final = "external_id LIKE '4%' AND external_id NOT LIKE '%-%'"
# What differs in a copy; {id} makes a new id of a column, the same one wherever it is named.
_CHANGED: Final[dict[str, dict[str, str]]] = {
    "orders": {
        "id": "{id}",
        "external_id": "t.external_id || '-' || seq.n",
        "state": "'closed'",
        "undecided": "{false}",
    },
    "inbox": {"key": "t.key || '-' || seq.n", "id": "{id}", "order_id": "{order_id}"},
    "fulfilments": {
        "id": "{id}",
        "order_id": "{order_id}",
        "state": "'handed_off'",
        "open": "{false}",
    },
    "stock_movements": {"operation_id": "{operation_id}", "order_id": "{order_id}"},
    "outbox": {"id": "{id}", "ordering_key": "{ordering_key}"},
}
_OF_TEMPLATE: Final = {
    "orders": _TEMPLATES,
    "inbox": f"order_id IN (SELECT id FROM orders WHERE {_TEMPLATES})",  # noqa: S608 - constants
    "fulfilments": f"order_id IN (SELECT id FROM orders WHERE {_TEMPLATES})",  # noqa: S608
    "stock_movements": f"order_id IN (SELECT id FROM orders WHERE {_TEMPLATES})",  # noqa: S608
    "outbox": f"ordering_key IN (SELECT id FROM orders WHERE {_TEMPLATES})",  # noqa: S608
}
_KEPT: Final = {"inbox": ("received_us", INBOX_KEPT_S), "outbox": ("at_us", OUTBOX_KEPT_S)}
"""The column with a row's time, and how long it is kept, in seconds."""
_ASIDE: Final = "template_"
_IDS: Final = ("id", "order_id", "operation_id", "ordering_key")
_TABLES: Final = (inbox, fulfilments, stock_movements, outbox, orders)
_COUNTING: Final = """WITH RECURSIVE s(n) AS
  (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s"""
_FILL_FAST: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=OFF",
    "PRAGMA cache_size=-200000",
)
_FILLED: Final = ("PRAGMA wal_checkpoint(TRUNCATE)", "ANALYZE")


def to_forget(kind: str) -> str:
    """Return the question how many rows of `inbox` or `outbox` are older than they are kept."""
    name, kept_s = _KEPT[kind]
    since_us = to_us(SystemClock().now()) - kept_s * 1_000_000
    return f"SELECT count(*) FROM {kind} WHERE {name} < {since_us}"  # noqa: S608 - ours


def fill(url: str, templates: int, wanted: int, folder: Path) -> None:
    """Copy the template orders until so many orders are there; the gateway must not run.

    Fails before it begins when the disk has no room for what it makes.
    """
    free, needed = shutil.disk_usage(folder).free, wanted * ORDER_BYTES
    if free < 2 * needed:
        raise Failed(
            f"{wanted:,} orders need {needed >> 30} GiB, and as much again should stay free"
        )
    if url.startswith("sqlite"):
        _fill_sqlite(url.partition("///")[2], templates, wanted)
    else:
        asyncio.run(_fill_postgres(url.replace("+asyncpg", ""), templates, wanted))


def _fill_sqlite(path: str, templates: int, wanted: int) -> None:
    """Fill without fsync: that is for the past only; the gateway opens the file with its own."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for pragma in _FILL_FAST:
            database.execute(pragma).fetchall()
        for statement in _statements("sqlite", templates, wanted):
            database.execute(statement)
        for statement in _FILLED:
            database.execute(statement).fetchall()


async def _fill_postgres(url: str, templates: int, wanted: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET synchronous_commit = off")
        for statement in _statements("postgresql", templates, wanted):
            await connection.execute(statement)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _statements(dialect: str, templates: int, wanted: int) -> Iterator[str]:
    """Yield what sets the templates aside (among copies they are slow to find), then the copies."""
    for table in _TABLES:
        rows = f"SELECT * FROM {table.name} WHERE {_OF_TEMPLATE[table.name]}"  # noqa: S608 - constants
        yield f"CREATE TEMPORARY TABLE {_ASIDE}{table.name} AS {rows}"
    # What is old stands in front, the first events too.
    yield f"UPDATE outbox SET at_us = at_us - {OUTBOX_KEPT_S * 1_000_000 + _OLDER_US}"  # noqa: S608 - constants
    copies = max(0, (wanted - templates) // templates)
    step = max(1, _CHUNK // templates)
    old = {
        "outbox": f"seq.n <= {copies // _OLD_EVENTS_PART}",
        "inbox": f"seq.n > {copies - copies // _OLD_MESSAGES_PART}",
    }
    for first in range(1, copies + 1, step):
        last = min(copies, first + step - 1)
        for table in _TABLES:
            if table is not outbox or first <= max(1, copies // _OUTBOX_PART):
                yield _copy(table, dialect, (first, last), old.get(table.name, ""))


def _copy(table: Table, dialect: str, numbers: tuple[int, int], old: str) -> str:
    """Return the statement that copies every template row of a table once for each number.

    Copies of `old` numbers are older than they are kept.
    """
    changed = _CHANGED[table.name] | _aged(table, old)
    first, last = numbers
    names = [column.name for column in table.c if column.name != "position"]
    values = [changed.get(name, f"t.{_quoted(name)}") for name in names]
    selected = ", ".join(value.format(**_expressions(dialect)) for value in values)
    columns = ", ".join(map(_quoted, names))
    counting = (
        f"generate_series({first}, {last}) AS seq(n)"
        if dialect == "postgresql"
        else f"({_COUNTING.format(first=first, last=last)}) AS seq"
    )
    rows = f"SELECT {selected} FROM {_ASIDE}{table.name} AS t, {counting}"  # noqa: S608 - constants
    return f"INSERT INTO {table.name} ({columns}) {rows}"


def _aged(table: Table, old: str) -> dict[str, str]:
    """Return the expression of a table's time, where copies of some numbers are old."""
    if not old:
        return {}
    name, kept_s = _KEPT[table.name]
    older = f"t.{name} - {kept_s * 1_000_000 + _OLDER_US}"
    return {name: f"CASE WHEN {old} THEN {older} ELSE t.{name} END"}


def _expressions(dialect: str) -> dict[str, str]:
    postgres = dialect == "postgresql"
    tail = "lpad(to_hex(seq.n), 12, '0')" if postgres else "printf('%012x', seq.n)"
    ids = {n: f"substr(t.{n}, 1, 24) || {tail}" for n in _IDS}
    return {**ids, "false": "false" if postgres else "0"}


def _quoted(name: str) -> str:
    return f'"{name}"'
