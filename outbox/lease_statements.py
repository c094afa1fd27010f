"""The SQL of leases and stamps: one function per statement, each conditional on the owner."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Row,
    String,
    bindparam,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from config.limits import LEASE_S
from outbox.driver import NUMBER, TEXT, Statement
from outbox.message import Batch, Published
from outbox.statements import first_pending, sized
from outbox.table import relay_member, relay_partition

_LEASE = relay_partition.c
_STATE = (
    _LEASE.partition,
    _LEASE.epoch,
    _LEASE.marker_sequence,
    _LEASE.batch_id,
    _LEASE.positions,
)
_MINE = _LEASE.owner == bindparam("me")
_SAME_STAMP = (
    _LEASE.partition == bindparam("part"),
    _LEASE.epoch == bindparam("under_epoch"),
    _LEASE.batch_id == bindparam("batch"),
)
_NOW = bindparam("now_us", type_=BigInteger)
# No honest lease ends so late: it is left from before its machine's clock was set back, and whoever
# waited for its end would wait as long as the clock went back. Epoch and marker make a wrong guess
# harmless.
_FAR_US = int(2 * LEASE_S * 1_000_000)
_FREE = or_(_LEASE.owner == "", _LEASE.expires_us < _NOW, _LEASE.expires_us > _NOW + _FAR_US)


_STAY = (
    update(relay_member)
    .where(relay_member.c.owner == bindparam("me"))
    .values(expires_us=bindparam("until_us"))
)
_JOIN = insert(relay_member).values(owner=bindparam("me"), expires_us=bindparam("until_us"))
_FORGET = delete(relay_member).where(
    or_(relay_member.c.expires_us < _NOW, relay_member.c.expires_us > _NOW + _FAR_US)
)
_LEAVE = delete(relay_member).where(relay_member.c.owner == bindparam("me"))
_MEMBERS = select(relay_member.c.owner).order_by(relay_member.c.owner)

_RENEW = (
    update(relay_partition).where(_MINE).values(expires_us=bindparam("until_us")).returning(*_STATE)
)

# The condition stands twice: two relays may choose the same partitions, and the second one then
# looks at the row again after the first one's commit.
_TAKE = (
    update(relay_partition)
    .where(
        _FREE,
        _LEASE.partition.in_(
            select(_LEASE.partition)
            .where(_FREE)
            .order_by(_LEASE.partition)
            .limit(bindparam("partitions_max"))
            .scalar_subquery()
        ),
    )
    .values(owner=bindparam("me"), epoch=_LEASE.epoch + 1, expires_us=bindparam("until_us"))
    .returning(*_STATE)
)
_RELEASE_ALL = update(relay_partition).values(owner="", expires_us=0)
_LEAVE_ALL = delete(relay_member)
_RELEASE = (
    update(relay_partition)
    .where(_MINE, _LEASE.partition.in_(bindparam("partitions", expanding=True)))
    .values(owner="", expires_us=0)
)

# What a new batch of a partition consists of: its first pending rows, up to a number and, after
# the first one, up to a size.
_ROWS = sized(first_pending(_LEASE.partition).correlate(relay_partition)).subquery()
_SUMMED = select(
    _ROWS.c.position,
    (func.sum(_ROWS.c.bytes).over(order_by=_ROWS.c.position) - _ROWS.c.bytes).label("before"),
).subquery()
_POSITIONS = (
    select(func.aggregate_strings(cast(_SUMMED.c.position, String), ","))
    .where(_SUMMED.c.before < bindparam("bytes_max"))
    .scalar_subquery()
)
_CLAIM = (
    update(relay_partition)
    .where(
        _MINE,
        _LEASE.partition.in_(bindparam("partitions", expanding=True)),
        _LEASE.batch_id.is_(None),
        # Not merely pending: of events that are gone there would be nothing to stamp.
        select(_ROWS.c.position).exists(),
    )
    .values(
        batch_id=bindparam("turn", type_=String) + "-" + cast(_LEASE.partition, String),
        positions=_POSITIONS,
    )
    .returning(*_STATE)
)

_BY_INDEX: Final = text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)"
)

_IDLE = select(*_STATE).where(_MINE, _LEASE.batch_id.is_(None)).order_by(_LEASE.partition)
_CLEAR: Final = Statement(
    """
UPDATE relay_partition SET batch_id = NULL, positions = NULL, marker_sequence = asked.sequence
FROM {asked} AS asked
WHERE relay_partition.partition = asked.partition AND relay_partition.epoch = asked.epoch
  AND relay_partition.batch_id = asked.batch AND relay_partition.owner = asked.owner
