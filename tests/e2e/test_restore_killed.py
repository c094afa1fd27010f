"""A restore that is killed at any step leaves one whole database, old or new, and can be repeated."""

import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from config import crash
from store.backup import KEPT
from store.engine import Database
from store.instance import incarnation
from store.migrate import migrate
from store.tokens import TokenRow, TokenStore
from tests.chaos.roles import Warm, warm
from tests.integration.gateway.cli.instance import Place, make_place, up

POINTS = [point for point in crash.POINTS if point.startswith("restore.")]
_RENEWAL = ("restore.migrated", "restore.renewing", "restore.renewed")
_BACKED_UP, _LATER = "kept in the backup", "made after the backup"


class State(NamedTuple):
    """Which database it is, and which tokens it knows."""

    incarnation: str
    notes: list[str]


@pytest.fixture
async def parent() -> AsyncIterator[Warm]:
    """A process that starts commands without importing everything for each."""
    async with warm() as started:
        yield started


async def _token(url: str, note: str) -> None:
    database = Database(url)
    await TokenStore(database).create(TokenRow(note, ("operator",), note, 0))
    await database.close()


async def _name(url: str) -> str:
    database = Database(url)
    try:
        return await incarnation(database)
    finally:
        await database.close()


def _seen(file: Path) -> State:
    """Read a file as SQLite gives it to anybody, with its log."""
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (name,) = database.execute("SELECT incarnation FROM instance").fetchone()
        return State(
            name, [row[0] for row in database.execute("SELECT note FROM tokens ORDER BY 1")]
        )


class Crime(NamedTuple):
    """A stopped instance with a backup, and what its database is before the restore."""

    place: Place
    backup: Path
    old: State

    @property
    def database(self) -> Path:
        return self.place.folder / "var" / "imv.db"

    def others(self) -> list[Path]:
        return [
            one for one in self.database.parent.glob(f"imv.db{KEPT}*") if "-wal" not in one.name
        ]

    async def restore(self, parent: Warm, crash_at: str = "") -> int:
        """Run the command as a process; return its status."""
        environ = {crash.VARIABLE: crash_at} if crash_at else {}
        command = ("restore", str(self.backup), "--force", *self.place.options)
        role = await parent.start(self.place.folder, command, environ)
        return await role.ended


@pytest.fixture
async def crime(tmp_path: Path) -> Crime:
    """An instance that was killed: what came after its backup stands in the log alone."""
    place = make_place(tmp_path)
    live, var = tmp_path / "live.db", tmp_path / "var"
    var.mkdir(mode=0o700)
    url = f"sqlite+aiosqlite:///{live}"
    await migrate(url)
    await _token(url, _BACKED_UP)
    with closing(sqlite3.connect(live)) as reader:
        reader.execute("VACUUM INTO ?", (str(tmp_path / "backup.db"),))
        reader.execute("UPDATE instance SET incarnation = 'of-before'")
        reader.commit()
        await _token(url, _LATER)
        for ending in ("", "-wal"):
            shutil.copyfile(f"{live}{ending}", var / f"imv.db{ending}")
    assert (var / "imv.db-wal").stat().st_size > 0
    return Crime(place, tmp_path / "backup.db", State("of-before", [_BACKED_UP, _LATER]))


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_restore_leaves_one_whole_database_and_its_repeat_finishes(
    parent: Warm, crime: Crime, point: str, tmp_path: Path
) -> None:
    assert await crime.restore(parent, point) == -signal.SIGKILL
    # Looked at beside the instance, as looking folds the log.
    there = tmp_path / "there"
    shutil.copytree(crime.database.parent, there)
    found = _seen(there / "imv.db")
    if point == "restore.replaced":
        assert found.notes == [_BACKED_UP]
        assert found.incarnation not in {crime.old.incarnation, _seen(crime.backup).incarnation}
    else:
        assert found == crime.old

    assert await crime.restore(parent) == 0
    after = _seen(crime.database)
    assert after.notes == [_BACKED_UP]
    assert after.incarnation not in {found.incarnation, _seen(crime.backup).incarnation}
    assert crime.old in [_seen(one) for one in crime.others()]
    assert not list(crime.database.parent.glob("imv.db.new*"))


async def test_a_database_that_a_killed_restore_left_in_place_has_one_name_again(
    parent: Warm, crime: Crime
) -> None:
    await crime.restore(parent, "restore.kept")
    assert crime.database.stat().st_nlink == 2
    assert await crime.restore(parent) == 0
    assert [one.stat().st_nlink for one in (crime.database, *crime.others())] == [1, 1]


async def test_an_instance_that_starts_after_a_killed_restore_owns_its_database_alone(
    parent: Warm, crime: Crime
) -> None:
    await crime.restore(parent, "restore.kept")
    with up(crime.place):
        assert crime.database.stat().st_nlink == 1
        assert crime.others() == []
    assert set(crime.old.notes) <= set(_seen(crime.database).notes)


@pytest.mark.parametrize("point", _RENEWAL)
async def test_a_killed_renewal_of_postgresql_changes_all_or_nothing_and_its_repeat_finishes(
    parent: Warm, tmp_path: Path, postgres_url: str, point: str
) -> None:
    await migrate(postgres_url)
    before = await _name(postgres_url)
    place = make_place(tmp_path)
    engine = {"IMV_ENGINES_DATABASE": postgres_url}
    command = ("restore", "--after-external", *place.options)
    role = await parent.start(tmp_path, command, engine | {crash.VARIABLE: point})
    assert await role.ended == -signal.SIGKILL
    killed = await _name(postgres_url)
    assert (killed == before) == (point != "restore.renewed")
    assert await (await parent.start(tmp_path, command, engine)).ended == 0
    assert await _name(postgres_url) not in {before, killed}
