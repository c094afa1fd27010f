"""The letters of a run: every webhook and hold that will be sent, drawn from one seed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, Literal

import msgspec

from config.ids import SourceId
from gateway.demo.bodies import ebay, shopify, square, standard_webhooks, stripe
from gateway.demo.bodies.sample import Document, Sample
from gateway.demo.purchases import Bought, Purchase, Shoppers
from tests.chaos import shop

Kind = Literal["genuine", "conflict", "forged", "hold"]
API: Final = SourceId("api")
EPOCH: Final = datetime(2030, 1, 2, 10, tzinfo=UTC)
"""When the purchases of every run are made: the bodies of a seed are the same on any day."""
_KINDS: Final = {
    "shop": 30,
    "till": 20,
    "sale": 8,
    "partner": 14,
    "marketplace": 10,
    "hold": 10,
    "forged": 4,
    "conflict": 4,
}
_CANCELLED, _REFUNDED, _AGAIN, _SCARCE = 0.2, 0.1, 0.25, 0.35
SPREAD_S: Final = 3.0
"""Within how long all letters of one purchase arrive."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook, or one `/v1/holds` request, with when it is first sent and when again."""

    number: int
    kind: Kind
    source: SourceId
    topic: str
    event: str
    """The provider's id of the event; the Idempotency-Key of a hold."""
    body: bytes
    order_ref: str = ""
    """The order's external id at the source, for letters that place one."""
    document: Document | None = None
    after_s: float
    again_s: tuple[float, ...] = ()

    @property
    def path(self) -> str:
        """Where it is posted."""
        return "/v1/holds" if self.kind == "hold" else f"/webhooks/{self.source}"


def draw(seed: int, seconds: float, per_s: float, *, spread_s: float = SPREAD_S) -> list[Letter]:
    """Return what is sent within so many seconds, numbered in order of time."""
    writer = _Writer(Random(seed), spread_s)  # noqa: S311 - the same for everybody who names the seed
    chance = Random(seed + 1)  # noqa: S311
    at_s = 0.0
    while at_s < seconds:
        writer.purchase(at_s)
        at_s += chance.expovariate(per_s)
    ordered = sorted(writer.letters, key=lambda letter: (letter.after_s, letter.number))
    return [msgspec.structs.replace(one, number=place) for place, one in enumerate(ordered)]


