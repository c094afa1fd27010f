"""A real instance and the real commands, as processes."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from config.settings import environment
from tests.e2e import instance as at
from tests.tidy.source import ROOT

COMMAND_S = 60
STOP_S = 20
_NETWORK = """\
[[markets]]
id = "uk"
currency = "GBP"

[[locations]]
id = "S-001"
kind = "store"
market = "uk"
name = "London"
latitude = 51.5
longitude = -0.1
pickup = true
"""
_CONFIGURATION = """\
[network]
file = "{folder}/network.toml"

[[sources]]
id = "partner-1"
provider = "standard_webhooks"
market = "uk"
secrets = ["plain:whsec_b25seS1mb3ItdGVzdHM="]

[[sources]]
id = "pay-1"
provider = "stripe"
market = "uk"
secrets = ["plain:only-for-tests"]
"""


class Done(msgspec.Struct, frozen=True):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The only line of JSON that it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Every line of JSON that it printed."""
        return [json.loads(line) for line in self.out.splitlines()]


class Place(msgspec.Struct, frozen=True):
    """A configuration and a data folder, running or not."""

    folder: Path

    @property
    def options(self) -> list[str]:
        """What names this instance to a command."""
        return ["--data", str(self.folder / "var"), "--config", str(self.folder / "imv.toml")]

    def file(self, name: str, text: str) -> str:
        """Write a file beside the instance and return its path."""
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def imv(self, *arguments: str, **environ: str) -> Done:
        """Run a command about this instance to its end."""
        return run(*arguments, *self.options, **environ)


def run(*arguments: str, **environ: str) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        _command(*arguments),
        cwd=ROOT,
        env={**environment(), **environ},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def make_place(folder: Path) -> Place:
    """Write the configuration of an instance that does not run yet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.toml").write_text(_NETWORK)
    (folder / "imv.toml").write_text(_CONFIGURATION.format(folder=folder))
    return Place(folder)


@contextlib.contextmanager
def up(place: Place) -> Iterator[dict[str, Any]]:
    """Run `imv up` and give its ready line; at the end stop it as an operator would."""
    config, data = place.folder / "imv.toml", place.folder / "var"
    log = place.folder / "up.log"
    with (
        log.open("wb") as file,
        at.running(*at.up_arguments(config, data), stderr=file.fileno()) as instance,
    ):
        yield instance.ready
        assert instance.stop() == 0, log.read_text()


@contextlib.contextmanager
def following(place: Place, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that goes on; it is killed at the end if it has not ended."""
    process = subprocess.Popen(
        _command(*arguments, *place.options),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=STOP_S)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gateway", *arguments]
