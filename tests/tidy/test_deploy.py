"""The container and the compose file: roles, users, versions and durable engines."""

import itertools
import json
import re
import shlex
import subprocess
import tomllib
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from config.ids import MarketId, SourceId
from config.settings import decode
from gateway.engines.nats import find_nats
from handlers.directory import Directory, Source
from routing.network import parse
from tests.tidy.source import ROOT

ROLES = {"serve", "relay", "migrate"}
DURABLE_NATS = ("sync_interval: always", "max_payload: 8MB", 'write_deadline: "5s"')


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    return document


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Every instruction with its argument, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def is_pinned(image: str) -> bool:
    name, colon, tag = image.partition(":")
    return bool(name and colon) and bool(re.match(r"\d", tag))


def test_the_roles_of_the_image_run_as_services(compose: dict[str, Any]) -> None:
    ours = [service for service in compose["services"].values() if "build" in service]
    assert {service["command"][0] for service in ours} == ROLES


def test_every_image_has_a_version(
    compose: dict[str, Any], dockerfile: list[tuple[str, str]]
) -> None:
    images = [rest.split()[0] for word, rest in dockerfile if word == "FROM"]
    images += [service["image"] for service in compose["services"].values()]
    assert [image for image in images if not is_pinned(image)] == []


def test_the_image_takes_a_role_and_does_not_run_as_root(
    dockerfile: list[tuple[str, str]],
) -> None:
    last = dict(dockerfile)
    assert json.loads(last["ENTRYPOINT"]) == ["imv"]
    assert json.loads(last["CMD"]) == ["serve"]
    assert int(last["USER"]) > 0
    words = [word for word, _ in dockerfile]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "/livez" in last["HEALTHCHECK"]


def test_the_image_installs_nothing_without_its_hash(dockerfile: list[tuple[str, str]]) -> None:
    installs = [
        rest for word, rest in dockerfile if word == "RUN" and "install" in shlex.split(rest)
    ]
    assert installs
    for install in installs:
        assert "--require-hashes" in install or "--no-deps --no-build-isolation" in install


def test_no_secret_stands_in_the_files(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|AUTH|://", f"{name}{value}"):
                assert re.search(r"\$\{\w+:\?", value), name


def test_what_runs_for_long_is_watched_and_comes_back(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    for name in ("postgres", "redis", "nats"):
        assert compose["services"][name]["healthcheck"]["test"]


def test_only_the_edge_is_reachable_and_only_from_this_machine(compose: dict[str, Any]) -> None:
    ports = {name: s["ports"] for name, s in compose["services"].items() if "ports" in s}
    assert ports == {"gateway": ["127.0.0.1:8080:8080"]}
    assert compose["networks"]["engines"]["internal"] is True


def test_redis_never_forgets(compose: dict[str, Any]) -> None:
    command = shlex.split(compose["services"]["redis"]["command"][-1])
    options = dict(itertools.pairwise(command))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--save"] == ""


def test_nats_accepts_its_file_and_never_forgets() -> None:
    file = ROOT / "deploy" / "nats.conf"
    command = [find_nats()[0], "-t", "-c", str(file)]
    environ = {"NATS_PASSWORD": "example", "NATS_READER_PASSWORD": "reading"}
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line for line in DURABLE_NATS if line not in file.read_text()] == []


def test_the_example_configuration_is_valid_with_what_compose_sets(
    compose: dict[str, Any],
) -> None:
    document = tomllib.loads((ROOT / "deploy" / "imv.toml").read_text())
    environ = compose["services"]["gateway"]["environment"]
    settings = decode(document, environ)
    assert settings.engines.database.startswith("postgresql+asyncpg://")
    assert len(settings.engines.nats) == 1
    assert {f"env:{name}" for name in environ} >= set(settings.sources[0].secrets)


def test_the_example_fits_its_network() -> None:
    document = tomllib.loads((ROOT / "deploy" / "imv.toml").read_text())
    network = parse((ROOT / "deploy" / "network.toml").read_text())
    known = tuple(Source(SourceId(s["id"]), MarketId(s["market"])) for s in document["sources"])
    directory = Directory(network, known)
    assert all(directory.places_in(directory.market_of(source.id)) for source in known)


def test_the_example_and_its_network_are_mounted_where_the_settings_look(
    compose: dict[str, Any],
) -> None:
    document = tomllib.loads((ROOT / "deploy" / "imv.toml").read_text())
    for service in compose["services"].values():
        if "build" in service:
            mounted = {volume.split(":")[1] for volume in service["volumes"]}
            assert {service["environment"]["IMV_CONFIG"], document["network"]["file"]} <= mounted
