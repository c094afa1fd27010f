"""Token buckets: a burst, then the rate, each key for itself, in bounded memory."""

import pytest

from config.errors import Limited
from gateway.rates import Rates, address_of
from tests.stream_fakes import FakeClock


def _taken(rates: Rates, key: str, tries: int) -> int:
    """Return how many of some tries were let through."""
    count = 0
    for _ in range(tries):
        try:
            rates.take(key)
        except Limited:
            continue
        count += 1
    return count


def test_a_burst_is_taken_and_then_the_rate() -> None:
    clock = FakeClock()
    rates = Rates(5, clock)
    assert _taken(rates, "a", 1000) == 100
    clock.forward(2)
    assert _taken(rates, "a", 1000) == 10
    clock.forward(10_000)
    assert _taken(rates, "a", 1000) == 100


def test_the_time_to_wait_is_told_and_is_enough() -> None:
    clock = FakeClock()
    rates = Rates(0.25, clock)
    assert _taken(rates, "a", 100) == 5
    with pytest.raises(Limited) as limited:
        rates.take("a")
    assert limited.value.after_s == 4
    assert rates.spent("a")
    clock.forward(4)
    assert not rates.spent("a")
    rates.take("a")


def test_one_key_does_not_use_up_anothers() -> None:
    rates = Rates(1, FakeClock())
    assert _taken(rates, "a", 100) == 20
    assert _taken(rates, "b", 1) == 1


def test_a_rate_of_nothing_limits_nothing() -> None:
    rates = Rates(0, FakeClock())
    assert _taken(rates, "a", 1000) == 1000
    assert not rates.spent("a")


def test_any_number_of_addresses_costs_bounded_memory() -> None:
    rates = Rates(1, FakeClock())
    for number in range(30_000):
        rates.take(str(number))
    assert len(rates._buckets) == 10_000


def test_a_network_of_ipv6_is_one_address() -> None:
    assert address_of(("2001:db8:1:2:3::1", 5)) == address_of(["2001:db8:1:2:ffff::9", 6])
    assert address_of(("2001:db8:1:3::1", 5)) != address_of(("2001:db8:1:2::1", 5))
    assert address_of(("127.0.0.1", 5)) == "127.0.0.1"
    assert address_of(None) == address_of(()) == ""
