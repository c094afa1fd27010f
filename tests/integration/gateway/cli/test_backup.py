"""`imv backup` and `imv restore` as commands: what they make, and what they refuse."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from config.errors import Misconfigured
from gateway.__main__ import imv
from gateway.engines.folder import DataFolder
from store.engine import Database
from store.gate_ledger import insert_epoch, read_gate
from store.instance import incarnation
from store.migrate import migrate
from tests import engines
from tests.integration.gateway.cli.instance import make_place


class Here:
    """A stopped instance, and commands about it in this process."""

    def __init__(self, folder: Path, **environ: str) -> None:
        place = make_place(folder)
        self.folder = place.folder
        self._options = place.options
        self._environ = environ

    @property
    def database(self) -> Path:
        return self.folder / "var" / "imv.db"

    def done(self, *arguments: str) -> Any:
        """Run a command that must succeed; return what it tells."""
        found = self._run(*arguments, "--json")
        if found.exception:
            raise found.exception
        return msgspec.json.decode(found.stdout)

    def refused(self, *arguments: str) -> str:
        """Run a command that must say what to do; return its words."""
        found = self._run(*arguments)
        assert isinstance(found.exception, Misconfigured), found.output
        return found.exception.detail

    def _run(self, *arguments: str) -> Any:
        command = [*arguments, *self._options]
        return CliRunner().invoke(imv, command, env=self._environ, standalone_mode=False)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    """A stopped instance whose database is there."""
    made = Here(tmp_path)
    made.done("migrate")
    return made


def test_a_backup_is_private_checked_and_never_written_over_unasked(here: Here) -> None:
    file = here.folder / "copy.db"
    told = here.done("backup", str(file))
    assert (told["orders"], told["newest"]) == (0, None)
    assert file.stat().st_mode & 0o077 == 0
    assert "say --force" in here.refused("backup", str(file))
    here.done("backup", str(file), "--force")
    assert sorted(one.name for one in here.folder.glob("copy*")) == ["copy.db"]


def test_a_backup_into_nowhere_or_of_nothing_is_refused(here: Here) -> None:
    assert "name a file" in here.refused("backup", str(here.folder / "nowhere" / "copy.db"))
    here.database.unlink()
    assert "is not there" in here.refused("backup", str(here.folder / "copy.db"))
    assert not (here.folder / "copy.db").exists()


def test_what_is_no_sound_backup_is_refused_and_nothing_is_replaced(here: Here) -> None:
    before, good = here.database.read_bytes(), here.folder / "good.db"
    here.done("backup", str(good))
    torn = good.read_bytes()
    torn = torn[:8192] + bytes(len(torn) - 8192)
    for name, content in {"text": b"no database", "torn": torn, "empty": b""}.items():
        bad = here.folder / name
        bad.write_bytes(content)
        assert str(bad) in here.refused("restore", str(bad), "--force")
    assert "is not there" in here.refused("restore", str(here.folder / "nowhere"), "--force")
    assert here.database.read_bytes() == before


def test_a_newer_programs_backup_is_refused_and_nothing_is_replaced(here: Here) -> None:
    newer, before = here.folder / "newer.db", here.database.read_bytes()
    here.done("backup", str(newer))
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "install the newer program" in here.refused("restore", str(newer), "--force")
    assert here.database.read_bytes() == before
    assert {one.name for one in here.database.parent.iterdir()} <= {"imv.db", "lock"}


def test_a_damaged_database_can_be_replaced_and_is_kept_with_its_log(here: Here) -> None:
    good, log = here.folder / "good.db", here.database.with_name("imv.db-wal")
    here.done("backup", str(good))
    here.database.write_bytes(b"damaged" * 1000)
    log.write_bytes(b"what was here")
    assert "--force" in here.refused("restore", str(good))
    told = here.done("restore", str(good), "--force")
    kept = Path(told["kept"])
    assert told["lost"] is None
    assert kept.read_bytes() == b"damaged" * 1000
    assert kept.with_name(kept.name + "-wal").read_bytes() == b"what was here"
    assert not log.exists()
    here.done("migrate")


def test_files_that_were_copied_by_other_means_are_renewed(here: Here) -> None:
    told = here.done("restore", "--after-external")
    with sqlite3.connect(here.database) as connection:
        found = connection.execute("SELECT incarnation FROM instance").fetchone()
    assert found == (told["incarnation"],)
    for wrong in ((), ("file", "--after-external")):
        with pytest.raises(click.UsageError):
            here.done("restore", *wrong)


def test_nothing_is_restored_under_a_running_instance(here: Here) -> None:
    good = here.folder / "good.db"
    here.done("backup", str(good))
    with DataFolder(here.database.parent):
        assert "in use by process" in here.refused("restore", str(good), "--force")


def test_postgresql_is_left_to_its_own_tools_and_renewed_afterwards(
    tmp_path: Path, postgres_url: str
) -> None:
    here = Here(tmp_path, IMV_ENGINES_DATABASE=postgres_url)
    engines.apart(migrate(postgres_url))
    engines.apart(_with_gate(postgres_url))
    assert "pg_dump" in here.refused("backup", "file")
    assert "--after-external" in here.refused("restore", "file")
    told = here.done("restore", "--after-external")
    engines.apart(_is_renewed(postgres_url, told["incarnation"]))


def test_postgresql_is_not_renewed_while_a_gateway_is_connected(
    tmp_path: Path, postgres_url: str
) -> None:
    here = Here(tmp_path, IMV_ENGINES_DATABASE=postgres_url)
    engines.apart(migrate(postgres_url))

    async def connected() -> None:
        database = Database(postgres_url)
        async with database.read():
            told = await asyncio.to_thread(here.refused, "restore", "--after-external")
        await database.close()
        assert "stop every `imv serve`" in told

    engines.apart(connected())


async def _with_gate(url: str) -> None:
    database = Database(url)
    async with database.write() as connection:
        await insert_epoch(connection, "uk", "epoch-of-before", now_us=1)  # type: ignore[arg-type]
    await database.close()


async def _is_renewed(url: str, name: str) -> None:
    database = Database(url)
    assert await incarnation(database) == name
    async with database.read() as connection:
        gate = await read_gate(connection, "uk")  # type: ignore[arg-type]
    await database.close()
    assert gate
    assert gate.epoch == name
    assert not gate.open
