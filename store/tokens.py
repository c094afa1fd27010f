"""Access tokens: kept only as digests, with their scopes."""

import hashlib
import secrets
from collections.abc import Collection

import msgspec
from sqlalchemy import insert, select, update

from outbox.ports import Transactions
from store.tables import tokens

PREFIX = "imv_"


class TokenRow(msgspec.Struct, frozen=True):
    """A token as it is kept; times in microseconds since the epoch."""

    id: str
    scopes: tuple[str, ...]
    note: str
    created_us: int
    revoked_us: int | None = None


class TokenStore:
    """Makes, finds and revokes tokens; each raises EngineDown when the database does not answer."""

    def __init__(self, database: Transactions) -> None:
        """Take the database."""
        self._database = database

    async def create(self, row: TokenRow) -> str:
        """Keep a new token and return its text, which is never to be seen again."""
        text = PREFIX + secrets.token_urlsafe(32)
        values = {
            "id": row.id,
            "digest": digest_of(text),
            "scopes": " ".join(row.scopes),
            "note": row.note,
            "created_us": row.created_us,
        }
        async with self._database.write() as connection:
            await connection.execute(insert(tokens).values(values))
        return text

    async def find(self, text: str) -> TokenRow | None:
        """Return the token of a text, None when it is unknown or revoked."""
        statement = select(tokens).where(
            tokens.c.digest == digest_of(text), tokens.c.revoked_us.is_(None)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        return TokenRow(row.id, tuple(row.scopes.split()), row.note, row.created_us, row.revoked_us)

    async def revoke(self, token_id: str, now_us: int) -> bool:
        """Revoke a token; False when there is none, or it was revoked before."""
        statement = (
            update(tokens)
            .where(tokens.c.id == token_id, tokens.c.revoked_us.is_(None))
            .values(revoked_us=now_us)
        )
        async with self._database.write() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def revoked(self, token_ids: Collection[str]) -> set[str]:
        """Return those of the tokens that are revoked."""
        statement = select(tokens.c.id).where(
            tokens.c.id.in_(sorted(token_ids)), tokens.c.revoked_us.is_not(None)
        )
        async with self._database.read() as connection:
            return set((await connection.execute(statement)).scalars())

    async def revoke_noted(self, note: str, now_us: int) -> None:
        """Revoke every live token with this note."""
        live = tokens.c.revoked_us.is_(None)
        statement = update(tokens).where(tokens.c.note == note, live).values(revoked_us=now_us)
        async with self._database.write() as connection:
            await connection.execute(statement)

    async def any(self) -> bool:
        """Tell whether there is a live token at all."""
        statement = select(tokens.c.id).where(tokens.c.revoked_us.is_(None)).limit(1)
        async with self._database.read() as connection:
            return (await connection.execute(statement)).first() is not None


def digest_of(text: str) -> bytes:
    """Return what is kept of a token; its 256 random bits need no salt."""
    return hashlib.sha256(text.encode()).digest()
