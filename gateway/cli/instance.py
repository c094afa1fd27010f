"""Finding the instance that a command is about: its settings, its data folder, running or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from config.settings import Settings, environment, load
from gateway.urls import Urls

F = TypeVar("F", bound=Callable[..., Any])


class Instance(msgspec.Struct, frozen=True):
    """What `--data` and `--config` name."""

    settings: Settings
    data: Path
    config: Path | None = None

    @property
    def embedded(self) -> bool:
        """Tell whether some engine is ours to start."""
        engines = self.settings.engines
        return not (engines.database and engines.redis and engines.nats)

    def urls(self) -> Urls:
        """Return the external engines' addresses."""
        engines = self.settings.engines
        database = engines.database or f"sqlite+aiosqlite:///{self.data / 'imv.db'}"
        return Urls(database, engines.redis, engines.nats)


def find_instance(data: str | None, config: str | None) -> Instance:
    """Read the settings and the data folder's name; see `config.settings.load` for errors."""
    environ = environment()
    chosen = config or environ.get("IMV_CONFIG")
    path = Path(chosen) if chosen else None
    folder = Path(data or environ.get("IMV_DATA") or "./var")
    return Instance(load(path, environ), folder, path)


def instance_options(command: F) -> F:
    """Add `--data` and `--config` to a command."""
    data = click.option("--data", help="Data folder (default ./var, or IMV_DATA).")
    config = click.option("--config", help="Configuration file (or IMV_CONFIG).")
    return data(config(command))
