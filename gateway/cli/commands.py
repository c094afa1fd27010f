"""The commands by name, each imported when it is called: what one needs, no other waits for."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

import click

_COMMANDS: Final[Mapping[str, str]] = {
    "audit": "audit:audit",
    "backup": "backup:backup_command",
    "bench": "bench:bench",
    "catalog": "catalog:catalog",
    "chaos": "chaos:chaos",
    "contracts": "contracts:contracts",
    "doctor": "doctor:doctor",
    "migrate": "roles:migrate_command",
    "relay": "roles:relay",
    "restore": "backup:restore_command",
    "send": "send:send",
    "serve": "roles:serve",
    "stock": "stock:stock",
    "tail": "tail:tail",
    "token": "tokens:token",
    "up": "roles:up_command",
}
"""Where each one stands in this package: module and function."""


class Commands(click.Group):
    """All commands; after Click's own way for lazily loaded subcommands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - Click's signature
        """Return every name, in the order in which help shows them."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, None for a name that is none."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, function = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(f"gateway.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command
