"""What happens in the demo: purchases by channel, and what follows each; pure but for chance."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

import msgspec

from config.ids import LocationId
from gateway.demo.bodies import ebay, shopify, square, standard_webhooks, stripe
from gateway.demo.bodies.sample import Sample
from gateway.demo.purchases import Purchase, Shoppers
from routing.network import Location

CARDS_MAX: Final = 12
"""A store with so many open cards gets no new pickups."""
CARDS_IN_ALL_MAX: Final = 70
_KINDS: Final = {
    "shop pickup": 30,
    "shop ship": 16,
    "till pickup": 13,
    "till sale": 14,
    "marketplace ship": 10,
    "partner pickup": 9,
    "partner ship": 8,
}
_BUSIEST: Final = 6
"""The first store has so many times the customers of another."""
_PAID_FIRST: Final = 0.06
_CANCELLED: Final = 0.04
_REFUNDED: Final = 0.05
_AGAIN: Final = 0.07
_AGAIN_LATE: Final = 0.05


class Step(msgspec.Struct, frozen=True):
    """One delivery, so many seconds from now; with `again_s`, its repeat so long after it."""

    after_s: float
    sample: Sample
    again_s: float | None = None


class Script:
    """Writes the next purchase with all that follows it."""

    def __init__(self, shoppers: Shoppers, places: Sequence[Location], chance: Random) -> None:
        """Take who buys, and where goods can be collected; the first place is the busiest."""
        self._shoppers = shoppers
        self._stores = [place for place in places if place.pickup]
        self._chance = chance

    def next(self, now: datetime, open_cards: Mapping[LocationId, int]) -> list[Step]:
        """Return the steps of one more purchase; none while everybody is busy."""
        if sum(open_cards.values()) >= CARDS_IN_ALL_MAX:
            return []
        kind = self._chance.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
        if kind.endswith("ship"):
            return self._steps(kind, self._shoppers.buy(now))
        full = {place for place, cards in open_cards.items() if cards >= CARDS_MAX}
        stores = [s for s in self._stores if kind == "till sale" or s.id not in full]
        if not stores:
            return []
        weights = [_BUSIEST if store is self._stores[0] else 1 for store in stores]
        return self._steps(kind, self._shoppers.buy(now, self._chance.choices(stores, weights)[0]))

    def _steps(self, kind: str, purchase: Purchase) -> list[Step]:
        match kind.split():
            case ["shop", _]:
                return self._shop(purchase)
            case ["till", how]:
                return self._till(purchase, sold=how == "sale")
            case ["marketplace", _]:
                return [self._step(0.0, ebay.confirmed(purchase))]
            case _:
                return self._partner(purchase)

    def _shop(self, purchase: Purchase) -> list[Step]:
        """Return an order of the shop; its payment comes from elsewhere, so sometimes before it."""
        chance = self._chance
        paid_s = chance.uniform(1.0, 4.0)
        placed_s = paid_s + 2.0 if chance.random() < _PAID_FIRST else 0.0
        steps = [
            self._step(placed_s, shopify.placed(purchase)),
            self._step(paid_s, stripe.paid(purchase, _at(purchase, paid_s))),
        ]
        luck, later_s = chance.random(), placed_s + chance.uniform(6.0, 20.0)
        if luck < _CANCELLED:
            steps.append(Step(later_s, shopify.cancelled(purchase, _at(purchase, later_s))))
        elif luck < _CANCELLED + _REFUNDED:
            later_s *= 8
            steps.append(self._step(later_s, shopify.refunded(purchase, _at(purchase, later_s))))
        return steps

    def _till(self, purchase: Purchase, *, sold: bool) -> list[Step]:
        order = square.sold(purchase) if sold else square.placed(purchase)
        paid_s = self._chance.uniform(0.2, 1.5)
        paid = square.paid(purchase, _at(purchase, paid_s))
        return [self._step(0.0, order), self._step(paid_s, paid)]

    def _partner(self, purchase: Purchase) -> list[Step]:
        chance = self._chance
        paid_s, later_s = chance.uniform(0.5, 3.0), chance.uniform(6.0, 20.0)
        steps = [
            self._step(0.0, standard_webhooks.placed(purchase)),
            self._step(paid_s, standard_webhooks.paid(purchase, _at(purchase, paid_s))),
        ]
        if chance.random() < _CANCELLED:
            cancelled = standard_webhooks.cancelled(purchase, _at(purchase, later_s))
            steps.append(Step(later_s, cancelled))
        return steps

    def _step(self, after_s: float, sample: Sample) -> Step:
        """Return a delivery that is perhaps repeated, at once or late (but with a live signature)."""
        luck = self._chance.random()
        if luck < _AGAIN:
            return Step(after_s, sample, self._chance.uniform(0.05, 0.5))
        if luck < _AGAIN + _AGAIN_LATE:
            return Step(after_s, sample, self._chance.uniform(25.0, 90.0))
        return Step(after_s, sample)


def _at(purchase: Purchase, after_s: float) -> datetime:
    return purchase.at + timedelta(seconds=after_s)