class _Writer:
    def __init__(self, chance: Random, spread_s: float) -> None:
        self.letters: list[Letter] = []
        self._spread_s = spread_s
        self._chance = chance
        self._plenty = Shoppers(shop.ITEMS[len(shop.SCARCE) :], chance)
        self._scarce = Shoppers(shop.SCARCE, chance)
        self._purchases = 0

    def purchase(self, at_s: float) -> None:
        """Write all letters of one purchase, in whatever order they will arrive."""
        kind = self._chance.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
        match kind:
            case "shop":
                self._shop(at_s)
            case "till" | "sale":
                self._till(at_s, sold=kind == "sale")
            case "partner":
                self._partner(at_s)
            case "marketplace":
                self._marketplace(at_s)
            case "hold":
                self._hold(at_s)
            case "forged":
                self._forged(at_s)
            case _:
                self._conflict(at_s)

    def _shop(self, at_s: float) -> None:
        bought = self._buy(pickup=self._chance.random() < 0.6)
        ref = str(bought.number)
        samples = [shopify.placed(bought), stripe.paid(bought, _later(bought, 1))]
        luck = self._chance.random()
        if luck < _CANCELLED:
            samples.append(shopify.cancelled(bought, _later(bought, 60)))
        elif luck < _CANCELLED + _REFUNDED:
            samples.append(shopify.refunded(bought, _later(bought, 60)))
        self._write_all(samples, at_s, ref)

    def _till(self, at_s: float, *, sold: bool) -> None:
        bought = self._buy(pickup=True)
        order = square.sold(bought) if sold else square.placed(bought)
        assert order.document
        self._write_all([order, square.paid(bought, _later(bought, 1))], at_s, order.document.ref)

    def _partner(self, at_s: float) -> None:
        bought = self._buy(pickup=self._chance.random() < 0.6)
        samples = [
            standard_webhooks.placed(bought),
            standard_webhooks.paid(bought, _later(bought, 1)),
        ]
        if self._chance.random() < _CANCELLED:
            samples.append(standard_webhooks.cancelled(bought, _later(bought, 60)))
        self._write_all(samples, at_s, f"P-{bought.number}")

    def _marketplace(self, at_s: float) -> None:
        order = ebay.confirmed(self._buy(pickup=False))
        assert order.document
        self._write_all([order], at_s, order.document.ref)

    def _hold(self, at_s: float) -> None:
        bought = self._buy(pickup=self._chance.random() < 0.5)
        lines = [{"sku": line.item.sku, "quantity": line.quantity} for line in bought.lines]
        ask = {
            "market": shop.MARKET,
            "lines": lines,
            "location": bought.place.id if bought.place else None,
            "ttl_s": self._chance.randrange(2, 20),
        }
        self._write(
            Sample(API, "hold", msgspec.json.encode(ask)), at_s, kind="hold", again=self._again(1.0)
        )

    def _forged(self, at_s: float) -> None:
        bought = self._buy(pickup=False)
        forms = (shopify.placed, standard_webhooks.placed, ebay.confirmed)
        sample = self._chance.choice(forms)(bought)
        ref = sample.document.ref if sample.document else str(bought.number)
        self._write(sample, at_s, kind="forged", ref=ref)

    def _conflict(self, at_s: float) -> None:
        """Write one order, and another body under the same event id, before or after it."""
        bought = self._buy(pickup=False)
        one, other = shopify.placed(bought), shopify.placed(self._same(bought))
        late = self._chance.uniform(0.0, self._spread_s)
        self._write(one, at_s, ref=str(bought.number))
        event = self.letters[-1].event
        self._write(other, at_s + late, kind="conflict", event=event, ref=str(bought.number))

    def _same(self, bought: Purchase) -> Purchase:
        first, *rest = bought.lines
        more = Bought(first.item, first.quantity + 1)
        return msgspec.structs.replace(bought, lines=(more, *rest))

    def _write_all(self, samples: list[Sample], at_s: float, ref: str) -> None:
        """Write an order and what follows it, in any order of arrival."""
        times = sorted(self._chance.uniform(0.0, self._spread_s) for _ in samples)
        if self._chance.random() < 0.4:
            self._chance.shuffle(times)
        for number, (sample, late_s) in enumerate(zip(samples, times, strict=True)):
            places = ref if number == 0 else ""
            self._write(sample, at_s + late_s, ref=places, again=self._again(_AGAIN))

    def _write(
        self,
        sample: Sample,
        at_s: float,
        *,
        kind: Kind = "genuine",
        event: str = "",
        ref: str = "",
        again: tuple[float, ...] = (),
    ) -> None:
        number = len(self.letters)
        self.letters.append(
            Letter(
                number=number,
                kind=kind,
                source=sample.source,
                topic=sample.topic,
                event=event or f"msg_{self._chance.getrandbits(64):016x}",
                body=sample.body,
                order_ref=ref,
                document=sample.document,
                after_s=at_s,
                again_s=again,
            )
        )

    def _again(self, likely: float) -> tuple[float, ...]:
        """Return when it is delivered once more although it was answered."""
        if self._chance.random() >= likely:
            return ()
        late_s = (0.0, 0.02, self._spread_s / 3, self._spread_s)
        return tuple(self._chance.choice(late_s) for _ in range(2))

    def _buy(self, *, pickup: bool) -> Purchase:
        self._purchases += 1
        scarce = self._chance.random() < _SCARCE
        place = None
        if pickup:
            weights = [6, *[1] * (len(shop.STORES) - 1)]
            place = self._chance.choices(shop.STORES, weights)[0]
        at = EPOCH + timedelta(seconds=self._purchases)
        bought = (self._scarce if scarce else self._plenty).buy(at, place)
        # Both kinds of shoppers count for themselves; one purchase has one number.
        return msgspec.structs.replace(bought, number=1_000_000 + self._purchases)


def placed_orders(letters: list[Letter]) -> Iterator[Letter]:
    """Yield the letters that must each have led to one order."""
    return (one for one in letters if one.order_ref and one.kind == "genuine")


def _later(bought: Purchase, seconds: float) -> datetime:
    return bought.at + timedelta(seconds=seconds)
