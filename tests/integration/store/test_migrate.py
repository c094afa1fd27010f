"""Migrations on both databases."""

import asyncio
import logging
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text, update

from config.errors import EngineDown, Misconfigured
from outbox.table import metadata
from store import migrations, tables
from store.engine import Database
from store.instance import incarnation
from store.migrate import current, migrate
from tests.engines import Databases

HEAD = "0005"


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection)
    return list(compare_metadata(context, metadata))


def _schema(connection: Connection) -> list[tuple[str, ...]]:
    """Everything that the database knows of its tables and indexes, also their conditions."""
    if connection.dialect.name == "sqlite":
        return sorted(
            (row.name, " ".join(str(row.sql).replace("\t", " ").split()))
            for row in connection.execute(text("SELECT name, sql FROM sqlite_master"))
            if row.sql and row.name not in ("alembic_version", "sqlite_sequence")
        )
    columns = text(
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable,"
        " column_default FROM information_schema.columns WHERE table_schema = 'public'"
    )
    indexes = text("SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    rows = [*connection.execute(columns), *connection.execute(indexes)]
    return sorted(tuple(map(str, row)) for row in rows if row[0] != "alembic_version")


async def _schema_of(url: str, *, made: bool) -> list[tuple[str, ...]]:
    database = Database(url)
    async with database.write() as connection:
        if made:
            await connection.run_sync(metadata.create_all)
        found = await connection.run_sync(_schema)
    await database.close()
    return found


async def _set_revision(url: str, revision: str) -> None:
    database = Database(url)
    async with database.write() as connection:
        statement = text("UPDATE alembic_version SET version_num = :revision")
        await connection.execute(statement, {"revision": revision})
    await database.close()


def _migrate_in_a_process(url: str) -> str:
    return asyncio.run(migrate(url))


async def test_an_empty_database_gets_every_table_and_the_newest_revision(
    database_url: str,
) -> None:
    assert await current(database_url) is None
    assert await migrate(database_url) == HEAD
    assert await current(database_url) == HEAD
    database = Database(database_url)
    async with database.read() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await database.close()
    assert set(names) == {*metadata.tables, "alembic_version"}


async def test_the_models_and_the_migrations_agree(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_a_migrated_sqlite_has_exactly_the_tables_of_the_models(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    made = await _schema_of(f"sqlite+aiosqlite:///{tmp_path / 'made.sqlite'}", made=True)
    assert await _schema_of(migrated_sqlite_url, made=False) == made


async def test_a_migrated_postgresql_has_exactly_the_tables_of_the_models(
    migrated_postgres_url: str, postgres_url: str
) -> None:
    made = await _schema_of(postgres_url, made=True)
    assert await _schema_of(migrated_postgres_url, made=False) == made


async def test_migrating_again_changes_nothing_and_keeps_the_incarnation(
    migrated_url: str, database: Database
) -> None:
    before = await incarnation(database)
    assert await migrate(migrated_url) == HEAD
    assert await incarnation(database) == before
    assert len(before) == 36


async def test_a_database_of_the_first_program_keeps_its_stock(database_url: str) -> None:
    """The later steps touch no level: those begin without an event, and untold."""
    database = Database(database_url)
    async with database.write() as connection:
        await connection.run_sync(_upgrade_to, "0001")
        level = "INSERT INTO stock_levels VALUES ('LAMP', 'leeds', 'uk', 5, 0, 1, 0, 2, 0, 7)"
        await connection.execute(text(level))
    assert await migrate(database_url) == HEAD
    async with database.read() as connection:
        (row,) = (await connection.execute(select(tables.stock_levels))).all()
        assert row == ("LAMP", "leeds", "uk", 5, 0, 1, 0, 2, 0, 7)
        for table in (tables.stock_versions, tables.availability):
            assert (await connection.execute(select(table))).all() == []
    await database.close()


def _upgrade_to(connection: Connection, revision: str) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    command.upgrade(config, revision)


async def test_two_databases_have_two_incarnations(sqlite_url: str, tmp_path: Path) -> None:
    found = set()
    for url in (sqlite_url, f"sqlite+aiosqlite:///{tmp_path / 'other.sqlite'}"):
        await migrate(url)
        database = Database(url)
        found.add(await incarnation(database))
        await database.close()
    assert len(found) == 2


def test_several_processes_may_start_at_once(database_url: str) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(_migrate_in_a_process, [database_url] * 4)) == [HEAD] * 4


async def test_a_new_file_that_somebody_else_writes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "imv.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(0.2, other.rollback)
    assert await migrate(f"sqlite+aiosqlite:///{path}") == HEAD
    other.close()


async def test_a_step_that_fails_leaves_no_half_of_it(database_url: str) -> None:
    database = Database(database_url)
    async with database.write() as connection:
        await connection.run_sync(tables.instance.create)
    with pytest.raises(Exception, match="instance"):
        await migrate(database_url)
    async with database.read() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await database.close()
    assert names == ["instance"]


async def test_a_newer_programs_database_is_refused_and_not_changed(migrated_url: str) -> None:
    await _set_revision(migrated_url, "9999")
    with pytest.raises(Misconfigured, match=r"revision 9999.*install the newer program"):
        await migrate(migrated_url)
    assert await current(migrated_url) == "9999"


def test_asking_for_the_revision_makes_no_file(tmp_path: Path) -> None:
    assert asyncio.run(current(f"sqlite+aiosqlite:///{tmp_path / 'none.sqlite'}")) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("start", [0, 100])
@pytest.mark.usefixtures("driver_threads_end")
async def test_a_damaged_file_is_named_with_what_to_do(
    migrated_sqlite_url: str, tmp_path: Path, start: int
) -> None:
    path = tmp_path / "imv.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:start] + b"\xff" * (len(whole) - start))
    for ask in (migrate, current):
        with pytest.raises(Misconfigured, match=r"imv\.sqlite is damaged.*restore a backup"):
            await ask(migrated_sqlite_url)


@pytest.mark.usefixtures("driver_threads_end")
async def test_a_folder_that_is_not_there_is_an_engine_that_does_not_answer(
    tmp_path: Path,
) -> None:
    with pytest.raises(EngineDown, match="unable to open"):
        await migrate(f"sqlite+aiosqlite:///{tmp_path / 'none' / 'imv.sqlite'}")


async def test_a_postgresql_database_that_is_not_there_is_misconfigured(
    postgres_databases: Databases,
) -> None:
    with pytest.raises(Misconfigured, match=r"nowhere.*check engines\.database"):
        await migrate(postgres_databases.url_of("nowhere"))


async def test_a_path_may_hold_a_percent_sign(tmp_path: Path) -> None:
    (tmp_path / "50%").mkdir()
    assert await migrate(f"sqlite+aiosqlite:///{tmp_path / '50%' / 'imv.sqlite'}") == HEAD


async def test_migrating_leaves_logging_as_it_is(sqlite_url: str) -> None:
    root, ours = logging.getLogger(), logging.getLogger("handlers.batch")
    before = (list(root.handlers), root.level, ours.disabled)
    await migrate(sqlite_url)
    assert (list(root.handlers), root.level, ours.disabled) == before


async def test_the_incarnation_can_be_renewed_by_who_restores(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(update(tables.instance).values(incarnation="another"))
    assert await incarnation(database) == "another"
