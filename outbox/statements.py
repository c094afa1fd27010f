"""The outbox's SQL: one function per statement, the same on SQLite and PostgreSQL."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    delete,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.driver import (
    NUMBER,
    Insert,
    Statement,
    exclude_others,
    fetch,
    insert_rows,
    is_alone,
)
from outbox.event import Event
from outbox.message import Batch, Message
from outbox.table import outbox, outbox_pending

# Positions are taken before the rows are written, because both tables need them. SQLite has one
# writer at a time, so its counter stands still meanwhile; writing the rows moves it on.
_NEXT_POSITION_SQLITE = (
    "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'outbox'"
)
_NEXT_POSITIONS_POSTGRESQL = (
    "SELECT nextval(pg_get_serial_sequence('outbox', 'position')) FROM generate_series(1, $1)"
)

_LOAD: Final = Statement(
    """
SELECT outbox.position, subject, id, type, at_us, data, traceparent
FROM {asked} AS asked CROSS JOIN outbox WHERE outbox.position = asked.position""",
    {"position": NUMBER},
)
_MARK: Final = Statement(
    """
DELETE FROM outbox_pending
WHERE (partition, position) IN (SELECT partition, position FROM {asked} AS asked)""",
    {"partition": NUMBER, "position": NUMBER},
)


def first_pending(partition: ColumnElement[int]) -> Select[int]:
    """Return the question for the first pending positions of a partition, `rows_max` of them.

    What is joined is joined to these few: where a join comes first, PostgreSQL may read all that waits,
    or all that was ever published.
    """
    return (
        select(outbox_pending.c.position)
        .where(outbox_pending.c.partition == partition)
        .order_by(outbox_pending.c.position)
        .limit(bindparam("rows_max"))
    )


def sized(first: Select[int]) -> Select[int, int]:
    """Return the question for those of these positions whose events are there, with their bytes."""
    rows = first.subquery()
    return select(outbox.c.position, func.length(outbox.c.data).label("bytes")).select_from(
        rows.join(outbox, outbox.c.position == rows.c.position)
    )


_UPCOMING = sized(
    first_pending(bindparam("partition")).where(outbox_pending.c.position > bindparam("after"))
).order_by(outbox.c.position)

_FIRST_PENDING = (
    select(outbox_pending.c.position)
    .where(outbox_pending.c.partition.in_(bindparam("partitions", expanding=True)))
    .limit(1)
)

# Only the first rows are looked at: what is old stands in front.
_FIRST = (
    select(outbox.c.position, outbox.c.partition, outbox.c.at_us)
    .order_by(outbox.c.position)
    .limit(bindparam("rows_max"))
    .subquery()
)
_OLD = select(_FIRST.c.position).where(
    _FIRST.c.at_us < bindparam("before_us"),
    ~select(literal(1))
    .where(
        outbox_pending.c.partition == _FIRST.c.partition,
        outbox_pending.c.position == _FIRST.c.position,
    )
    .exists(),
)
# Events that are gone can never be published. What would be next is looked at, not all that waits.
_NEXT = first_pending(bindparam("of_partition")).subquery()
_LOST = (
    select(_NEXT.c.position)
    .select_from(_NEXT.outerjoin(outbox, outbox.c.position == _NEXT.c.position))
    .where(outbox.c.position.is_(None))
)
_FORGET_LOST = delete(outbox_pending).where(
    outbox_pending.c.partition == bindparam("of_partition"),
    outbox_pending.c.position.in_(_LOST),
)
_KEEPING: Final = b"imv-keep"
"""Under this name events are put back or pruned, never both."""
_PRUNE = delete(outbox).where(outbox.c.position.in_(_OLD.scalar_subquery()))

_RESTAGE: Final = text(
    """
INSERT INTO outbox_pending (partition, position)
SELECT partition, position FROM outbox
WHERE partition = :partition AND position >= :first AND position < :first + :count
ON CONFLICT DO NOTHING"""
)
# Two questions: asked for both at once, SQLite walks the table.
_EXTENT = select(
    select(func.coalesce(func.min(outbox.c.position), 0)).scalar_subquery(),
    select(func.coalesce(func.max(outbox.c.position), 0)).scalar_subquery(),
)
_RESTAGE_ROWS: Final = 100_000
"""How many rows one statement looks at, so that none takes too long however many are kept."""

_WAITING = select(
    func.count().label("waiting"), func.min(outbox_pending.c.position).label("first")
).subquery()
_BACKLOG = select(_WAITING.c.waiting, outbox.c.at_us).select_from(
    _WAITING.join(outbox, outbox.c.position == _WAITING.c.first, isouter=True)
)


class Backlog(msgspec.Struct, frozen=True):
    """How many events wait, and when the first of them happened; None when none waits."""

    count: int
    oldest_us: int | None


async def insert_events(
    connection: AsyncConnection, events: Sequence[Event], partitions: int
) -> None:
    """Append events in the given order, inside the caller's transaction."""
    await insert_rows(connection, await event_rows(connection, events, partitions))


