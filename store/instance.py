"""Which database this is: its incarnation, a UUID that the first migration gives it."""

from sqlalchemy import select

from outbox.ports import Transactions
from store.tables import instance


async def incarnation(database: Transactions) -> str:
    """Read the incarnation of a migrated database; EngineDown when it does not answer."""
    async with database.read() as connection:
        found = await connection.execute(select(instance.c.incarnation))
        return str(found.scalar_one())
