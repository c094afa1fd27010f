"""Keeps every network that plans are made on, under the digest that the plans hold."""

from collections.abc import Iterable

from sqlalchemy import text

from outbox.ports import Transactions
from routing.network import MarketNetwork, digest_of, document_of

_KEEP = text(
    "INSERT INTO networks (digest, document) VALUES (:digest, :document)"
    " ON CONFLICT (digest) DO NOTHING"
)


async def keep_networks(database: Transactions, present: Iterable[MarketNetwork]) -> None:
    """Write down the networks that are not there yet; plans may be made on them from now on.

    Raises:
        EngineDown: the database does not answer.
    """
    rows = [{"digest": digest_of(one), "document": document_of(one)} for one in present]
    if rows:
        async with database.write() as connection:
            await connection.execute(_KEEP, rows)
