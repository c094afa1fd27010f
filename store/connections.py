"""Connections: how each database is opened, configured and begun."""

import asyncio
import sqlite3
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import await_only

from config.errors import Misconfigured

_SQLITE_PRAGMAS = (
    "busy_timeout=5000",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "journal_size_limit=67108864",
    "temp_store=MEMORY",
)
_POSTGRES_SETTINGS = {
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "30000",
    "application_name": "imv",
}
STATEMENT_S: Final = 30.0
"""How long one statement may take on PostgreSQL; then the server gives it up."""
_NETWORK_S: Final = 5.0
"""How long to wait for a connection, and for an answer that is overdue."""
_WRITE_S: Final = 5.0
_WRITE_LOOK_S: Final = 0.001
"""How long a writer waits for the one before, and how often it looks."""
_LOCK_LOOKS: Final = 100
_LOCK_LOOK_S: Final = 0.05


class _PromptConnection(sqlite3.Connection):
    """Ends its transaction when it is closed, whoever still holds a statement of it.

    A statement that is cut off (its caller was cancelled before it read the rows) lives as long as the
    traceback that holds its cursor. SQLite keeps a closed connection, and so its locks, until its
    last statement is gone (sqlite.org/c3ref/close.html), so nobody could write until Python's
    collector happened to come by.
    """

    def close(self) -> None:
        with suppress(sqlite3.Error):  # a lost file or a closed connection holds nothing
            self.rollback()
        super().close()


def open_engine(url: URL, statement_s: float, *, write: bool, checkpoints: bool) -> AsyncEngine:
    """Return an engine that writes or only reads; `checkpoints` is of SQLite's writer alone.

    Raises:
        Misconfigured: the URL is of another database.
    """
    if url.get_backend_name() == "postgresql":
        return create_async_engine(
            url,
            hide_parameters=True,
            pool_size=8,
            max_overflow=4,
            pool_timeout=5,
            pool_pre_ping=False,
            connect_args=_postgres_arguments(statement_s),
        )
    if url.get_backend_name() != "sqlite":
        raise Misconfigured("engines.database must be a sqlite+aiosqlite or postgresql+asyncpg URL")
    engine = create_async_engine(
        url,
        hide_parameters=True,  # they hold senders' content, and errors go to the log
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1 if write else 4,
        max_overflow=0,
        pool_timeout=30,
        pool_reset_on_return=None if write else "rollback",  # a transaction here always ends itself
        connect_args={"factory": _PromptConnection},
    )
    event.listen(engine.sync_engine, "connect", _configure_writer if write else _configure_reader)
    if write and not checkpoints:
        event.listen(engine.sync_engine, "connect", _leave_checkpoints)
    event.listen(engine.sync_engine, "begin", _begin_immediate if write else _begin)
    return engine


def _postgres_arguments(statement_s: float) -> dict[str, Any]:
    limit = {"statement_timeout": str(int(statement_s * 1000))}
    return {
        "timeout": _NETWORK_S,
        "command_timeout": statement_s + _NETWORK_S,
        "server_settings": _POSTGRES_SETTINGS | limit,
    }


def _configure_writer(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    _set(connection, *_SQLITE_PRAGMAS, "busy_timeout=0")  # it waits in `_begin_immediate`


def _leave_checkpoints(connection: Any, _record: object) -> None:
    _set(connection, "wal_autocheckpoint=0")


def _configure_reader(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    _set(connection, *_SQLITE_PRAGMAS, "query_only=ON")


def _set(connection: Any, *pragmas: str) -> None:
    """Set pragmas; a file that cannot be read is closed at once, as the pool forgets it."""
    try:
        cursor = connection.cursor()
        for pragma in pragmas:
            _patiently(cursor, f"PRAGMA {pragma}")
        cursor.close()
    except BaseException:
        connection.close()
        raise


def _patiently(cursor: Any, pragma: str) -> None:
    """Wait for others who open the file too.

    Turning a new file to WAL needs it alone, and SQLite does not wait for that under
    `busy_timeout`: of two who do it at once, one is refused at once (sqlite.org/wal.html, busy).
    """
    for _ in range(_LOCK_LOOKS):
        try:
            cursor.execute(pragma)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            await_only(asyncio.sleep(_LOCK_LOOK_S))
        else:
            return
    cursor.execute(pragma)


def _begin_immediate(connection: Any) -> None:
    """Begin to write when whoever writes now is done.

    SQLite's own wait looks again after 1, 2, 5, 10, 15, 20, 25 … ms (`sqliteDefaultBusyCallback`), so
    that a commit of two milliseconds could cost the next writer twenty-five.
    """
    driver = connection.connection.driver_connection
    for _ in range(round(_WRITE_S / _WRITE_LOOK_S)):
        try:
            await_only(driver.execute("BEGIN IMMEDIATE"))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            await_only(asyncio.sleep(_WRITE_LOOK_S))
        else:
            return
    await_only(driver.execute("BEGIN IMMEDIATE"))


def _begin(connection: Any) -> None:
    await_only(connection.connection.driver_connection.execute("BEGIN"))
