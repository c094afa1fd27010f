"""What is told when a database fails, or when a statement does."""

import asyncio
import re
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import Conflict, EngineDown, OutcomeUnknown
from store import tables
from store.driver_errors import DRIVER_ERRORS, Unusable, meaning_of
from store.engine import Database
from store.ports import Changes
from store.unit_of_work import SqlStore
from tests.integration.store import samples

TERMINATE = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid")


async def _execute(database: Database, *statements: str) -> None:
    async with database.write() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def _write(database: Database, *keys: str) -> None:
    async with SqlStore(database, 4).unit_of_work() as work:
        await work.write(Changes(messages=[samples.message(key) for key in keys]))


async def _keys(database: Database) -> set[str]:
    async with database.read() as connection:
        return set((await connection.execute(select(tables.inbox.c.key))).scalars())


async def _end(connection: AsyncConnection, database: Database) -> None:
    """End a connection's session on the server, and wait until it is gone."""
    pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    gone = False
    while not gone:
        async with database.read() as other:
            gone = (await other.execute(TERMINATE, {"pid": pid})).first() is None


async def test_a_server_that_is_not_there_is_down() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
        database = Database(f"postgresql+asyncpg://imv@127.0.0.1:{nobody.getsockname()[1]}/imv")
        with pytest.raises(EngineDown, match="does not answer"):
            await _execute(database, "SELECT 1")
        with pytest.raises(EngineDown, match="does not answer"):
            await _keys(database)
        await database.close()


