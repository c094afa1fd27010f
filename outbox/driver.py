"""Statements at the level of the database's driver, inside SQLAlchemy's transaction.

What runs for every batch goes this way: building, binding and reading a statement in SQLAlchemy costs
thirty times what the driver does (decision 0009). Transactions, pools and everything rarer stay there.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any, Final, TypeVar

import aiosqlite
import asyncpg
import msgspec
from sqlalchemy import Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Sequence[Any]
Asked = Sequence[tuple[Any, ...]]
"""The rows that a statement is asked about."""
Changed = tuple[tuple[Any, ...], Mapping[str, Any]]
"""The values of a row's key, and what its columns are from now on."""
Insert = tuple[Table, Sequence[Mapping[str, Any]]]
Result = TypeVar("Result")
TEXT, NUMBER = "text", "bigint"
_LOCK: Final = text("SELECT pg_advisory_xact_lock(:key)")
_TRY_LOCK: Final = text("SELECT pg_try_advisory_xact_lock(:key)")
_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # the dialect has no types


class Statement:
    """SQL about a set of rows that are asked for, in their order; its text is the same for any number.

    `{asked}` in the SQL is a table of them, with these columns. The rows travel as one JSON parameter
    on SQLite (which uses an index for a subquery, but not for a list of pairs) and as one array for
    each column on PostgreSQL (which plans that far faster than hundreds of pairs).
    """

    def __init__(
        self, sql: str, columns: Mapping[str, str], *, postgresql_ending: str = ""
    ) -> None:
        """Take the columns with their PostgreSQL types, and what only PostgreSQL needs at the end."""
        self.sqlite = sql.format(asked=_of_json(columns))
        self.postgresql = sql.format(asked=_of_arrays(columns)) + postgresql_ending

    async def ask(self, connection: AsyncConnection, rows: Asked) -> Sequence[Row]:
        """Run it for these rows; nothing is run for none."""
        return (await ask_all(connection, [(self, rows)]))[0]


async def ask_all(
    connection: AsyncConnection, questions: Sequence[tuple[Statement, Asked]]
) -> list[Sequence[Row]]:
    """Run statements one after the other, each for its rows, and return what each found."""
    driver = await _driver_of(connection)
    if isinstance(driver, aiosqlite.Connection):
        told = [
            (one.sqlite, msgspec.json.encode(rows).decode()) if rows else None
            for one, rows in questions
        ]
        return (
            await _in_one_turn(driver, partial(_fetch_each, told))
            if any(told)
            else [()] * len(told)
        )
    return [
        await driver.fetch(one.postgresql, *map(list, zip(*rows, strict=True))) if rows else ()
        for one, rows in questions
    ]


async def fetch(connection: AsyncConnection, sql: str, *parameters: Any) -> Sequence[Row]:
    """Run SQL in the driver's own style (`?` or `$1`) and return all its rows."""
    driver = await _driver_of(connection)
    if isinstance(driver, aiosqlite.Connection):
        return list(await driver.execute_fetchall(sql, parameters))
    return await driver.fetch(sql, *parameters)


