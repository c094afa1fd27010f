"""The directory: the network's look-ups, and the time of day in its markets."""

from datetime import UTC, datetime

import pytest

from config.errors import Misconfigured
from config.ids import MarketId
from handlers.directory import Directory
from routing.network import Market, Network

UK = MarketId("uk")


def directory(timezone: str) -> Directory:
    return Directory(Network(markets=(Market(UK, "GBP", timezone),)), ())


def test_the_time_of_day_is_that_of_the_market_in_summer_and_in_winter() -> None:
    london = directory("Europe/London")
    assert london.moment_in(UK, datetime(2026, 7, 5, 23, 30, tzinfo=UTC)) == (0, 30)
    assert london.moment_in(UK, datetime(2026, 12, 6, 23, 30, tzinfo=UTC)) == (6, 23 * 60 + 30)
    assert directory("UTC").moment_in(UK, datetime(2026, 7, 5, 23, 30, tzinfo=UTC))[0] == 6


@pytest.mark.parametrize("name", ["Europe/Nowhere", "", "../etc"])
def test_a_time_zone_that_does_not_exist_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(Misconfigured, match="no time zone"):
        directory(name)
