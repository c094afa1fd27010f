"""The doctor judges what it is given, and survives its own checks."""

import asyncio
from pathlib import Path

import pytest

from config.clock import SystemClock
from config.settings import NetworkSettings, Settings, SourceSettings
from gateway.cli.checks import database, files, machine
from gateway.cli.checks.finding import Finding, Subject, ok
from gateway.cli.doctor import examine
from gateway.cli.instance import Instance
from gateway.urls import Urls


def subject(folder: Path, settings: Settings | None = None) -> Subject:
    url = f"sqlite+aiosqlite:///{folder / 'imv.db'}"
    instance = Instance(settings or Settings(), folder)
    return Subject(instance, {}, SystemClock(), Urls(url, "", ()))


async def fine(_subject: Subject) -> list[Finding]:
    await asyncio.sleep(0)
    return [ok("fine", "well")]


async def crashing(_subject: Subject) -> list[Finding]:
    raise ZeroDivisionError


async def test_a_check_that_crashes_is_a_finding_and_stops_no_other(tmp_path: Path) -> None:
    found = await examine(subject(tmp_path), [crashing, fine])
    assert [(one.check, one.level) for one in found] == [("crashing", "fail"), ("fine", "ok")]
    assert "ZeroDivisionError" in found[0].detail


async def test_a_secret_that_is_not_there_is_named_and_none_is_shown(tmp_path: Path) -> None:
    sources = (
        SourceSettings(id="a", provider="shopify", market="uk", secrets=("env:NOT_SET",)),
        SourceSettings(id="b", provider="shopify", market="uk", secrets=("plain:hush",)),
    )
    (found,) = await files.secrets(subject(tmp_path, Settings(sources=sources)))
    assert found.level == "fail"
    assert "NOT_SET" in found.detail
    assert "hush" not in found.detail


async def test_a_source_without_its_market_or_with_an_unknown_provider_fails(
    tmp_path: Path,
) -> None:
    file = tmp_path / "network.toml"
    file.write_text('[[markets]]\nid = "uk"\ncurrency = "GBP"\n')
    source = SourceSettings(id="a", provider="acme", market="fr", secrets=("plain:x",))
    settings = Settings(network=NetworkSettings(file=str(file)), sources=(source,))
    (market,) = await files.network(subject(tmp_path, settings))
    (opened,) = await files.sources(subject(tmp_path, settings))
    assert (market.level, opened.level) == ("fail", "fail")
    assert "acme" in opened.detail


async def test_a_data_folder_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (found,) = await files.data_folder(subject(tmp_path / "file"))
    assert found.level == "fail"


async def test_a_damaged_database_fails_and_one_that_is_not_there_does_not(
    tmp_path: Path,
) -> None:
    (missing,) = await database.database(subject(tmp_path))
    assert missing.level == "ok"
    (tmp_path / "imv.db").write_bytes(b"not a database at all" * 100)
    found = await examine(subject(tmp_path), [database.database])
    assert {one.level for one in found} == {"fail"}


async def test_an_empty_database_is_told_to_be_migrated(tmp_path: Path) -> None:
    (tmp_path / "imv.db").touch()
    by_name = {one.check: one for one in await database.database(subject(tmp_path))}
    assert by_name["database revision"].level == "fail"
    assert "imv migrate" in by_name["database revision"].advice


@pytest.mark.parametrize("check", [machine.python, machine.clock, machine.engine_programs])
async def test_this_machine_has_what_is_needed(tmp_path: Path, check: object) -> None:
    found = await examine(subject(tmp_path), [check])  # type: ignore[list-item]
    assert found
    assert [one for one in found if one.level == "fail"] == []
