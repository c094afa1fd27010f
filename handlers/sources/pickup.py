"""Pickup rules: which shipping line means that the customer collects, and where."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from config.errors import Misconfigured

_SUBJECT_MAX = 500
_NAME = re.compile(r"\{(\w+)\}")


class PickupRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `pickup_match` table: the field's whole text matches, and the place is made from it."""

    field: Literal["code", "title", "source", "delivery_category"]
    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=_SUBJECT_MAX)]
    place: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    """A place's id, in which `{name}` stands for a named group of the pattern."""


class ShippingLine(msgspec.Struct, frozen=True):
    """How a channel says that an order travels; a channel without such lines makes one."""

    code: str | None = None
    title: str | None = None
    source: str | None = None
    delivery_category: str | None = None
    is_removed: bool | None = None


class PickupRules:
    """Compiled rules of one source; the first rule that matches a line decides."""

    def __init__(self, source_id: str, rules: Sequence[PickupRule]) -> None:
        """Compile; Misconfigured names a pattern that is none, or a group that it does not have."""
        self._rules = [(rule, _compiled(source_id, rule)) for rule in rules]

    def place(self, lines: Sequence[ShippingLine]) -> str | None:
        """Return where the customer collects, None when no line means pickup."""
        for rule, pattern in self._rules:
            for line in lines:
                text = getattr(line, rule.field) or ""
                match = None if line.is_removed else pattern.fullmatch(text[:_SUBJECT_MAX])
                if match and (place := _filled(rule.place, match)):
                    return place
        return None


def _compiled(source_id: str, rule: PickupRule) -> re.Pattern[str]:
    try:
        pattern = re.compile(rule.pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise Misconfigured(f"source {source_id}: pickup_match pattern: {error}") from error
    for name in _NAME.findall(rule.place):
        if name not in pattern.groupindex:
            raise Misconfigured(f"source {source_id}: pickup_match has no group {name!r}")
    return pattern


def _filled(template: str, match: re.Match[str]) -> str:
    return _NAME.sub(lambda name: match[name[1]] or "", template)
