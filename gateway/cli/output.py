"""How commands print: JSON for programs, plain lines and tables for people, colours where wanted."""

from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import click
import msgspec
from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])
FAILED: Final = 1

json_option: Callable[[F], F] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for programs."
)


def show_json(value: object) -> None:
    """Print one value as one line of JSON."""
    click.echo(msgspec.json.encode(value).decode())


def people(*, stderr: bool = False) -> Console:
    """Return a console that honours NO_COLOR and prints what it is given, line by line."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def plain(text: str) -> str:
    """Return text of others in a form that cannot steer a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def fail() -> NoReturn:
    """End with exit code 1 after everything was said."""
    raise SystemExit(FAILED)
