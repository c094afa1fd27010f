"""What `imv up --demo` adds to the settings, so that commands know the demo's sources and places."""

import msgspec

from config.settings import NetworkSettings
from gateway.cli.instance import Instance, find_instance
from gateway.demo.sources import demo_sources


def find_whole(data: str | None, config: str | None) -> Instance:
    """Find the instance; where it has no network and no sources but a demo's, with those."""
    instance = find_instance(data, config)
    settings, folder = instance.settings, instance.data.absolute() / "demo"
    network = folder / "network.toml"
    if settings.sources or settings.network.file or not network.is_file():
        return instance
    settings = msgspec.structs.replace(
        settings,
        network=NetworkSettings(file=str(network)),
        sources=demo_sources(folder, _nowhere()),
    )
    return msgspec.structs.replace(instance, settings=settings)


def _nowhere() -> str:
    """Return an address for the demo's platforms, which run with the demo only."""
    return "http://127.0.0.1:9"
