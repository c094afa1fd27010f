"""How many partitions a database has: decided once, by whoever uses it first."""

from typing import Final

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import Conflict, Misconfigured
from config.ids import partition_of
from config.limits import PARTITIONS, PARTITIONS_MAX
from outbox.ports import Transactions
from outbox.table import outbox, outbox_pending, relay_partition

_MAKE = insert(relay_partition)
_COUNT = select(func.count()).select_from(relay_partition)
_IN_USE = select(func.coalesce(func.max(outbox_pending.c.partition) + 1, 0))
_KEYS_MAX: Final = 10_000
_KEYS = (
    select(outbox.c.ordering_key, outbox_pending.c.partition)
    .select_from(outbox_pending.join(outbox, outbox.c.position == outbox_pending.c.position))
    .distinct()
    .limit(_KEYS_MAX)
)


async def agree(transactions: Transactions, wanted: int | None) -> int:
    """Return the number of a database's partitions, which its first user decides once and for all.

    All who write or relay its events ask, since one key's events must stay in one partition.

    Raises:
        Misconfigured: another number is wanted than the database began with.
    """
    try:
        async with transactions.write() as connection:
            count = await count_partitions(connection)
            if count == 0:
                count = await _beginning(connection, wanted)
                if wanted in (None, count):
                    await _make(connection, count)
    except Conflict:  # somebody else made them between our look and our insert
        return await agree(transactions, wanted)
    if wanted not in (None, count):
        raise Misconfigured(
            f"relay.partitions is {wanted}, but this database began with {count}; "
            f"set it to {count}, or leave it out"
        )
    return count


async def _beginning(connection: AsyncConnection, wanted: int | None) -> int:
    """Return the number that a database begins with: what is wanted, where what is pending allows it.

    Events without rows of partitions are from before all who write asked here, and no relay came since;
    their number is one under which each pending key stands where its next event goes.
    """
    in_use = await _in_use(connection)
    keys = await _pending_keys(connection)
    fitting = [
        number
        for number in range(max(in_use, 1), PARTITIONS_MAX + 1)
        if all(partition_of(key, number) == partition for key, partition in keys)
    ]
    if wanted in fitting or not fitting:  # none fits what was written with several
        return max(wanted or PARTITIONS, in_use)
    return PARTITIONS if PARTITIONS in fitting else fitting[0]


async def _make(connection: AsyncConnection, partitions: int) -> None:
    """Add the rows of all partitions, of no owner; Conflict when somebody else does it too."""
    fresh = {"owner": "", "epoch": 0, "expires_us": 0, "marker_sequence": 0}
    await connection.execute(_MAKE, [{"partition": n, **fresh} for n in range(partitions)])


async def count_partitions(connection: AsyncConnection) -> int:
    """Tell with how many partitions this database was first used; 0 before that."""
    return (await connection.execute(_COUNT)).scalar_one()


async def _in_use(connection: AsyncConnection) -> int:
    """Tell how many partitions the pending events need, of a database that no relay has seen yet."""
    found: int = (await connection.execute(_IN_USE)).scalar_one()
    return found


async def _pending_keys(connection: AsyncConnection) -> list[tuple[str, int]]:
    """Read ordering keys of pending events, each with its partition; enough to tell their number."""
    return [(key, partition) for key, partition in await connection.execute(_KEYS)]
