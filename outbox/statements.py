"""The outbox's SQL: one function per statement, the same on SQLite and PostgreSQL."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.event import Event
from outbox.message import Batch, Message
from outbox.table import outbox

_PENDING = outbox.c.published_us.is_(None)

_INSERT = insert(outbox)

# Bounded by the batch's ends, not by its positions: the text stays the same for every batch. What
# else stands between the ends (a commit that became visible later) is left out by the reader.
_LOAD = (
    select(
        outbox.c.position,
        outbox.c.subject,
        outbox.c.id,
        outbox.c.type,
        outbox.c.at_us,
        outbox.c.data,
        outbox.c.traceparent,
    )
    .where(
        _PENDING,
        outbox.c.partition == bindparam("partition"),
        outbox.c.position.between(bindparam("first"), bindparam("last")),
    )
    .order_by(outbox.c.position)
)

_MARK = (
    update(outbox)
    .where(outbox.c.position.in_(bindparam("positions", expanding=True)))
    .values(published_us=bindparam("now_us"), batch_id=bindparam("batch"))
)

_FIRST_PENDING = (
    select(outbox.c.position)
    .where(_PENDING, outbox.c.partition.in_(bindparam("partitions", expanding=True)))
    .limit(1)
)

_OLD = (
    select(outbox.c.position)
    .where(outbox.c.published_us < bindparam("before_us"))
    .order_by(outbox.c.published_us)
    .limit(bindparam("rows_max"))
)
_PRUNE = delete(outbox).where(outbox.c.position.in_(_OLD.scalar_subquery()))

_WAITING = (
    select(func.count().label("waiting"), func.min(outbox.c.position).label("first"))
    .where(_PENDING)
    .subquery()
)
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
    if events:
        await connection.execute(_INSERT, [_row(event, partitions) for event in events])


async def load_batch(connection: AsyncConnection, batch: Batch) -> list[Message]:
    """Read the messages of a stamped batch, in order."""
    ends = {
        "partition": batch.partition,
        "first": batch.positions[0],
        "last": batch.positions[-1],
    }
    ours = set(batch.positions)
    rows = (await connection.execute(_LOAD, ends)).all()
    return [Message(*row[1:]) for row in rows if row[0] in ours]


async def mark_published(connection: AsyncConnection, batch: Batch, now_us: int) -> None:
    """Write down that a batch is in the stream."""
    await connection.execute(
        _MARK, {"positions": list(batch.positions), "now_us": now_us, "batch": batch.id}
    )


async def is_pending(connection: AsyncConnection, partitions: Sequence[int]) -> bool:
    """Tell whether any event waits in these partitions."""
    found = await connection.execute(_FIRST_PENDING, {"partitions": list(partitions)})
    return found.first() is not None


async def prune(connection: AsyncConnection, before_us: int, rows_max: int) -> int:
    """Delete the oldest events that were published before a time; return how many."""
    done = await connection.execute(_PRUNE, {"before_us": before_us, "rows_max": rows_max})
    return done.rowcount


async def backlog(connection: AsyncConnection) -> Backlog:
    """Count what waits, for metrics; it looks at every waiting row."""
    count, oldest_us = (await connection.execute(_BACKLOG)).one()
    return Backlog(count, oldest_us)


def _row(event: Event, partitions: int) -> dict[str, object]:
    return {
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
