"""`imv audit`: shows who did what by hand, and proves that nobody changed the record of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime

import click
from rich.table import Table

from config import log
from gateway.cli.instance import Instance, find_instance, instance_options
from gateway.cli.live import is_locked
from gateway.cli.offline import database_of
from gateway.cli.output import fail, json_option, people, plain, show_json
from gateway.database import open_database
from store.audit import AuditLog, AuditRow, Verdict
from store.migrate import migrate


@click.group("audit")
def audit() -> None:
    """The audit log: what people and programs did by hand, hash-chained."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="How many, newest first.")
@json_option
@instance_options
def list_command(*, limit: int, as_json: bool, data: str | None, config: str | None) -> None:
    """Show the newest entries: when, who, what, to what. The instance may run or not."""
    rows = asyncio.run(_newest(find_instance(data, config), limit))
    if as_json:
        show_json({"entries": [_shown(row) for row in rows]})
        return
    table = Table("number", "time", "who", "did", "to", box=None)
    for row in rows:
        table.add_row(
            str(row.number), _time(row), *map(plain, (row.actor, row.action, row.subject))
        )
    people().print(table)


@audit.command("verify")
@click.option(
    "--noted", help="NUMBER:DIGEST of an earlier check, which must still be in the chain."
)
@json_option
@instance_options
def verify(*, noted: str | None, as_json: bool, data: str | None, config: str | None) -> None:
    """Check the whole chain and print its head; note that elsewhere. Exit 1 where it is broken."""
    before = _noted(noted) if noted else None
    verdict = asyncio.run(_verify(find_instance(data, config), before))
    head = f"{verdict.entries}:{verdict.head.hex()}"
    if as_json:
        sound = not verdict.broken
        show_json(
            {"sound": sound, "entries": verdict.entries, "head": head, "broken": verdict.broken}
        )
    elif not verdict.broken:
        click.echo(f"{verdict.entries} entries, unbroken; head {head}")
    if verdict.broken:
        click.echo(f"imv: the audit log is broken: {verdict.broken}", err=True)
        fail()


def _noted(text: str) -> tuple[int, bytes]:
    number, _, digest = text.partition(":")
    try:
        return int(number), bytes.fromhex(digest)
    except ValueError:
        raise click.UsageError(
            "--noted is NUMBER:DIGEST, as `imv audit verify` prints it"
        ) from None


async def _newest(instance: Instance, limit: int) -> list[AuditRow]:
    async with _open_log(instance) as entries:
        return await entries.newest(limit)


async def _verify(instance: Instance, noted: tuple[int, bytes] | None) -> Verdict:
    async with _open_log(instance) as entries:
        return await entries.verify(noted)


@asynccontextmanager
async def _open_log(instance: Instance) -> AsyncIterator[AuditLog]:
    """Open the log; beside a running instance it is only read, else the database is migrated first."""
    log.configure(level="error")
    with ExitStack() as stack:
        if is_locked(instance.data):
            url = instance.urls().database
        else:
            url = stack.enter_context(database_of(instance))
            await migrate(url)
        async with open_database(url) as database:
            yield AuditLog(database)


def _shown(row: AuditRow) -> dict[str, object]:
    return {
        "number": row.number,
        "time": _time(row),
        "actor": row.actor,
        "token_id": row.token_id,
        "action": row.action,
        "subject": row.subject,
        "fingerprint": row.fingerprint,
        "digest": row.digest.hex(),
    }


def _time(row: AuditRow) -> str:
    return datetime.fromtimestamp(row.at_us / 1_000_000, UTC).isoformat(timespec="seconds")