async def event_rows(
    connection: AsyncConnection, events: Sequence[Event], partitions: int
) -> list[Insert]:
    """Take positions for events and return their rows, for whoever inserts others with them."""
    if not events:
        return []
    positions = await _next_positions(connection, len(events))
    rows = [
        _row(event, position, partitions) for event, position in zip(events, positions, strict=True)
    ]
    pending = [{"partition": row["partition"], "position": row["position"]} for row in rows]
    return [(outbox, rows), (outbox_pending, pending)]


async def load_batches(
    connection: AsyncConnection, batches: Sequence[Batch]
) -> list[list[Message]]:
    """Read the messages of stamped batches, each batch's in order."""
    asked = [(position,) for batch in batches for position in batch.positions]
    found = {row[0]: Message(*row[1:]) for row in await _LOAD.ask(connection, asked)}
    return [[found[one] for one in batch.positions if one in found] for batch in batches]


async def load_upcoming(
    connection: AsyncConnection, batch: Batch, *, rows_max: int, bytes_max: int
) -> tuple[tuple[int, ...], list[Message]]:
    """Read what the batch behind a stamped one will probably be, if it is a whole one; else nothing."""
    asked = {"partition": batch.partition, "after": batch.positions[-1], "rows_max": rows_max}
    found = (await connection.execute(_UPCOMING, asked)).all()
    before = itertools.accumulate((size for _, size in found), initial=0)
    positions = tuple(
        row[0] for row, bytes_before in zip(found, before, strict=False) if bytes_before < bytes_max
    )
    if len(positions) == len(found) < rows_max:
        return (), []
    upcoming = msgspec.structs.replace(batch, positions=positions)
    (messages,) = await load_batches(connection, [upcoming])
    return positions, messages


async def mark_published(connection: AsyncConnection, batches: Iterable[Batch]) -> None:
    """Write down that stamped batches are in the stream."""
    done = [(batch.partition, position) for batch in batches for position in batch.positions]
    await _MARK.ask(connection, done)


async def is_pending(connection: AsyncConnection, partitions: Sequence[int]) -> bool:
    """Tell whether any event waits in these partitions."""
    found = await connection.execute(_FIRST_PENDING, {"partitions": list(partitions)})
    return found.first() is not None


async def prune(connection: AsyncConnection, before_us: int, rows_max: int) -> int:
    """Delete published events from before a time, among the oldest rows; return how many."""
    done = await connection.execute(_PRUNE, {"before_us": before_us, "rows_max": rows_max})
    return done.rowcount


async def may_prune(connection: AsyncConnection) -> bool:
    """Keep others from putting events back until this transaction ends; False while one does.

    Neither sees the other's rows: an event could be pruned while it is put back, and wait for ever.
    """
    return await is_alone(connection, _KEEPING)


async def forget_lost(connection: AsyncConnection, partition: int, rows_max: int) -> int:
    """Let nobody wait for events that are gone, among the next of a partition; return how many."""
    asked = {"of_partition": partition, "rows_max": rows_max}
    return (await connection.execute(_FORGET_LOST, asked)).rowcount


async def restage(connection: AsyncConnection, partition: int) -> int:
    """Let everything that is kept of a partition be published again; return how many rows.

    Until the transaction ends nobody prunes.
    """
    await exclude_others(connection, _KEEPING)
    oldest, newest = (await connection.execute(_EXTENT)).one()
    rows = 0
    for first in range(oldest, newest + 1, _RESTAGE_ROWS):
        part = {"partition": partition, "first": first, "count": _RESTAGE_ROWS}
        rows += (await connection.execute(_RESTAGE, part)).rowcount
    return rows


async def backlog(connection: AsyncConnection) -> Backlog:
    """Count what waits, for metrics; it looks at every waiting row."""
    count, oldest_us = (await connection.execute(_BACKLOG)).one()
    return Backlog(count, oldest_us)


async def _next_positions(connection: AsyncConnection, count: int) -> Sequence[int]:
    """Take positions for new rows; they rise."""
    if connection.dialect.name == "sqlite":
        ((first,),) = await fetch(connection, _NEXT_POSITION_SQLITE)
        return range(first, first + count)
    return [position for (position,) in await fetch(connection, _NEXT_POSITIONS_POSTGRESQL, count)]


def _row(event: Event, position: int, partitions: int) -> dict[str, object]:
    return {
        "position": position,
        "id": event.id,
        "partition": event.partition(partitions),
        "subject": event.subject,
        "type": event.type,
        "ordering_key": event.ordering_key,
        "version": event.version,
        "at_us": event.at_us,
        "data": event.data,
        "traceparent": event.traceparent,
    }
