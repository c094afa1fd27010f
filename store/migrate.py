"""Brings a database to the tables of this program; safe when several processes start at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from config.errors import Misconfigured
from outbox.driver import exclude_others
from store.driver_errors import Unusable
from store.engine import Database

MIGRATION_STATEMENT_S: Final = 600.0
"""How long one statement may take, and so how long to wait for another process that migrates."""

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_MIGRATING: Final = b"imv-move"
"""Under this name one process migrates at a time."""


async def migrate(url: str) -> str:
    """Upgrade to the newest revision, all steps in one transaction, and return the revision.

    One at a time in a process (Alembic keeps the running migration in globals).

    Raises:
        Misconfigured: a newer program's database, a damaged file, a login that is refused;
        EngineDown: no answer.
    """
    async with _opened(url) as database, database.write() as connection:
        await exclude_others(connection, _MIGRATING)
        return await connection.run_sync(_upgrade)


async def current(url: str) -> str | None:
    """Return the revision of a database, None where nothing was migrated; changes nothing.

    Raises:
        Misconfigured: a damaged file, a login that is refused; EngineDown: no answer.
    """
    if _is_missing(url):
        return None
    async with _opened(url) as database, database.read() as connection:
        return await connection.run_sync(_present)


def _is_missing(url: str) -> bool:
    """Tell whether this is an SQLite file that opening would make."""
    parsed = make_url(url)
    return parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists()


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, statement_s=MIGRATION_STATEMENT_S)
    try:
        yield database
    except Unusable as error:
        raise Misconfigured(error.advice) from error
    finally:
        await database.close()


def _upgrade(connection: Connection) -> str:
    config = _config(connection)
    scripts = ScriptDirectory.from_config(config)
    _check_known(scripts, _present(connection))
    command.upgrade(config, "head")
    return str(scripts.get_current_head())


def _present(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _check_known(scripts: ScriptDirectory, revision: str | None) -> None:
    try:
        scripts.get_revision(revision or "base")
    except CommandError as error:
        raise Misconfigured(
            f"the database has revision {revision}, which this program does not know; "
            "install the newer program, or restore a backup of the older database"
        ) from error


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    # The value goes through a config parser, to which a percent sign is special.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
