"""How events are chosen and shown."""

import click
import pytest

from gateway.cli.tail import Pattern, line_of, matches
from outbox.ports import Delivered


@pytest.mark.parametrize(
    ("pattern", "subject", "is_one"),
    [
        ("imv.v1.>", "imv.v1.order.routed.1", True),
        ("imv.v1.order.*.*", "imv.v1.order.routed.1", True),
        ("imv.v1.order.*", "imv.v1.order.routed.1", False),
        ("imv.v1.order.routed.1", "imv.v1.order.routed.1", True),
        ("imv.v1.order.routed.1.>", "imv.v1.order.routed.1", False),
        ("imv.v1.stock.>", "imv.v1.order.routed.1", False),
        (">", "imv.v1.order.routed.1", True),
    ],
)
def test_patterns_mean_what_they_mean_to_nats(pattern: str, subject: str, *, is_one: bool) -> None:
    assert matches(pattern, subject) is is_one


@pytest.mark.parametrize("pattern", ["imv.v1.>", "imv.v1.order.*.*", ">", "imv.*.order.>"])
def test_a_pattern_that_events_can_have_is_taken(pattern: str) -> None:
    assert Pattern().convert(pattern, None, None) == pattern


@pytest.mark.parametrize("pattern", ["order.>", "imv.v2.>", "imv.>.order", "imv.v1..x", "imv.v1. "])
def test_a_pattern_that_no_event_can_have_is_wrong_use(pattern: str) -> None:
    with pytest.raises(click.UsageError, match="is no pattern of imv"):
        Pattern().convert(pattern, None, None)


def test_an_event_is_one_line_that_cannot_steer_a_terminal() -> None:
    data = b'{"id":"f1","version":3,"state":"ready\\u001b[2J"}'
    event = Delivered(12, "imv.v1.fulfilment.ready.S%2E1", "e1", "imv.fulfilment.ready.v1", data)
    assert line_of(event).split() == ["12", "fulfilment.ready", "S.1", "f1", "v3", "ready\\x1b[2J"]


def test_an_event_without_a_row_is_shown_too() -> None:
    assert line_of(Delivered(1, "imv.v1.flow.silent.x", "e", "t", b"\xff")).split()[1:3] == [
        "flow.silent",
        "x",
    ]
