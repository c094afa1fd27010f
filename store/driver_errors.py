"""What the drivers' errors mean: the engine is down, a race was lost, or a defect of ours.

A defect stays the driver's error: it fails the same way again, whatever the engine does.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from asyncpg.exceptions import (
    DataError,
    InterfaceError,
    InvalidCachedStatementError,
    OutdatedSchemaCacheError,
    PostgresError,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from config.errors import Conflict, EngineDown
from config.log import get_log

_log = get_log("database")

# SQLSTATE classes and codes (PostgreSQL, appendix A). Unique and exclusion violations, lost
# serializations, deadlocks, locks not available:
_CONFLICT_STATES = ("23505", "23P01", "40001", "40P01", "55P03")
# Connection, resources, operator, system, and a server that has become read-only:
_ENGINE_STATES = ("08", "53", "57", "58", "25006", "25P03")
# A login that is refused, a database that is not there:
_REFUSED_STATES = ("28", "3D")

# SQLite's extended and primary result codes (sqlite.org/rescode.html).
_CONFLICT_CODES = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
    sqlite3.SQLITE_BUSY_SNAPSHOT,
}
_DAMAGED_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_ENGINE_CODES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}

DRIVER_ERRORS = (DBAPIError, sqlite3.Error, PostgresError, InterfaceError)
"""What the drivers raise, in SQLAlchemy's wrapping or not."""


class Unusable(EngineDown):
    """The database cannot be used as it is; the log says what the operator must do.

    Senders read the detail, so the place and what to do stand apart from it, in `advice`.
    """

    slug = "database-unusable"

    def __init__(self, advice: str) -> None:
        """Take what the operator must do."""
        super().__init__("the database cannot be used now; send it again later")
        self.advice = advice


class Full(EngineDown):
    """There is no room on the database's disk; nothing was applied, send it again later."""

    slug = "storage-full"


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn drivers' errors into ours; `place` names the database to people.

    Raises:
        EngineDown: the database does not answer; Unusable: it is damaged or refuses us;
        Conflict: a unique key or a lock was lost to somebody else.
    """
    try:
        yield
    except (PoolTimeoutError, OSError) as error:
        raise EngineDown("the database does not answer") from error
    except DRIVER_ERRORS as error:
        meaning = meaning_of(error, place)
        if meaning is None:
            raise
        if isinstance(meaning, Unusable):
            _log.error("database.unusable", advice=meaning.advice)
        raise meaning from error


def meaning_of(error: Exception, place: str) -> Conflict | EngineDown | None:
    """Return our error for a driver's, as it is or in SQLAlchemy's wrapping; None for a defect."""
    wrapped = error if isinstance(error, DBAPIError) else None
    cause = wrapped.orig if wrapped else error
    of_sqlite = cause if isinstance(cause, sqlite3.Error) else None
    found = _of_sqlite(of_sqlite, place) if of_sqlite else _of_postgres(cause, place)
    lost = wrapped.connection_invalidated if wrapped else _is_closed(error)
    if found is None and lost:
        return EngineDown("the connection to the database was lost")
    return found


def _is_closed(error: Exception) -> bool:
    """Tell whether asyncpg refuses a connection, and not what we want of it."""
    return isinstance(error, InterfaceError) and not isinstance(error, DataError)


def _of_sqlite(error: sqlite3.Error, place: str) -> Conflict | EngineDown | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    primary = code & 0xFF
    if code in _CONFLICT_CODES:
        return Conflict("a unique key or a lock was lost to somebody else")
    if primary in _DAMAGED_CODES:
        return Unusable(f"the database file {place} is damaged ({error}); restore a backup")
    if primary == sqlite3.SQLITE_FULL:
        return Full("there is no room to store it; send it again later")
    if primary in _ENGINE_CODES:
        return EngineDown(f"the database refused: {error}")
    return None


def _of_postgres(error: BaseException | None, place: str) -> Conflict | EngineDown | None:
    state = getattr(error, "sqlstate", None) or ""
    stale = InvalidCachedStatementError | OutdatedSchemaCacheError
    if state.startswith(_CONFLICT_STATES):
        return Conflict("a unique key or a lock was lost to somebody else")
    if isinstance(error, stale) or isinstance(getattr(error, "__cause__", None), stale):
        return Conflict("the tables were changed meanwhile")
    if state.startswith(_REFUSED_STATES):
        return Unusable(f"the database {place} refuses ({error}); check engines.database")
    if state.startswith(_ENGINE_STATES):
        return EngineDown("the database does not answer")
    return None
