"""What all translations share: money, quantities, names, places and the last check."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from config.errors import Unauthenticated, Unreadable
from handlers.commands import CancelOrder, Ignore, OrderKey
from handlers.sources.pickup import PickupRule, PickupRules, ShippingLine
from handlers.sources.signatures import from_base64, from_hex, to_base64
from handlers.sources.times import version_of, version_of_seconds
from handlers.sources.translation import (
    clipped,
    decoded,
    label,
    label_of,
    minor,
    per_unit,
    share,
    whole,
)


@over(cost=st.integers(-(10**9), 10**9), quantity=st.integers(1, 1000))
def test_a_split_line_keeps_its_total(cost: int, quantity: int) -> None:
    unit, discount = per_unit(cost, quantity)
    assert unit * quantity - discount == cost
    assert 0 <= discount < quantity


@over(amount=st.integers(0, 10**9), part=st.integers(0, 50), total=st.integers(1, 50))
def test_the_shares_of_an_amount_add_up(amount: int, part: int, total: int) -> None:
    kept = share(amount, min(part, total), total)
    assert 0 <= kept <= amount
    assert abs(kept * total - amount * min(part, total)) <= total


@pytest.mark.parametrize(
    ("value", "currency", "expected"),
    [("199.00", "USD", 19900), ("5", "JPY", 5), ("5.124", "KWD", 5124), ("-1E+1", "EUR", -1000)],
)
def test_decimals_become_minor_units(value: str, currency: str, expected: int) -> None:
    assert minor(Decimal(value), currency) == expected


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "sNaN",
        "Infinity",
        "1.001",
        "1E+999999999",
        "1E-999999999",
        "1." + "0" * 40 + "1",
        "1" + "0" * 20,
    ],
)
def test_a_decimal_that_is_no_amount_is_unreadable(value: str) -> None:
    with pytest.raises(Unreadable):
        minor(Decimal(value), "USD")


@over(st.integers(-(10**17), 10**17))
def test_whole_quantities_come_back(number: int) -> None:
    assert whole(str(number)) == whole(f"{number}.00") == number


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("Alex", "Bell", "Alex B."),
        ("Alex", None, "Alex"),
        (None, "Bell", "B."),
        (None, None, ""),
        ("A" * 60, "B", "A" * 37 + " B."),
        ("Al\x00ex\n", "Bell", "Alex B."),
    ],
)
def test_staff_see_a_first_name_and_an_initial(
    first: str | None, last: str | None, expected: str
) -> None:
    assert label(first, last) == expected


def test_a_whole_name_gives_the_same() -> None:
    assert label_of("Sam Q Doe") == "Sam D."
    assert label_of("Sam") == "Sam"
    assert label_of(" ") == ""
    assert label_of(None) == ""


def test_words_for_people_lose_control_characters() -> None:
    assert clipped("a\x1b[31mb\u202ec\n") == "a[31mbc"
    assert len(clipped("x" * 2000)) == 500


def test_a_command_beyond_its_bounds_is_unreadable() -> None:
    command = CancelOrder(order=OrderKey(source="s", ref=""), version=1)
    with pytest.raises(Unreadable, match=r"\$\[0\]\.order\.ref"):
        decoded("k", "t", command)
    with pytest.raises(Unreadable):
        decoded("k", "t", Ignore(reason="\ud800"))
    with pytest.raises(Unreadable, match="NUL"):
        decoded("k\0", "t", Ignore(reason="r"))


def test_a_long_key_is_digested() -> None:
    first = decoded("k" * 201, "t", Ignore(reason="r")).key
    second = decoded("k" * 202, "t", Ignore(reason="r")).key
    assert first.startswith("sha256:")
    assert first != second


@pytest.mark.parametrize("text", ["QQ", "QQ=", "QR==", "Q Q=", "QQ==\n", "-_==", "\u2603"])
def test_base64_has_one_spelling(text: str) -> None:
    assert from_base64("QQ==") == b"A"
    with pytest.raises(Unauthenticated):
        from_base64(text)


@pytest.mark.parametrize("text", ["4", "4A", "41 ", " 41", "0x41", "\u0664\u0661"])
def test_hex_has_one_spelling(text: str) -> None:
    assert from_hex("4a") == b"J"
    with pytest.raises(Unauthenticated):
        from_hex(text)


@over(st.binary(max_size=100))
def test_signatures_come_back_from_base64(raw: bytes) -> None:
    assert from_base64(to_base64(raw)) == raw


def test_versions_rise_with_time_and_stay_in_range() -> None:
    early = version_of(datetime(1969, 1, 1, tzinfo=UTC))
    assert early == 0 < version_of(datetime(2026, 1, 1, tzinfo=UTC)) < 2**62
    assert version_of_seconds(1, 2) == 1_000_002
    for seconds in (-1, 2**62):
        with pytest.raises(Unreadable):
            version_of_seconds(seconds)


def test_times_at_the_ends_of_the_calendar_are_unreadable() -> None:
    with pytest.raises(Unreadable):
        version_of(datetime.fromisoformat("0001-01-01T00:00:00+23:59"))


def test_the_first_rule_that_matches_the_whole_text_decides() -> None:
    rules = PickupRules(
        "shop-1",
        [
            PickupRule(field="title", pattern=r"Pick up at (?P<shop>\w+)", place="store-{shop}"),
            PickupRule(field="delivery_category", pattern="pickup", place="S-000"),
        ],
    )
    assert rules.place([ShippingLine(title="Pick up at Harbour")]) == "store-Harbour"
    assert rules.place([ShippingLine(title="Pick up at Harbour later")]) is None
    both = ShippingLine(title="Pick up at Harbour", delivery_category="pickup")
    assert rules.place([ShippingLine(delivery_category="pickup"), both]) == "store-Harbour"
    assert rules.place([ShippingLine()]) is None
    assert rules.place([]) is None
