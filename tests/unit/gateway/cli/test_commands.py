"""The table of commands, and that a command waits only for what it needs."""

import subprocess
import sys

import click
import pytest

from gateway.__main__ import imv

_CONTEXT = click.Context(imv)
_HEAVY = "{'alembic', 'litestar', 'uvicorn'}"


@pytest.mark.parametrize("name", imv.list_commands(_CONTEXT))
def test_a_command_is_called_as_the_table_says(name: str) -> None:
    command = imv.get_command(_CONTEXT, name)
    assert command
    assert command.name == name


def test_an_unknown_name_is_no_command() -> None:
    assert imv.get_command(_CONTEXT, "frobnicate") is None


@pytest.mark.parametrize("module", ["send", "tail", "bench", "chaos"])
def test_a_command_that_only_asks_does_not_load_the_server(module: str) -> None:
    code = f"import sys; import gateway.cli.{module}; print(sorted({_HEAVY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
