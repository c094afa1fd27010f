"""`imv backup` and `imv restore`: the database as one file, and back."""

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from config import crash, log
from config.clock import Clock, SystemClock, iso
from config.errors import Misconfigured
from config.ids import IdFactory
from gateway.cli.instance import Instance, find_instance, instance_options
from gateway.cli.output import json_option, show_json
from gateway.database import open_database
from gateway.engines.embedded import sqlite_url
from gateway.engines.folder import DataFolder
from outbox.beginning import agree
from store import backup
from store.migrate import migrate

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_EXTERNAL_BACKUP: Final = (
    "this database is an external one: back it up with its own tools, for PostgreSQL "
    "`pg_dump --format=custom --file=FILE` or a base backup with its log"
)
_EXTERNAL_RESTORE: Final = (
    "this database is an external one: stop every `imv serve` and `imv relay`, restore it with its own "
    "tools (`pg_restore` or the base backup), then run `imv restore --after-external` before they start"
)


@click.command("backup")
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@json_option
@instance_options
def backup_command(
    *, file: Path, force: bool, as_json: bool, data: str | None, config: str | None
) -> None:
    """Copy the database into FILE, while the instance runs or not, and check the copy."""
    instance = find_instance(data, config)
    if instance.settings.engines.database:
        raise Misconfigured(_EXTERNAL_BACKUP)
    if file.exists() and not force:
        raise Misconfigured(f"{file} is there already; name another one, or say --force")
    copy = backup.back_up(instance.data / "imv.db", file)
    told = {"file": str(file), "bytes": file.stat().st_size, **_content(copy)}
    if as_json:
        show_json(told)
        return
    click.echo(f"{file}: {copy.orders} orders, {copy.messages} messages, checked")
    click.echo("it holds customers' data: keep it as you keep the database", err=True)


@click.command("restore")
@click.argument("file", type=_FILE, required=False)
@click.option("--after-external", is_flag=True, help="The database was restored by its own tools.")
@click.option("--force", is_flag=True, help="Replace the database that is there; it is kept aside.")
@json_option
@instance_options
def restore_command(
    *,
    file: Path | None,
    after_external: bool,
    force: bool,
    as_json: bool,
    data: str | None,
    config: str | None,
) -> None:
    """Go back to a backup, while nothing runs; gate, relay, screens and consumers learn of it."""
    log.configure(level="error")
    instance = find_instance(data, config)
    if after_external == (file is not None):
        raise click.UsageError("name the backup's FILE, or say --after-external")
    if file is None:
        told = _after_external(instance)
    elif instance.settings.engines.database:
        raise Misconfigured(_EXTERNAL_RESTORE)
    else:
        told = _restore(instance, file, force=force)
    if as_json:
        show_json(told)
        return
    for line in _lines(told):
        click.echo(line)


def _restore(instance: Instance, file: Path, *, force: bool) -> dict[str, Any]:
    copy = backup.check(file)
    crash.here("restore.checked")
    clock = SystemClock()
    with DataFolder(instance.data) as folder:
        database = folder.path / "imv.db"
        if database.exists() and not force:
            raise Misconfigured(
                f"{database} is there already; with --force it is kept aside and replaced"
            )
        draft, kept = folder.path / "imv.db.new", folder.path / _kept_name(clock.now())
        _remove(draft)
        backup.forget_links(database)
        try:
            shutil.copyfile(file, draft)
            crash.here("restore.copied")
            # Before it is in its place: a half-renewed database is never one that may be started.
            incarnation = asyncio.run(_renew(sqlite_url(folder.path, draft.name), instance, clock))
            backup.replace(database, draft, kept)
        except OSError as error:
            raise Misconfigured(f"{database}: {error.strerror}; nothing was replaced") from error
        finally:
            _remove(draft)
    told: dict[str, Any] = {"restored": str(file), "incarnation": incarnation, **_content(copy)}
    if kept.exists():
        lost = backup.lost(file, kept)
        told["kept"] = str(kept)
        told["lost"] = None if lost is None else {"orders": lost.orders, "messages": lost.messages}
    return told


def _after_external(instance: Instance) -> dict[str, Any]:
    clock, external = SystemClock(), instance.settings.engines.database
    if external:
        return {"incarnation": asyncio.run(_renew(external, instance, clock))}
    with DataFolder(instance.data) as folder:
        if not (folder.path / "imv.db").exists():
            raise Misconfigured(f"{folder.path} has no imv.db; put it there, or name the backup")
        return {"incarnation": asyncio.run(_renew(sqlite_url(folder.path), instance, clock))}


async def _renew(url: str, instance: Instance, clock: Clock) -> str:
    await migrate(url)
    crash.here("restore.migrated")
    async with open_database(url) as database:
        partitions = await agree(database, instance.settings.relay.partitions)
        return (await backup.renew(database, clock, IdFactory(), partitions=partitions)).id


def _content(copy: backup.Copy) -> dict[str, Any]:
    newest = iso(copy.newest) if copy.newest else None
    return {"orders": copy.orders, "messages": copy.messages, "newest": newest}


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [f"the database is renewed as {told['incarnation']}"]
    if "restored" in told:
        newest = told["newest"] or "never"
        lines.append(
            f"restored {told['orders']} orders and {told['messages']} messages; the newest came {newest}"
        )
    if "kept" in told:
        lost = told["lost"]
        gone = f"{lost['orders']} orders and {lost['messages']} messages" if lost else "what"
        lines.append(
            f"{gone} came after the backup and are not in it; the old database is {told['kept']}"
        )
    lines.append("what senders send again is taken anew")
    lines.append("a token that was revoked after the backup is live again: revoke it")
    return lines


def _kept_name(now: datetime) -> str:
    return f"imv.db{backup.KEPT}{now.astimezone(UTC):%Y%m%dT%H%M%S%f}"


def _remove(draft: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        draft.with_name(draft.name + ending).unlink(missing_ok=True)
