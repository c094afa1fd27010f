"""Access tokens: kept only as digests, with their scopes."""

import hashlib
import secrets
from collections.abc import Collection
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, insert, select, update

from outbox.ports import Transactions
from store import audit
from store.ports import AuditEntry
from store.tables import tokens

PREFIX = "imv_"


class TokenRow(msgspec.Struct, frozen=True):
    """A token as it is kept; times in microseconds since the epoch."""

    id: str
    scopes: tuple[str, ...]
    note: str
    created_us: int
    revoked_us: int | None = None


class Actor(msgspec.Struct, frozen=True):
    """Who makes or revokes a token; without a token of their own: a command on this machine."""

    name: str = "imv"
    token_id: str = ""


COMMAND: Final = Actor()


class TokenStore:
    """Makes, finds and revokes tokens; each raises EngineDown when the database does not answer."""

    def __init__(self, database: Transactions) -> None:
        """Take the database."""
        self._database = database

    async def create(self, row: TokenRow, by: Actor = COMMAND) -> str:
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
            await audit.append(connection, [_made(row, by)])
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

    async def revoke(self, token_id: str, now_us: int, by: Actor = COMMAND) -> bool:
        """Revoke a token; False when there is none, or it was revoked before."""
        return bool(await self._revoke(tokens.c.id == token_id, now_us, by))

    async def _revoke(self, which: ColumnElement[bool], now_us: int, by: Actor) -> list[str]:
        """Revoke the live ones of some tokens; return their ids."""
        statement = (
            update(tokens)
            .where(which, tokens.c.revoked_us.is_(None))
            .values(revoked_us=now_us)
            .returning(tokens.c.id)
        )
        async with self._database.write() as connection:
            gone = sorted((await connection.execute(statement)).scalars())
            await audit.append(connection, [_revoked(one, now_us, by) for one in gone])
            return gone

    async def revoked(self, token_ids: Collection[str]) -> set[str]:
        """Return those of the tokens that are revoked."""
        statement = select(tokens.c.id).where(
            tokens.c.id.in_(sorted(token_ids)), tokens.c.revoked_us.is_not(None)
        )
        async with self._database.read() as connection:
            return set((await connection.execute(statement)).scalars())

    async def revoke_noted(self, note: str, now_us: int, by: Actor = COMMAND) -> None:
        """Revoke every live token with this note."""
        await self._revoke(tokens.c.note == note, now_us, by)

    async def any(self) -> bool:
        """Tell whether there is a live token at all."""
        statement = select(tokens.c.id).where(tokens.c.revoked_us.is_(None)).limit(1)
        async with self._database.read() as connection:
            return (await connection.execute(statement)).first() is not None


def _made(row: TokenRow, by: Actor) -> AuditEntry:
    return AuditEntry(
        at_us=row.created_us,
        actor=by.name,
        token_id=by.token_id,
        action="token.create",
        subject=f"{row.id} {' '.join(row.scopes)}",
    )


def _revoked(token_id: str, now_us: int, by: Actor) -> AuditEntry:
    return AuditEntry(
        at_us=now_us,
        actor=by.name,
        token_id=by.token_id,
        action="token.revoke",
        subject=token_id,
    )


def digest_of(text: str) -> bytes:
    """Return what is kept of a token; its 256 random bits need no salt."""
    return hashlib.sha256(text.encode()).digest()
