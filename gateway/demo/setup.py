"""Prepares a data folder for the demo: its network, its sources and their random secrets."""

from pathlib import Path
from random import SystemRandom
from typing import Protocol, TypeVar

import msgspec

from config.errors import Misconfigured
from config.settings import NetworkSettings, Settings
from gateway.demo.platform import FakePlatform
from gateway.demo.sources import demo_sources, fill_folder
from gateway.demo.traffic import Demo
from gateway.serving import listen


class Startable(Protocol):
    """What a command line found: settings and a data folder."""

    @property
    def settings(self) -> Settings:
        """The settings as configured."""
        ...

    @property
    def data(self) -> Path:
        """The data folder, which may not be there yet."""
        ...


Given = TypeVar("Given", bound=Startable)


def prepare_demo(instance: Given) -> tuple[Given, Demo]:
    """Return the instance with the demo's network and sources, and the demo to run beside it.

    Raises:
        Misconfigured: the configuration has a network or sources of its own, or the data folder
            cannot be written.
    """
    settings = instance.settings
    if settings.network.file or settings.sources:
        raise Misconfigured(
            "--demo brings its own network and sources; leave [network] and [[sources]] out, "
            "or start without --demo"
        )
    folder = instance.data.absolute() / "demo"
    try:
        fill_folder(instance.data, folder)
    except OSError as error:
        raise Misconfigured(
            f"data folder {instance.data}: {error.strerror}; name one that you may write to"
        ) from error
    platform = FakePlatform(listen("127.0.0.1", 0))
    settings = msgspec.structs.replace(
        settings,
        network=NetworkSettings(file=str(folder / "network.toml")),
        sources=demo_sources(folder, platform.base_url),
    )
    prepared: Given = msgspec.structs.replace(instance, settings=settings)  # type: ignore[type-var]  # a Struct
    return prepared, Demo(platform, SystemRandom())
