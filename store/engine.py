"""Database engines: one writer on SQLite, a pool on PostgreSQL."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar

from sqlalchemy import event, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncTransaction,
    create_async_engine,
)
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import await_only

from config.errors import Conflict, Misconfigured, OutcomeUnknown, Unavailable
from store.driver_errors import Full, meaning_of, translated
from store.tables import instance

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
T = TypeVar("T")
STATEMENT_S: Final = 30.0
"""How long one statement may take on PostgreSQL; then the server gives it up."""
_NETWORK_S: Final = 5.0
"""How long to wait for a connection, and for an answer that is overdue."""
_TOUCH: Final = update(instance).values(id=instance.c.id)
_WRITE_S: Final = 5.0
_WRITE_LOOK_S: Final = 0.001
"""How long a writer waits for the one before, and how often it looks."""
_LOCK_LOOKS: Final = 100
_LOCK_LOOK_S: Final = 0.05


class Database:
    """One database: `write` and `read` transactions, on SQLite through one writer connection."""

    def __init__(
        self, url: str, *, statement_s: float = STATEMENT_S, checkpoints: bool = False
    ) -> None:
        """Take an SQLAlchemy URL, `sqlite+aiosqlite:///path` or `postgresql+asyncpg://…`.

        Of all who write a file of SQLite, one checkpoints: the gateway. Before 3.51.3 a commit can be
        lost where one connection checkpoints a log that another has just checkpointed whole, while
        a third begins it anew (sqlite.org/wal.html#walresetbug); one who only does so after commits of
        its own never checkpoints such a log.
        """
        parsed = make_url(url)
        self._place = parsed.database or ""
        self.dialect = parsed.get_backend_name()
        self._doubted = False
        self._turn = asyncio.Lock() if self.dialect == "sqlite" else None
        self._writer = _open(parsed, statement_s, write=True)
        if self.dialect == "sqlite" and not checkpoints:
            event.listen(self._writer.sync_engine, "connect", _leave_checkpoints)
        self._reader = (
            _open(parsed, statement_s, write=False) if self.dialect == "sqlite" else self._writer
        )

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a write transaction; commits on a clean exit and rolls back on an error.

        Raises:
            EngineDown: nothing was applied; OutcomeUnknown: the commit's answer was lost;
            Conflict: a unique key or a lock was lost to somebody else.
        """
        async with AsyncExitStack() as stack:
            if self._turn is not None:
                await stack.enter_async_context(self._turn)
            try:
                async with self._transaction(self._writer) as connection:
                    yield connection
            except Unavailable:
                self._doubted = True
                raise
            self._doubted = False

    async def check_writable(self) -> None:
        """Write something if the last write failed; nothing while all is well.

        Raises:
            Unavailable: nothing can be written now, for instance on a full disk, which still reads.
        """
        if self._doubted:
            async with self.write() as connection:
                await connection.execute(_TOUCH)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a read-only snapshot; EngineDown when the database does not answer."""
        with translated(self._place):
            async with self._reader.connect() as connection:
                if self.dialect == "postgresql":
                    await connection.execution_options(
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
        with translated(self._place):
            async with engine.connect() as connection:
                transaction = await _to_the_end(_begun(connection))
                try:
                    yield connection
                except BaseException:
                    with _quiet_rollback():
                        await _to_the_end(transaction.rollback())
                    raise
                await _commit(transaction, self._place)


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


async def _begun(connection: AsyncConnection) -> AsyncTransaction:
    return await connection.begin()


@contextmanager
def _quiet_rollback() -> Iterator[None]:
    """Let a rollback fail on a lost connection: the database rolls back by itself then."""
    try:
        yield
    except (OSError, SQLAlchemyError):
        return


async def _commit(transaction: AsyncTransaction, place: str) -> None:
    """Commit; an error says what is known of it."""
    try:
        await _to_the_end(transaction.commit())
    except Exception as failure:
        raise _of_commit(failure, place) from failure


async def _to_the_end(step: Awaitable[T]) -> T:
    """Finish a step of a transaction, also when the caller is cancelled meanwhile.

    Leaving earlier would give the connection back to the pool while its step is under way, and a second
    cancellation during a rollback would leave the database locked.
    """
    work = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from work.exception()
    return work.result()


def _of_commit(failure: BaseException, place: str) -> BaseException:
    """Return what the database said for certain, else that we cannot know.

    On a full disk SQLite could not write the commit's end to its log, so it does not count.
    """
    if isinstance(failure, DBAPIError):
        meaning = meaning_of(failure, place)
        if isinstance(meaning, Conflict | Full):
            return meaning
    if isinstance(failure, DBAPIError | OSError):
        return OutcomeUnknown("the database did not answer the commit")
    return failure


def _open(url: URL, statement_s: float, *, write: bool) -> AsyncEngine:
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
