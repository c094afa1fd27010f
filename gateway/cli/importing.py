"""Imports, whatever their rows: judged whole, then applied by the running instance or offline."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import uvloop
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from config.errors import ImvError, Unavailable
from gateway.cli.csv_file import SHOWN_MAX, BadFile, Sheet
from gateway.cli.instance import Instance
from gateway.cli.live import ask, client, find_running, told
from gateway.cli.offline import open_offline, submit
from gateway.cli.output import fail, people, plain, show_json
from gateway.running import Running
from handlers.actions import ImportCatalog, ImportStock

ROWS_AT_ONCE: Final = 1000
BYTES_AT_ONCE: Final = 512 * 1024
"""Half of what one request may have; a file with more rows is applied in parts."""

Task = ImportStock | ImportCatalog
Apply = Callable[[Task], Any]
"""Applies one part whole, or raises."""


class Import(msgspec.Struct, frozen=True):
    """One kind of import: its route, and the task that some rows make."""

    name: str
    path: str
    task: Callable[[Any], Task]


def run_import(
    kind: Import, file: Path, instance: Instance, sheet: Sheet[Any], *, as_json: bool
) -> None:
    """Apply a good file and say so; list what is wrong with a bad one and exit 1.

    Raises:
        ImvError: the instance refused or is not able; says how many rows were applied before.
    """
    if sheet.problems:
        _refuse(file, sheet, as_json=as_json)
    if not sheet.rows:
        raise BadFile(f"{file} has no rows; nothing was applied")
    parts = [*parts_of(sheet.rows)]
    running = find_running(instance)
    with _progress(kind.name, len(sheet.rows)) as advance:
        if running:
            _apply_live(kind, running, parts, advance)
        else:
            _apply_offline(kind, instance, parts, advance)
    if as_json:
        show_json({"applied": True, "rows": len(sheet.rows)})
    else:
        click.echo(f"{file}: {len(sheet.rows)} rows applied")


def parts_of(rows: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Cut the rows into parts that one request can carry."""
    part: list[Any] = []
    size = 0
    for row in rows:
        row_bytes = len(msgspec.json.encode(row)) + 1
        if part and (len(part) >= ROWS_AT_ONCE or size + row_bytes > BYTES_AT_ONCE):
            yield tuple(part)
            part, size = [], 0
        part.append(row)
        size += row_bytes
    if part:
        yield tuple(part)


def _refuse(file: Path, sheet: Sheet[Any], *, as_json: bool) -> None:
    """List the bad rows, the first of them, and how many there are; exit 1."""
    shown, count = sheet.problems[:SHOWN_MAX], len(sheet.problems)
    if as_json:
        show_json({"applied": False, "bad_rows": count, "problems": shown})
    for problem in shown:
        click.echo(f"{file}, line {problem.line}: {plain(problem.reason)}", err=True)
    if count > len(shown):
        click.echo(f"… and {count - len(shown)} more", err=True)
    click.echo(f"imv: {file} has {count} bad rows; nothing was applied", err=True)
    fail()


def _apply_live(
    kind: Import, running: Running, parts: list[Any], advance: Callable[[int], None]
) -> None:
    with client(running.http, running.token) as http:
        for number, part in enumerate(parts):
            body = msgspec.json.encode(kind.task(part))
            headers = {"content-type": "application/json"}
            with _counted(parts, number):
                told(ask(http, "POST", kind.path, body=body, headers=headers))
            advance(len(part))


def _apply_offline(
    kind: Import, instance: Instance, parts: list[Any], advance: Callable[[int], None]
) -> None:
    async def apply() -> None:
        async with open_offline(instance) as house:
            for number, part in enumerate(parts):
                with _counted(parts, number):
                    await submit(house, kind.task(part), f"imv {kind.name} import")
                advance(len(part))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(apply())


@contextmanager
def _counted(parts: list[Any], number: int) -> Iterator[None]:
    """Add to an error how far the import came; a repeat of the whole file does no harm."""
    try:
        yield
    except ImvError as error:
        done = sum(map(len, parts[:number]))
        rest = f"{done} rows were applied before; import the whole file again" if done else ""
        detail = "; ".join(part for part in (error.detail, rest or "nothing was applied") if part)
        raise (Unavailable if isinstance(error, Unavailable) else BadFile)(detail) from error


@contextmanager
def _progress(name: str, rows: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and nothing elsewhere."""
    console = people(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=rows)
        yield lambda count: bar.advance(task, count)
