"""Preparing a data folder: private, stable over starts, and fit for the channels."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from config.clock import SystemClock
from config.errors import Misconfigured
from config.settings import Settings, decode
from gateway.cli.instance import Instance
from gateway.demo.setup import prepare_demo
from gateway.engines.folder import DataFolder
from gateway.lifespan import read_network
from gateway.sources import open_channels

SOURCES = ["shop-main", "pos-1", "pay-1", "market-1", "partner-1"]


@contextmanager
def prepared(data: Path, settings: Settings | None = None) -> Iterator[Settings]:
    """Prepare, give the settings, and close the socket."""
    instance, demo = prepare_demo(Instance(settings or Settings(), data))
    try:
        assert instance.data == data
        yield instance.settings
    finally:
        demo.close()


def secrets_in(data: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in (data / "demo" / "secrets").iterdir()}


def test_a_new_folder_and_everything_secret_in_it_is_private(tmp_path: Path) -> None:
    data = tmp_path / "new" / "var"
    with prepared(data):
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert sorted(secrets_in(data)) == sorted(SOURCES)
        for file in (data / "demo" / "secrets").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_start_goes_on_with_the_same_secrets(tmp_path: Path) -> None:
    with prepared(tmp_path):
        before = secrets_in(tmp_path)
    with prepared(tmp_path):
        assert secrets_in(tmp_path) == before


def test_another_folder_has_other_secrets(tmp_path: Path) -> None:
    with prepared(tmp_path / "one"), prepared(tmp_path / "two"):
        one, two = (set(secrets_in(tmp_path / name).values()) for name in ("one", "two"))
        assert not one & two


def test_the_settings_hold_five_sources_and_no_secret(tmp_path: Path) -> None:
    with prepared(tmp_path) as settings:
        assert [source.id for source in settings.sources] == SOURCES
        assert not any(text in repr(settings) for text in secrets_in(tmp_path).values())


async def test_every_channel_opens_and_the_network_is_read(tmp_path: Path) -> None:
    with prepared(tmp_path) as settings:
        async with httpx.AsyncClient() as client:
            channels, platforms = open_channels(settings, {}, client, SystemClock())
        assert sorted(channels) == sorted(SOURCES)
        assert sorted(platforms) == ["market-1", "pos-1"]
        assert len(read_network(settings).locations) == 8


def test_the_prepared_folder_can_be_opened_and_locked(tmp_path: Path) -> None:
    with prepared(tmp_path / "var"), DataFolder(tmp_path / "var") as folder:
        assert folder.path == (tmp_path / "var").resolve()


def test_what_is_not_about_the_demo_stays(tmp_path: Path) -> None:
    with prepared(tmp_path, decode({"gateway": {"port": 9000}}, {})) as settings:
        assert settings.gateway.port == 9000


@pytest.mark.parametrize(
    "own",
    [
        {"network": {"file": "network.toml"}},
        {"sources": [{"id": "shop-main", "provider": "shopify", "market": "uk"}]},
    ],
)
def test_a_network_or_sources_of_ones_own_are_not_mixed_with_the_demos(
    tmp_path: Path, own: dict[str, object]
) -> None:
    with pytest.raises(Misconfigured, match=r"leave .* out"), prepared(tmp_path, decode(own, {})):
        pass


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(Misconfigured, match="data folder"), prepared(tmp_path / "var"):
        pass
