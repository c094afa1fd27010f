"""Checks of the database: reachable, migrated, durable."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import make_url

from config.errors import ImvError
from gateway.cli.checks.finding import Finding, Subject, fail, judged, ok
from gateway.database import open_database
from store import migrations
from store.migrate import current

_SKEW: Final = timedelta(seconds=5)
_DURABLE: Final = ("synchronous_commit", "fsync", "full_page_writes")


async def database(subject: Subject) -> list[Finding]:
    """Look at whichever database it is."""
    url = subject.urls.database
    if make_url(url).get_backend_name() == "sqlite":
        return await _file(url)
    try:
        return [*await _postgres(subject), await _revision(url)]
    except ImvError as error:
        return [fail("database", error.detail, "start PostgreSQL, or correct engines.database")]


async def _file(url: str) -> list[Finding]:
    path = Path(make_url(url).database or "")
    if not _is_there(path):
        return [ok("database", f"{path} is not there yet; it is made on the first run")]
    return [_sqlite(path), await _revision(url)]


def _is_there(path: Path) -> bool:
    return path.exists()


def _sqlite(path: Path) -> Finding:
    """Look at what the file keeps of its settings; the rest our one writer sets each time."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return fail("database", f"{path}: {error}", "restore a backup, or free the file")
    wrong = "" if journal == "wal" else f"journal_mode is {journal}, not wal"
    right = f"{path}: journal_mode wal; the writer sets synchronous FULL on each connection"
    return judged("database", wrong, right, "start the instance once; it sets what is wrong")


async def _postgres(subject: Subject) -> list[Finding]:
    """Ask the server for what decides whether a commit survives, and for its clock."""
    async with (
        open_database(subject.urls.database) as transactions,
        transactions.read() as connection,
    ):
        names = ", ".join(f"current_setting('{name}') AS {name}" for name in _DURABLE)
        query = text(f"SELECT version() AS version, clock_timestamp() AS now, {names}")
        row = (await connection.execute(query)).one()
        here = subject.clock.now()
    off = [f"{name} is {row[n]}" for n, name in enumerate(_DURABLE, 2) if row[n] != "on"]
    version = str(row.version).split(" on ", 1)[0]
    advice = "set it to on for this server or role"
    skew = abs(here - row.now)
    wrong = f"the database's clock is {skew.total_seconds():.0f} s from ours"
    return [
        judged("database", "; ".join(off), f"{version}, {', '.join(_DURABLE)} on", advice),
        judged("database clock", wrong if skew > _SKEW else "", "agrees", "run NTP on both"),
    ]


async def _revision(url: str) -> Finding:
    there, head = await current(url), _head()
    wrong = f"at revision {there or 'none'}, not {head}" if there != head else ""
    return judged("database revision", wrong, head, "run `imv migrate`, or start `imv up`")


def _head() -> str:
    config: Any = Config()
    config.set_main_option("script_location", str(migrations.__path__[0]).replace("%", "%%"))
    return str(ScriptDirectory.from_config(config).get_current_head())
