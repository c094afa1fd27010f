"""What the README shows is what the program takes."""

import re
import tomllib
from collections.abc import Iterator

import click
import pytest

from config import settings
from gateway.__main__ import imv
from tests.tidy.source import ROOT

_README = (ROOT / "README.md").read_text()
_CONTEXT = click.Context(imv)
_ELSEWHERE = {"test", "bench"}
"""Commands of a checkout whose options are not click's here."""


def _shown_commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command that the table of commands shows."""
    for row in re.findall(r"^\| (`imv .*?`) \|", _README, re.MULTILINE):
        for shown in re.findall(r"`imv ([^`]+)`", row):
            yield tuple(re.findall(r"--?[a-z-]+|[a-z]+|[A-Z]+", shown))


def _command(words: tuple[str, ...]) -> click.Command:
    found: click.Command = imv
    for word in words:
        if not isinstance(found, click.Group):
            break
        below = found.get_command(_CONTEXT, word)
        assert below, f"there is no {word}"
        found = below
    return found


@pytest.mark.parametrize(
    "words", [words for words in _shown_commands() if words[0] not in _ELSEWHERE], ids=" ".join
)
def test_a_command_that_the_readme_shows_is_there_with_its_options(words: tuple[str, ...]) -> None:
    there = {name for parameter in _command(words).params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= there


def test_the_readme_shows_every_command() -> None:
    assert set(imv.list_commands(_CONTEXT)) <= {words[0] for words in _shown_commands()}


def test_the_configuration_that_the_readme_shows_is_valid_and_whole() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", _README, re.MULTILINE | re.DOTALL)
    shown = tomllib.loads(text)
    assert settings.decode(shown, {}).sources[0].provider == "shopify"
    for section in ("gateway", "engines", "network", "relay"):
        assert set(shown[section]) == set(vars_of(section))


def vars_of(section: str) -> tuple[str, ...]:
    """Return the keys that a section of the settings has."""
    fields: tuple[str, ...] = type(getattr(settings.Settings(), section)).__struct_fields__
    return fields
