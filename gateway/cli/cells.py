"""How the cells of imports are read; a ValueError's text follows the column's name."""

import re
from collections.abc import Callable, Collection
from typing import Final

_NAME_CHARACTERS_MAX: Final = 200
_WHOLE: Final = re.compile(r"[0-9]{1,19}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_EXTERNAL: Final = re.compile(r"([a-z0-9][a-z0-9-]{0,62}):(.+)")


def whole(most: int) -> Callable[[str], int]:
    """Return what reads a whole number from 0 to `most`."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise ValueError(f"{text[:40]!r} is not a whole number of 0 or more")
        if int(text) > most:
            raise ValueError(f"{text} is above {most}")
        return int(text)

    return parse


def name(text: str) -> str:
    """Read an id, a code or a title: short, and nothing that cannot be seen."""
    if len(text) > _NAME_CHARACTERS_MAX:
        raise ValueError(f"is longer than {_NAME_CHARACTERS_MAX} characters")
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed")
    return text


def currency(text: str) -> str:
    """Read an ISO 4217 code."""
    if not _CURRENCY.fullmatch(text):
        raise ValueError(f"{text[:10]!r} is not three capital letters")
    return text


def one_of(known: Collection[str], what: str) -> Callable[[str], str]:
    """Return what reads one of these names; `what` says what they are."""

    def parse(text: str) -> str:
        if text not in known:
            raise ValueError(f"{text[:40]!r} is no {what}")
        return text

    return parse


def externals(text: str) -> tuple[tuple[str, str], ...]:
    """Read `source:item;source:item`; an item id may itself hold colons."""
    found = [_EXTERNAL.fullmatch(part.strip()) for part in text.split(";") if part.strip()]
    if not all(found):
        raise ValueError("is not of the form shop-main:808950810;pos-1:FGQ5JJWT")
    pairs = [(one[1], name(one[2].strip())) for one in found if one]
    if len(set(pairs)) < len(pairs):
        raise ValueError("names the same item of a source twice")
    return tuple(pairs)
