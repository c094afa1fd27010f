"""Database engines: one writer on SQLite, a pool on PostgreSQL; driver errors become ours here."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from config.errors import Conflict, EngineDown, Misconfigured, OutcomeUnknown

_SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "busy_timeout=5000",
    "foreign_keys=ON",
    "journal_size_limit=67108864",
    "temp_store=MEMORY",
)
_POSTGRES_SETTINGS = {
    "synchronous_commit": "on",
    "statement_timeout": "30000",
    "idle_in_transaction_session_timeout": "30000",
    "application_name": "imv",
}
# SQLSTATE classes that are not the message's fault: connection, resources, operator, system.
_ENGINE_STATES = ("08", "53", "57", "58", "25006")
_CONFLICT_STATES = ("40001", "40P01", "55P03")


class Database:
    """One database: `write` and `read` transactions, on SQLite through one writer connection."""

    def __init__(self, url: str) -> None:
        """Take an SQLAlchemy URL, `sqlite+aiosqlite:///path` or `postgresql+asyncpg://…`."""
        parsed = make_url(url)
        self.dialect = parsed.get_backend_name()
        self._turn = asyncio.Lock() if self.dialect == "sqlite" else None
        self._writer = _open(parsed, write=True)
        self._reader = _open(parsed, write=False) if self.dialect == "sqlite" else self._writer

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a write transaction; commits on a clean exit and rolls back on an error.

        Raises:
            EngineDown: nothing was applied; OutcomeUnknown: the commit's answer was lost;
            Conflict: a unique key or a lock was lost to somebody else.
        """
        if self._turn is None:
            async with self._transaction(self._writer) as connection:
                yield connection
            return
        async with self._turn, self._transaction(self._writer) as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a read-only snapshot; EngineDown when the database does not answer."""
        with _translated():
            async with self._reader.connect() as connection:
                if self.dialect == "postgresql":
                    connection = await connection.execution_options(
                        isolation_level="REPEATABLE READ", postgresql_readonly=True
                    )
                async with connection.begin():
                    yield connection

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        with _translated():
            async with engine.connect() as connection:
                transaction = await connection.begin()
                try:
                    yield connection
                except BaseException:
                    with _quiet_rollback():
                        await transaction.rollback()
                    raise
                try:
                    # A commit that was asked for goes on even when its caller is cancelled.
                    await asyncio.shield(transaction.commit())
                except (OSError, InterfaceError, OperationalError, DBAPIError) as error:
                    if isinstance(error, IntegrityError):
                        raise
                    raise OutcomeUnknown("the database did not answer the commit") from error


@contextmanager
def _quiet_rollback() -> Iterator[None]:
    """Let a rollback fail on a lost connection: the database rolls back by itself then."""
    try:
        yield
    except (OSError, SQLAlchemyError):
        return


@contextmanager
def _translated() -> Iterator[None]:
    """Turn drivers' errors into ours; what is the statement's own fault stays a defect."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict("a unique key was taken") from error
    except (PoolTimeoutError, OSError) as error:
        raise EngineDown("the database does not answer") from error
    except DBAPIError as error:
        raise _named(error) from error


def _named(error: DBAPIError) -> Exception:
    state = getattr(error.orig, "sqlstate", None) or ""
    text = str(error.orig)
    if state.startswith(_CONFLICT_STATES):
        return Conflict("a lock was lost to somebody else")
    if "malformed" in text or "not a database" in text:
        return Misconfigured(f"the database file is damaged ({text}); restore a backup")
    if isinstance(error, InterfaceError | OperationalError) and not state:
        return EngineDown(f"the database refused: {text}")
    if error.connection_invalidated or state.startswith(_ENGINE_STATES):
        return EngineDown("the database does not answer")
    return error


def _open(url: URL, *, write: bool) -> AsyncEngine:
    if url.get_backend_name() == "postgresql":
        return create_async_engine(
            url,
            pool_size=8,
            max_overflow=4,
            pool_timeout=5,
            pool_pre_ping=False,
            connect_args={"timeout": 5, "command_timeout": 35, "server_settings": _POSTGRES_SETTINGS},
        )
    if url.get_backend_name() != "sqlite":
        raise Misconfigured("engines.database must be a sqlite+aiosqlite or postgresql+asyncpg URL")
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1 if write else 4,
        max_overflow=0,
        pool_timeout=30,
    )
    event.listen(engine.sync_engine, "connect", _configure_writer if write else _configure_reader)
    event.listen(engine.sync_engine, "begin", _begin_immediate if write else _begin)
    return engine


def _configure_writer(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _configure_reader(connection: Any, record: object) -> None:
    _configure_writer(connection, record)
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
