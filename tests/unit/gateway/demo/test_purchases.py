"""Invented purchases: repeatable, and never twice the same number."""

from datetime import timedelta
from random import Random

from gateway.demo.goods import read_catalog
from gateway.demo.purchases import Bought, Shoppers
from tests.unit.gateway.demo.conftest import NOW


def test_the_same_chance_gives_the_same_purchases() -> None:
    def bought() -> list[object]:
        shoppers = Shoppers(read_catalog(), Random(3))  # noqa: S311 - a test's
        return [shoppers.buy(NOW) for _ in range(20)]

    assert bought() == bought()


def test_numbers_rise_even_when_time_stands_still_or_goes_back(shoppers: Shoppers) -> None:
    times = [NOW, NOW, NOW - timedelta(seconds=5), NOW + timedelta(seconds=1)]
    numbers = [shoppers.buy(now).number for now in times]
    assert numbers == sorted(set(numbers))


def test_a_price_holds_a_sixth_of_tax_where_there_is_any() -> None:
    items = {item.sku: item for item in read_catalog()}
    assert Bought(items["MUG-BLUE"], 2).tax_minor == 400  # type: ignore[index]  # a Sku
    assert Bought(items["HONEY-340"], 2).tax_minor == 0  # type: ignore[index]  # a Sku
