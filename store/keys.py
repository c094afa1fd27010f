"""Rows by many composite keys at once, through their index.

SQLite does not use an index for `(a, b) IN (VALUES …)` (it scans the table), but does for a subquery;
PostgreSQL plans one array far faster than hundreds of pairs. So the keys travel as one parameter.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, String, Text, cast, func, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection


def among(
    connection: AsyncConnection,
    columns: tuple[Column[Any], ...],
    keys: Collection[tuple[str, ...]],
) -> ColumnElement[bool]:
    """Return the condition that the columns together are one of the keys, in key order."""
    ordered = sorted(keys)
    if connection.dialect.name == "postgresql":
        arrays = [cast([key[i] for key in ordered], ARRAY(Text)) for i in range(len(columns))]
        names = [f"k{i}" for i in range(len(columns))]
        table = func.unnest(*arrays).table_valued(*names).render_derived()
        return tuple_(*columns).in_(select(*(table.c[name] for name in names)))
    each = func.json_each(msgspec.json.encode(ordered).decode()).table_valued("value")
    parts = (func.json_extract(each.c.value, f"$[{i}]", type_=String) for i in range(len(columns)))
    return tuple_(*columns).in_(select(*parts))
