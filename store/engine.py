"""The database: write and read transactions, through one writer on SQLite and a pool on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final, TypeVar

from sqlalchemy import update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncTransaction,
)

from config.errors import Conflict, OutcomeUnknown, Unavailable
from store.connections import STATEMENT_S, open_engine
from store.driver_errors import Full, meaning_of, translated
from store.tables import instance

T = TypeVar("T")
_TOUCH: Final = update(instance).values(id=instance.c.id)


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
        self._writer = open_engine(parsed, statement_s, write=True, checkpoints=checkpoints)
        self._reader = self._writer
        if self.dialect == "sqlite":
            self._reader = open_engine(parsed, statement_s, write=False, checkpoints=False)

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