async def exclude_others(connection: AsyncConnection, name: bytes) -> None:
    """Wait until nobody else is inside what has this name (8 bytes), and keep them out until the commit.

    By an advisory lock on PostgreSQL; SQLite has one writer.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(_LOCK, {"key": int.from_bytes(name)})


async def is_alone(connection: AsyncConnection, name: bytes) -> bool:
    """Do as `exclude_others`, but without waiting; False while somebody is inside."""
    if connection.dialect.name != "postgresql":
        return True
    return bool((await connection.execute(_TRY_LOCK, {"key": int.from_bytes(name)})).scalar_one())


async def insert_rows(
    connection: AsyncConnection, inserts: Sequence[Insert], *, may_be_there: Collection[Table] = ()
) -> None:
    """Insert rows into tables, in this order; the rows of one table all have the same columns.

    In tables where they may be there already, those that are stay as they are.
    """
    driver = await _driver_of(connection)
    full = [(table, tuple(rows[0]), rows) for table, rows in inserts if rows]
    endings = dict.fromkeys(may_be_there, " ON CONFLICT DO NOTHING")
    if isinstance(driver, aiosqlite.Connection):
        told = [
            (_insert_values(table, names) + endings.get(table, ""), list(map(_reader(names), rows)))
            for table, names, rows in full
        ]
        if told:
            await _in_one_turn(driver, partial(_run_each, told))
        return
    for table, names, rows in full:
        arrays = [[row[name] for row in rows] for name in names]
        sql = _insert_arrays(table, names) + endings.get(table, "")
        await driver.execute(sql, *arrays)


async def update_rows(
    connection: AsyncConnection, table: Table, key: tuple[str, ...], rows: Sequence[Changed]
) -> int:
    """Change rows one after the other, each where its key is as given; return how many were found."""
    driver = await _driver_of(connection)
    told: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for found_by, values in rows:
        told.setdefault(tuple(values), []).append((*values.values(), *found_by))
    if isinstance(driver, aiosqlite.Connection):
        updates = [(_update(table, names, key, "?"), of_them) for names, of_them in told.items()]
        return sum(await _in_one_turn(driver, partial(_run_each, updates))) if updates else 0
    done = [
        await driver.execute(_update(table, names, key, "$"), *values)
        for names, of_them in told.items()
        for values in of_them
    ]
    return sum(int(tag.rpartition(" ")[2]) for tag in done)


async def _in_one_turn(
    driver: aiosqlite.Connection, work: Callable[[sqlite3.Connection], Result]
) -> Result:
    """Run several statements in one turn of the connection's thread.

    Each turn costs more than most statements; aiosqlite has no public way to have several in one.
    """
    run: Callable[[Callable[[], Result]], Awaitable[Result]] = driver._execute  # noqa: SLF001 - see above
    return await run(lambda: work(driver._conn))  # noqa: SLF001


def _fetch_each(
    told: Sequence[tuple[str, str] | None], database: sqlite3.Connection
) -> list[Sequence[Row]]:
    return [database.execute(one[0], (one[1],)).fetchall() if one else () for one in told]


def _run_each(
    told: Sequence[tuple[str, Sequence[tuple[Any, ...]]]], database: sqlite3.Connection
) -> list[int]:
    return [database.executemany(sql, values).rowcount for sql, values in told]


async def _driver_of(
    connection: AsyncConnection,
) -> "aiosqlite.Connection | asyncpg.Connection[Any]":
    assert connection.sync_connection is not None  # it is open
    raw = connection.sync_connection.connection.driver_connection
    if isinstance(raw, aiosqlite.Connection):
        return raw
    assert isinstance(raw, asyncpg.Connection)
    if not raw.is_in_transaction():
        # SQLAlchemy begins with its own first statement only.
        await connection.exec_driver_sql("SELECT 1")
    return raw


@cache
def _reader(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return what reads these columns of a row, in this order."""
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names)


@cache
def _insert_values(table: Table, names: tuple[str, ...]) -> str:
    marks = ", ".join("?" for _ in names)
    return f"INSERT INTO {table.name} ({_listed(names)}) VALUES ({marks})"  # noqa: S608 - our tables


@cache
def _update(table: Table, names: tuple[str, ...], key: tuple[str, ...], mark: str) -> str:
    """Return an UPDATE whose parameters are the new values, then the key's."""
    marks = [f"${n}" if mark == "$" else "?" for n in range(1, len(names) + len(key) + 1)]
    pairs = [f'"{name}" = {one}' for name, one in zip((*names, *key), marks, strict=True)]
    news, olds = ", ".join(pairs[: len(names)]), " AND ".join(pairs[len(names) :])
    return f"UPDATE {table.name} SET {news} WHERE {olds}"  # noqa: S608 - our tables


@cache
def _insert_arrays(table: Table, names: tuple[str, ...]) -> str:
    kinds = (table.c[name].type.compile(_POSTGRESQL) for name in names)
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds, 1))
    return f"INSERT INTO {table.name} ({_listed(names)}) SELECT * FROM unnest({arrays})"  # noqa: S608 - our tables


def _of_arrays(columns: Mapping[str, str]) -> str:
    kinds = enumerate(columns.values(), 1)
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in kinds)
    return f"(SELECT * FROM unnest({arrays}) AS u({_listed(columns)}))"  # noqa: S608 - our own columns


def _of_json(columns: Mapping[str, str]) -> str:
    fields = ", ".join(
        f"json_extract(value, '$[{number}]') AS {_listed([name])}"
        for number, name in enumerate(columns)
    )
    return f"(SELECT {fields} FROM json_each(?))"  # noqa: S608 - our own columns


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
