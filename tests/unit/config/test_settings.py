"""Settings are strict, and the environment lies over the file."""

from pathlib import Path

import pytest

from config.errors import Misconfigured
from config.settings import decode, load, resolve_secret


def test_nothing_configured_runs_on_defaults() -> None:
    settings = decode({}, {})
    assert (settings.gateway.host, settings.gateway.port) == ("127.0.0.1", 8080)
    assert settings.sources == ()


def test_the_environment_lies_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "imv.toml"
    file.write_text("[gateway]\nport = 1\nhost = '10.0.0.1'\n")
    environ = {"IMV_GATEWAY_PORT": "2", "IMV_ENGINES_NATS": "nats://a, nats://b"}
    settings = load(file, environ)
    assert (settings.gateway.host, settings.gateway.port) == ("10.0.0.1", 2)
    assert settings.engines.nats == ("nats://a", "nats://b")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[gateway]\nprot = 1", "prot"),
        ("[gatway]\nport = 1", "gatway"),
        ("[gateway]\nport = 'x'", "gateway.port"),
        ("[gateway]\nport = 99999", "gateway.port"),
        ("[[sources]]\nid = 'A b'\nprovider = 'shopify'\nmarket = 'uk'", "sources"),
        ("not toml", "not TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "imv.toml"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=named):
        load(file, {})


def test_a_source_id_stands_once() -> None:
    source = {"id": "a", "provider": "shopify", "market": "uk"}
    with pytest.raises(Misconfigured, match="twice: a"):
        decode({"sources": [source, source]}, {})


def test_secrets_come_by_reference(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    assert resolve_secret("env:NAME", {"NAME": "from the environment"}) == b"from the environment"
    assert resolve_secret(f"file:{tmp_path}/secret", {}) == b"from a file"
    assert resolve_secret("plain:as it is", {}) == b"as it is"


@pytest.mark.parametrize("reference", ["env:NONE", "file:/none/there", "plain:", "hush", "vault:x"])
def test_a_secret_that_is_not_there_is_refused_without_showing_it(reference: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        resolve_secret(reference, {})
    assert "hush" not in refused.value.detail
