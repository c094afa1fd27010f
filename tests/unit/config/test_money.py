"""Money is exact: provider forms translate exactly or not at all, splits add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import Unreadable
from config.money import Money, currency_code, minor_from_decimal, split


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("199.00", "USD", 19900), ("199", "JPY", 199), ("1.234", "KWD", 1234), ("-0.01", "GBP", -1)],
)
def test_a_major_amount_becomes_minor_units_of_its_currency(
    text: str, currency: str, minor: int
) -> None:
    assert minor_from_decimal(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "minor"), [("1." + "0" * 40, 100), ("0e999999", 0), ("1.2e2", 12000), ("-0.00", 0)]
)
def test_digits_that_say_nothing_change_nothing(text: str, minor: int) -> None:
    assert minor_from_decimal(text, "USD") == minor


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "sNaN", "Infinity", "abc", "", "0.001"),
        *("1e400", "1e999999", "-1e999999", "1e-999999"),
        *("1" * 40, "1." + "0" * 40 + "1", "0." + "9" * 30),
    ],
)
def test_what_is_no_exact_amount_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        minor_from_decimal(text, "USD")


@pytest.mark.parametrize("text", ["usd ", "US", "U$D", "DOLLAR"])
def test_what_is_no_currency_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        currency_code(text)


@given(
    st.integers(min_value=-(10**12), max_value=10**12),
    st.lists(st.integers(min_value=0, max_value=10**6), min_size=1, max_size=20),
)
def test_the_parts_of_a_split_add_up_and_are_fair(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert sum(parts) == amount
    if total := sum(weights):
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part * total - amount * weight) < total


def test_two_currencies_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Money(1, "GBP") + Money(1, "EUR")
