"""One-time tickets for streams: kept as digests, spent by whoever deletes their row."""

import secrets
from typing import Final

from sqlalchemy import delete, func, insert, select

from config.errors import Limited
from config.limits import TICKET_S, TICKETS_MAX
from outbox.ports import Transactions
from store.tables import tickets, tokens
from store.tokens import PREFIX, TokenRow, digest_of

_MICROSECONDS: Final = 1_000_000


class TicketStore:
    """Issues and spends tickets; each raises EngineDown when the database does not answer."""

    def __init__(self, database: Transactions, *, live_max: int = TICKETS_MAX) -> None:
        """Take the database, which all workers share, and how many unspent ones a token may have."""
        self._database = database
        self._live_max = live_max

    async def issue(self, token_id: str, now_us: int) -> str:
        """Keep a new ticket of a token and return its text; forget those that are too old.

        Raises:
            Limited: the token has as many unspent tickets as it may have.
        """
        text = f"{PREFIX}ticket_{secrets.token_urlsafe(32)}"
        row = {
            "digest": digest_of(text),
            "token_id": token_id,
            "expires_us": now_us + TICKET_S * _MICROSECONDS,
        }
        async with self._database.write() as connection:
            await connection.execute(delete(tickets).where(tickets.c.expires_us <= now_us))
            live = select(func.count()).where(tickets.c.token_id == token_id)
            if (await connection.execute(live)).scalar_one() >= self._live_max:
                raise Limited("this token has too many unspent tickets", after_s=TICKET_S)
            await connection.execute(insert(tickets).values(row))
        return text

    async def spend(self, text: str, now_us: int) -> TokenRow | None:
        """Return whose a ticket is, with what the token may now; None for no live ticket or token."""
        # One statement: of two at the same moment, in any worker, one finds the row.
        spent = (
            delete(tickets)
            .where(tickets.c.digest == digest_of(text), tickets.c.expires_us > now_us)
            .returning(tickets.c.token_id)
        )
        async with self._database.write() as connection:
            token_id = (await connection.execute(spent)).scalar()
            owner = select(tokens).where(tokens.c.id == token_id, tokens.c.revoked_us.is_(None))
            row = (await connection.execute(owner)).first() if token_id else None
        if row is None:
            return None
        return TokenRow(row.id, tuple(row.scopes.split()), row.note, row.created_us)
