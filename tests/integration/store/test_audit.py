"""The audit log: appended with its effect, chained in one line, and every tampering is found."""

import asyncio

import pytest
from sqlalchemy import delete, update

from store import audit, tables
from store.audit import AuditLog
from store.engine import Database
from store.ports import AuditEntry, Changes
from store.tokens import Actor, TokenRow, TokenStore
from store.unit_of_work import SqlStore
from tests.integration.store import samples


def _entry(number: int) -> AuditEntry:
    return AuditEntry(
        at_us=number, actor="ann", token_id="t-1", action="order.cancel", subject=f"order {number}"
    )


async def _filled(database: Database, count: int) -> AuditLog:
    async with database.write() as connection:
        await audit.append(connection, [_entry(n) for n in range(count)])
    return AuditLog(database)


async def test_entries_are_numbered_and_sound(database: Database) -> None:
    log = await _filled(database, 3)
    verdict = await log.verify()
    assert (verdict.entries, verdict.broken) == (3, "")
    assert [row.subject for row in await log.newest(2)] == ["order 2", "order 1"]


async def test_an_empty_log_is_sound(database: Database) -> None:
    assert (await AuditLog(database).verify()).entries == 0


@pytest.mark.parametrize("column", ["actor", "token_id", "action", "subject", "fingerprint"])
async def test_a_changed_entry_is_found(sqlite_database: Database, column: str) -> None:
    log = await _filled(sqlite_database, 5)
    async with sqlite_database.write() as connection:
        changed = update(tables.audit).where(tables.audit.c.number == 3)
        await connection.execute(changed.values({column: "somebody else"}))
    verdict = await log.verify()
    assert (verdict.entries, verdict.broken) == (2, "entry 3 was changed")


async def test_a_dropped_entry_is_found(sqlite_database: Database) -> None:
    log = await _filled(sqlite_database, 5)
    async with sqlite_database.write() as connection:
        await connection.execute(delete(tables.audit).where(tables.audit.c.number == 2))
    assert (await log.verify()).broken == "entry 2 is missing"


async def test_a_cut_or_remade_end_is_found_by_what_was_noted(sqlite_database: Database) -> None:
    log = await _filled(sqlite_database, 5)
    head = (await log.verify()).head
    async with sqlite_database.write() as connection:
        await connection.execute(delete(tables.audit).where(tables.audit.c.number > 3))
    assert (await log.verify()).broken == ""
    assert "ends before" in (await log.verify((5, head))).broken
    await _filled(sqlite_database, 2)
    assert "not the one that was noted" in (await log.verify((5, head))).broken


async def test_what_is_rolled_back_leaves_no_entry(database: Database) -> None:
    store = SqlStore(database, 4)
    changes = Changes(messages=[samples.message("a")], audit=[_entry(1)])

    async def fail() -> None:
        async with store.unit_of_work() as work:
            await work.write(changes)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert (await AuditLog(database).verify()).entries == 0
    async with store.unit_of_work() as work:
        await work.write(changes)
    assert (await AuditLog(database).verify()).entries == 1


async def test_many_who_append_at_once_make_one_chain(migrated_url: str) -> None:
    """Each with a database of its own, as workers have."""
    databases = [Database(migrated_url) for _ in range(4)]

    async def append(database: Database, number: int) -> None:
        async with database.write() as connection:
            await audit.append(connection, [_entry(number), _entry(number)])

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(append(databases[number % 4], number))
        verdict = await AuditLog(databases[0]).verify()
    finally:
        for database in databases:
            await database.close()
    assert (verdict.entries, verdict.broken) == (80, "")


async def test_tokens_are_audited_and_their_text_is_not_there(database: Database) -> None:
    tokens = TokenStore(database)
    text = await tokens.create(TokenRow("id-1", ("operator",), "x", 1), Actor("ann", "t-1"))
    assert await tokens.revoke("id-1", 2, Actor("bob", "t-2"))
    assert not await tokens.revoke("id-1", 3)
    rows = await AuditLog(database).newest(10)
    assert [(row.actor, row.action, row.subject) for row in rows] == [
        ("bob", "token.revoke", "id-1"),
        ("ann", "token.create", "id-1 operator"),
    ]
    assert not any(text in str(row) for row in rows)