@pytest.mark.usefixtures("driver_threads_end")
async def test_a_damaged_file_is_down_and_is_named_to_the_operator_only(
    sqlite_database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "imv.sqlite"
    path.write_bytes(b"\xff" * path.stat().st_size)
    for use in (_write, _keys):
        with pytest.raises(Unusable) as caught:
            await use(sqlite_database)
        assert re.search(r"imv\.sqlite is damaged.*restore a backup", caught.value.advice)
        assert "imv" not in caught.value.detail


@pytest.mark.usefixtures("driver_threads_end")
async def test_a_file_in_no_folder_is_down(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'none' / 'imv.sqlite'}")
    with pytest.raises(EngineDown, match="unable to open"):
        await _keys(database)
    await database.close()


async def test_a_writer_waits_for_the_one_before(sqlite_database: Database, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "imv.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(_write(sqlite_database))
            await asyncio.sleep(0.05)
            assert not writing.done()
            other.execute("COMMIT")


@pytest.mark.parametrize(("checkpoints", "pages"), [(True, 1000), (False, 0)])
async def test_of_all_who_write_a_file_one_checkpoints(
    tmp_path: Path, *, checkpoints: bool, pages: int
) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'x.sqlite'}", checkpoints=checkpoints)
    async with database.write() as connection:
        found = await connection.exec_driver_sql("PRAGMA wal_autocheckpoint")
        assert found.scalar() == pages
    await database.close()


def _locked(path: Path) -> None:
    with sqlite3.connect(path, timeout=0) as first, sqlite3.connect(path, timeout=0) as second:
        first.execute("BEGIN IMMEDIATE")
        second.execute("BEGIN IMMEDIATE")


def _full(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        connection.execute("CREATE TABLE t (a)")
        connection.execute("CREATE TABLE u (a)")


def _read_only(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("CREATE TABLE t (a)")


@pytest.mark.parametrize("use", [_locked, _full, _read_only])
def test_a_file_that_cannot_be_written_now_is_down(
    tmp_path: Path, use: Callable[[Path], None]
) -> None:
    with pytest.raises(sqlite3.Error) as caught:
        use(tmp_path / "any.sqlite")
    error = DBAPIError("a statement", None, caught.value)
    assert isinstance(meaning_of(error, "any"), EngineDown)


@pytest.mark.parametrize("statement", ["SELEKT 1", "SELECT * FROM nowhere"])
async def test_a_wrong_statement_is_a_defect(database: Database, statement: str) -> None:
    with pytest.raises(DRIVER_ERRORS):
        await _execute(database, statement)
    await _write(database, "after")


async def test_a_nul_in_a_text_is_a_defect_on_postgresql(postgres_database: Database) -> None:
    with pytest.raises(DRIVER_ERRORS):  # the driver's error as it is, none of ours
        await _write(postgres_database, "good", "a\x00b")
    assert await _keys(postgres_database) == set()


async def test_a_value_that_does_not_fit_is_a_defect_on_postgresql(
    postgres_database: Database,
) -> None:
    rows = [{"market": "uk", "epoch": "E", "open": False, "changed_us": 2**63}]
    with pytest.raises(DRIVER_ERRORS):
        async with postgres_database.write() as connection:
            await connection.execute(insert(tables.gates), rows)


async def test_a_session_that_ends_in_the_middle_is_down_and_applied_nothing(
    postgres_database: Database,
) -> None:
    async def lose() -> None:
        async with postgres_database.write() as connection:
            await connection.execute(text("DELETE FROM instance"))
            await _end(connection, postgres_database)
            await connection.execute(text("SELECT 1"))

    with pytest.raises(EngineDown):
        await lose()
    async with postgres_database.read() as connection:
        assert len(list(await connection.execute(select(tables.instance)))) == 1


async def test_a_session_that_ends_before_the_commits_answer_leaves_it_unknown(
    postgres_database: Database,
) -> None:
    async def lose() -> None:
        async with postgres_database.write() as connection:
            await connection.execute(text("DELETE FROM instance"))
            await _end(connection, postgres_database)

    with pytest.raises(OutcomeUnknown):
        await lose()
    await _write(postgres_database, "after")
    assert await _keys(postgres_database) == {"after"}


async def test_a_lost_serialization_is_a_conflict(postgres_database: Database) -> None:
    async def lose() -> None:
        async with postgres_database.write() as connection:
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await connection.execute(select(tables.instance))
            await _execute(postgres_database, "UPDATE instance SET incarnation = 'b'")
            await connection.execute(text("UPDATE instance SET incarnation = 'c'"))

    with pytest.raises(Conflict):
        await lose()


async def test_a_serialization_that_is_lost_at_the_commit_is_a_conflict(
    postgres_database: Database,
) -> None:
    async def lose() -> None:
        met = asyncio.Barrier(2)

        async def skew(new: int) -> None:
            async with postgres_database.write() as connection:
                await connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
                await connection.execute(select(tables.instance))
                await connection.execute(insert(tables.instance), [{"id": new, "incarnation": "x"}])
                await met.wait()

        async with asyncio.TaskGroup() as group:
            group.create_task(skew(2))
            group.create_task(skew(3))

    with pytest.raises(ExceptionGroup) as caught:
        await lose()
    assert [type(error) for error in caught.value.exceptions] == [Conflict]


async def test_a_lock_that_is_not_available_is_a_conflict(postgres_database: Database) -> None:
    async def lose() -> None:
        async with postgres_database.write() as connection:
            await connection.execute(select(tables.instance).with_for_update())
            await _execute(postgres_database, "SELECT * FROM instance FOR UPDATE NOWAIT")

    with pytest.raises(Conflict):
        await lose()


async def test_tables_that_change_meanwhile_are_a_conflict_and_then_work(
    postgres_database: Database,
) -> None:
    await _keys(postgres_database)
    await _execute(postgres_database, "ALTER TABLE inbox ALTER COLUMN key TYPE varchar(99)")
    with pytest.raises(Conflict, match="tables were changed"):
        await _keys(postgres_database)
    assert await _keys(postgres_database) == set()


async def test_what_is_read_cannot_be_written(database: Database) -> None:
    async def write() -> None:
        async with database.read() as connection:
            await connection.execute(text("DELETE FROM instance"))

    with pytest.raises(EngineDown):
        await write()
    await _write(database, "after")
    assert await _keys(database) == {"after"}
