"""The audit log: who did what, each entry chained to the one before by its digest.

An entry is appended in the transaction of its effect, so neither is there without the other. Its digest
is the SHA-256 of its own members and the digest before it: whoever changes, drops or inserts an entry
must make every later one anew, which a digest that was noted elsewhere gives away.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.driver import exclude_others
from outbox.ports import Transactions
from store.ports import AuditEntry
from store.tables import audit

GENESIS: Final = bytes(32)
_PAGE: Final = 1000
_GROWING: Final = b"imv-audt"
"""Under this name the chain grows, by one at a time."""


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it is kept; `number` rises by one without gaps."""

    number: int
    at_us: int
    actor: str
    token_id: str
    action: str
    subject: str
    fingerprint: str
    digest: bytes


class Verdict(msgspec.Struct, frozen=True):
    """How many entries are sound, the digest of the last of them, and what is wrong with the next."""

    entries: int
    head: bytes
    broken: str = ""


def digest_of(row: AuditRow, before: bytes) -> bytes:
    """Return the digest that an entry has behind another."""
    members = [getattr(row, name) for name in AuditRow.__struct_fields__ if name != "digest"]
    return hashlib.sha256(before + msgspec.json.encode(members)).digest()


async def append(connection: AsyncConnection, entries: Sequence[AuditEntry]) -> None:
    """Append entries as the last thing of a transaction: until it ends, nobody else appends."""
    if not entries:
        return
    await exclude_others(connection, _GROWING)
    last = select(audit.c.number, audit.c.digest).order_by(audit.c.number.desc()).limit(1)
    found = (await connection.execute(last)).first()
    number, before = (found.number, found.digest) if found else (0, GENESIS)
    rows = []
    for entry in entries:
        number += 1
        row = AuditRow(number=number, digest=b"", **msgspec.structs.asdict(entry))
        before = digest_of(row, before)
        rows.append({**msgspec.structs.asdict(row), "digest": before})
    await connection.execute(insert(audit), rows)


class AuditLog:
    """Reads and checks the log; each raises EngineDown when the database does not answer."""

    def __init__(self, database: Transactions) -> None:
        """Take the database."""
        self._database = database

    async def newest(self, limit: int) -> list[AuditRow]:
        """Return the last entries, newest first."""
        statement = select(audit).order_by(audit.c.number.desc()).limit(limit)
        async with self._database.read() as connection:
            return [_row(found) for found in await connection.execute(statement)]

    async def verify(self, noted: tuple[int, bytes] | None = None) -> Verdict:
        """Check every entry against the one before; `noted` is a number and digest seen earlier."""
        sound, head = 0, GENESIS
        async for row in self._rows():
            if row.number != sound + 1:
                return Verdict(sound, head, f"entry {sound + 1} is missing")
            if digest_of(row, head) != row.digest:
                return Verdict(sound, head, f"entry {row.number} was changed")
            sound, head = row.number, row.digest
            if noted and noted[0] == sound and noted[1] != head:
                return Verdict(sound - 1, head, f"entry {sound} is not the one that was noted")
        if noted and noted[0] > sound:
            return Verdict(sound, head, f"entry {noted[0]} was noted, but the log ends before it")
        return Verdict(sound, head)

    async def _rows(self) -> AsyncIterator[AuditRow]:
        after = 0
        while True:
            page = select(audit).where(audit.c.number > after).order_by(audit.c.number).limit(_PAGE)
            async with self._database.read() as connection:
                rows = [_row(found) for found in await connection.execute(page)]
            for row in rows:
                yield row
            if len(rows) < _PAGE:
                return
            after = rows[-1].number


def _row(found: object) -> AuditRow:
    return msgspec.convert(found, AuditRow, from_attributes=True)