RETURNING relay_partition.partition""",
    {"partition": NUMBER, "epoch": NUMBER, "batch": TEXT, "owner": TEXT, "sequence": NUMBER},
)
_REWIND = (
    update(relay_partition)
    .where(
        _LEASE.partition == bindparam("part"),
        _LEASE.epoch == bindparam("under_epoch"),
        _LEASE.marker_sequence == bindparam("marker"),
        _LEASE.batch_id.is_not_distinct_from(bindparam("batch", type_=String)),
    )
    .values(batch_id=None, positions=None, marker_sequence=bindparam("sequence"))
)
_RESTAMP = update(relay_partition).where(*_SAME_STAMP).values(marker_sequence=bindparam("sequence"))


class Lease(msgspec.Struct, frozen=True):
    """A partition that is ours, its last marker that we know of, and the batch stamped in it."""

    partition: int
    epoch: int
    marker: int
    batch: Batch | None


async def stay_member(connection: AsyncConnection, me: str, *, now_us: int, until_us: int) -> None:
    """Say that we are alive, and forget those who no longer say so."""
    values = {"me": me, "until_us": until_us}
    if not (await connection.execute(_STAY, values)).rowcount:
        await connection.execute(_JOIN, values)
    await connection.execute(_FORGET, {"now_us": now_us})


async def leave_members(connection: AsyncConnection, me: str) -> None:
    """Say that we are gone, so that others take more."""
    await connection.execute(_LEAVE, {"me": me})


async def members(connection: AsyncConnection) -> list[str]:
    """Return who is alive, in an order that all relays see alike."""
    return list((await connection.execute(_MEMBERS)).scalars())


async def renew_leases(connection: AsyncConnection, me: str, until_us: int) -> list[Lease]:
    """Renew all of our leases; what is not returned is not ours."""
    rows = await connection.execute(_RENEW, {"me": me, "until_us": until_us})
    return [_lease(row) for row in rows]


async def idle_leases(connection: AsyncConnection, me: str) -> list[Lease]:
    """Return our leases in which no batch stands stamped."""
    rows: Iterable[Row[Any]] = await connection.execute(_IDLE, {"me": me})
    return [_lease(row) for row in rows]


async def take_leases(
    connection: AsyncConnection, me: str, *, partitions_max: int, now_us: int, until_us: int
) -> list[Lease]:
    """Take partitions that nobody holds, each under its next epoch."""
    values = {"me": me, "partitions_max": partitions_max, "now_us": now_us, "until_us": until_us}
    return [_lease(row) for row in await connection.execute(_TAKE, values)]


async def release_leases(connection: AsyncConnection, me: str, partitions: Sequence[int]) -> None:
    """Give partitions up; a batch that stands stamped goes to the next owner."""
    await connection.execute(_RELEASE, {"me": me, "partitions": list(partitions)})


async def release_all(connection: AsyncConnection) -> None:
    """Give every partition up, when no relay lives; what stands stamped goes to the next owner."""
    await connection.execute(_RELEASE_ALL)
    await connection.execute(_LEAVE_ALL)


async def find_by_index(connection: AsyncConnection) -> None:
    """Let each statement of this transaction find its rows by an index, as it can.

    PostgreSQL plans for a table as it was, and keeps the plan: one from when nothing waited reads all
    that waits, in every turn.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(_BY_INDEX)


async def claim_batches(
    connection: AsyncConnection,
    me: str,
    *,
    turn: str,
    partitions: Sequence[int],
    rows_max: int,
    bytes_max: int,
) -> list[Batch]:
    """Stamp the next batch of each of these partitions of ours that has none and has rows."""
    values = {
        "me": me,
        "turn": turn,
        "partitions": list(partitions),
        "rows_max": rows_max,
        "bytes_max": bytes_max,
    }
    leases = [_lease(row) for row in await connection.execute(_CLAIM, values)]
    return [lease.batch for lease in leases if lease.batch]


async def clear_stamps(
    connection: AsyncConnection, me: str, published: Sequence[Published]
) -> set[int]:
    """Take the stamps of published batches off, and remember their markers.

    Returns the partitions in which the stamp stood under our lease; they are locked until the commit.
    """
    done = [
        (one.batch.partition, one.batch.epoch, one.batch.id, me, one.sequence) for one in published
    ]
    return {partition for (partition,) in await _CLEAR.ask(connection, done)}


async def expect_marker(connection: AsyncConnection, batch: Batch, sequence: int) -> bool:
    """Let a stamped batch follow another marker; False when the lease, or the stamp, is gone."""
    values = {**_stamp(batch), "sequence": sequence}
    return (await connection.execute(_RESTAMP, values)).rowcount == 1


async def rewind(connection: AsyncConnection, lease: Lease, sequence: int) -> bool:
    """Take a stamp off and go back to an earlier marker; False when the row has changed."""
    values = {
        "part": lease.partition,
        "under_epoch": lease.epoch,
        "marker": lease.marker,
        "batch": lease.batch.id if lease.batch else None,
        "sequence": sequence,
    }
    return (await connection.execute(_REWIND, values)).rowcount == 1


def _stamp(batch: Batch) -> dict[str, object]:
    return {"part": batch.partition, "under_epoch": batch.epoch, "batch": batch.id}


def _lease(row: Row[Any]) -> Lease:
    if row.batch_id is None:
        return Lease(row.partition, row.epoch, row.marker_sequence, None)
    ordered = tuple(sorted(int(position) for position in row.positions.split(",")))
    batch = Batch(row.batch_id, row.partition, row.epoch, row.marker_sequence, ordered)
    return Lease(row.partition, row.epoch, row.marker_sequence, batch)
