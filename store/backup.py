"""Copies of an SQLite database, and what must change in a database that went back in time."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from config import crash
from config.clock import Clock, from_us, to_ms, to_us
from config.errors import Misconfigured, Unavailable
from config.ids import EventId, IdFactory
from outbox.driver import fetch
from outbox.event import Event
from outbox.lease_statements import release_all
from outbox.ports import Transactions
from outbox.statements import insert_events
from store.records import Restoration
from store.tables import gates, instance

KEPT: Final = ".replaced-"
"""What the name of a replaced database goes on with; the time follows."""
_BUSY_S: Final = 5.0
_COUNT: Final = {
    "orders": "SELECT count(*) FROM orders",
    "messages": "SELECT count(*) FROM inbox",
}
_LATER: Final = {
    "orders": "SELECT count(*) FROM now.orders WHERE id NOT IN (SELECT id FROM main.orders)",
    "messages": """
SELECT count(*) FROM now.inbox AS present WHERE NOT EXISTS
(SELECT 1 FROM main.inbox WHERE source = present.source AND key = present.key)""",
}
_OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'imv' AND datname = current_database() AND pid <> pg_backend_pid()"""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds; `newest` is when its newest message came, None when it has none."""

    orders: int
    messages: int
    newest: datetime | None


class Lost(msgspec.Struct, frozen=True):
    """What the replaced database has and the backup has not."""

    orders: int
    messages: int


def back_up(database: Path, file: Path) -> Copy:
    """Copy a database, in use or not, into a new file for its owner alone; whole or not at all.

    Raises:
        Misconfigured: the database is damaged or not there, or the file cannot be written.
    """
    draft = file.with_name(file.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        # SQLite fills an empty file, and so the rights on it are ours to set.
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with _opened(database) as connection:
            connection.execute("VACUUM INTO ?", (str(draft),))
        copy = check(draft)
        sync(draft)
        draft.replace(file)
        sync(file.parent)
    except OSError as error:
        raise Misconfigured(f"{file}: {error.strerror}; name a file that can be written") from error
    finally:
        draft.unlink(missing_ok=True)
    return copy


def check(file: Path) -> Copy:
    """Read a whole backup and tell what it holds; Misconfigured when it is none, or damaged."""
    with _opened(file) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
        found += [
            f"{row[0]} misses a row" for row in connection.execute("PRAGMA foreign_key_check")
        ]
        if found != ["ok"]:
            raise Misconfigured(f"{file} is damaged ({found[0]}); take another backup")
        numbers = {name: connection.execute(sql).fetchone()[0] for name, sql in _COUNT.items()}
        (newest,) = connection.execute("SELECT max(received_us) FROM inbox").fetchone()
    return Copy(**numbers, newest=None if newest is None else from_us(newest))


def lost(file: Path, kept: Path) -> Lost | None:
    """Count what a replaced database has and the backup has not; None when it cannot be read."""
    if _beside(kept, "-wal").exists():
        return None  # it could not be read before, and its log is to be left alone
    try:
        with _opened(file) as connection:
            connection.execute("ATTACH ? AS now", (str(kept),))
            return Lost(**{n: connection.execute(sql).fetchone()[0] for n, sql in _LATER.items()})
    except Misconfigured:
        return None


def replace(database: Path, draft: Path, kept: Path) -> None:
    """Put a draft in the place of a database that nobody has open; what was there is kept.

    A crash leaves the one or the other, whole: SQLite would apply the old one's log to whatever
    stands beside it, so the log goes first, after all of it is in the old file.
    """
    _fold_log(draft)
    sync(draft)
    if database.exists():
        log, kept_log = _beside(database, "-wal"), _beside(kept, "-wal")
        if log.exists():
            # SQLite deletes the log of a file that it cannot read; somebody may need it yet.
            shutil.copyfile(log, kept_log)
            crash.here("restore.log_kept")
        if _fold_log(database):
            kept_log.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        _beside(database, "-shm").unlink(missing_ok=True)
        crash.here("restore.folded")
        # The last thing before the exchange: nobody may open one file by two names.
        os.link(database, kept)
        crash.here("restore.kept")
    draft.replace(database)
    crash.here("restore.replaced")
    sync(database.parent)


def forget_links(database: Path) -> None:
    """Take away second names that a killed restore gave the database which is still in place.

    Whoever opened it by such a name would neither see nor respect its log.
    """
    for kept in database.parent.glob(f"{database.name}{KEPT}*"):
        if database.exists() and kept.samefile(database):
            kept.unlink()


async def renew(
    database: Transactions, clock: Clock, ids: IdFactory, *, partitions: int
) -> Restoration:
    """Tell everybody that this database went back in time; in one transaction.

    A new incarnation ends the screens' cursors, so that they take snapshots; a new epoch has the gate
    built from this ledger; no relay has a lease; and an event tells consumers.

    Raises:
        Misconfigured: programs are connected to it.
    """
    now = clock.now()
    mark = ids.new(to_ms(now))
    told = Restoration(id=mark, version=1, at=now)
    async with database.write() as connection:
        await _check_alone(connection)
        await connection.execute(update(instance).values(incarnation=mark))
        await connection.execute(
            update(gates).values(epoch=mark, open=False, changed_us=to_us(now))
        )
        await release_all(connection)
        event = Event(
            id=EventId(ids.new(to_ms(now))),
            entity="instance",
            name="restored",
            key=mark,
            ordering_key=mark,
            version=told.version,
            at_us=to_us(now),
            data=msgspec.json.encode(told),
        )
        await insert_events(connection, [event], partitions)
        crash.here("restore.renewing")
    crash.here("restore.renewed")
    return told


def sync(path: Path) -> None:
    """Have a file's or a folder's content on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _check_alone(connection: AsyncConnection) -> None:
    """Refuse while others are connected; an SQLite file is locked by its folder."""
    if connection.dialect.name == "postgresql":
        ((others,),) = await fetch(connection, _OTHERS)
        if others:
            raise Misconfigured(
                f"{others} connections of imv are open on this database; "
                "stop every `imv serve` and `imv relay` first"
            )


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that is there."""
    if not file.is_file():
        raise Misconfigured(f"{file} is not there, or no file")
    try:
        with closing(sqlite3.connect(file, timeout=_BUSY_S)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise Unavailable(f"{file} is busy; try again") from error
        raise Misconfigured(f"{file} cannot be read as a database of imv: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Misconfigured(f"{file} is no sound database: {error}") from error


def _fold_log(database: Path) -> bool:
    """Bring everything from the log into the file; False when SQLite cannot read the file."""
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY_S)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError:
        return False
    return True


def _beside(database: Path, ending: str) -> Path:
    return database.with_name(database.name + ending)
