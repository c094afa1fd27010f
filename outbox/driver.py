"""Statements at the level of the database's driver, inside SQLAlchemy's transaction.

What runs for every batch goes this way: building, binding and reading a statement in SQLAlchemy costs
thirty times what the driver does (decision 0009). Transactions, pools and everything rarer stay there.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import aiosqlite
import asyncpg
import msgspec
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Sequence[Any]
TEXT, NUMBER = "text", "bigint"
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

    async def ask(
        self, connection: AsyncConnection, rows: Sequence[tuple[Any, ...]]
    ) -> Sequence[Row]:
        """Run it for these rows; nothing is run for none."""
        if not rows:
            return ()
        if connection.dialect.name == "postgresql":
            return await fetch(connection, self.postgresql, *map(list, zip(*rows, strict=True)))
        return await fetch(connection, self.sqlite, msgspec.json.encode(rows).decode())


async def fetch(connection: AsyncConnection, sql: str, *parameters: Any) -> Sequence[Row]:
    """Run SQL in the driver's own style (`?` or `$1`) and return all its rows."""
    driver = await _driver_of(connection)
    if isinstance(driver, aiosqlite.Connection):
        return list(await driver.execute_fetchall(sql, parameters))
    return await driver.fetch(sql, *parameters)


async def insert_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows that all have the same columns."""
    if not rows:
        return
    names = tuple(rows[0])
    driver = await _driver_of(connection)
    if isinstance(driver, aiosqlite.Connection):
        values = [tuple(row[name] for name in names) for row in rows]
        cursor = await driver.executemany(_insert_values(table, names), values)
        await cursor.close()
    else:
        arrays = [[row[name] for row in rows] for name in names]
        await driver.execute(_insert_arrays(table, names), *arrays)


async def _driver_of(
    connection: AsyncConnection,
) -> "aiosqlite.Connection | asyncpg.Connection[Any]":
    raw = (await connection.get_raw_connection()).driver_connection
    if isinstance(raw, aiosqlite.Connection):
        return raw
    assert isinstance(raw, asyncpg.Connection)
    if not raw.is_in_transaction():
        # SQLAlchemy begins with its own first statement only.
        await connection.exec_driver_sql("SELECT 1")
    return raw


@cache
def _insert_values(table: Table, names: tuple[str, ...]) -> str:
    marks = ", ".join("?" for _ in names)
    return f"INSERT INTO {table.name} ({_listed(names)}) VALUES ({marks})"  # noqa: S608 - our tables


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
