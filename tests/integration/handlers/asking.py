"""Messages as channels, people and our own timers send them, built from the few values that matter."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec

from config.ids import FulfilmentId, HoldId, LocationId, MarketId, MessageId, Sku, SourceId
from handlers.actions import (
    ActOnFulfilment,
    EndHold,
    FulfilmentAction,
    HoldLineAsked,
    ImportCatalog,
    ImportStock,
    PlaceHold,
    ShortUnits,
    StockRow,
    Task,
)
from handlers.commands import (
    CancelOrder,
    Count,
    CountStock,
    Delivery,
    LineAsked,
    LineQuantity,
    OrderKey,
    PlaceOrder,
    RecordPayment,
    RecordRefund,
    RefundLine,
    ReportFulfilment,
)
from handlers.message import Message
from store.records import CatalogItem

SHOP = SourceId("shop")
POS = SourceId("pos")
PAY = SourceId("pay")
US_SHOP = SourceId("us-shop")
PLACED = datetime(2026, 11, 23, 11, tzinfo=UTC)
_numbers = iter(range(10**9))


def message(*tasks: Task, source: SourceId = SHOP, key: str = "", **changes: Any) -> Message:
    """Wrap tasks; without a key it is a message of its own."""
    number = next(_numbers)
    made = Message(
        id=MessageId(f"m{number}"),
        source=source,
        key=key or f"k{number}",
        topic="test",
        fingerprint=hashlib.sha256(msgspec.json.encode(tasks)).digest(),
        body=b"{}",
        received_at=PLACED,
        tasks=tasks,
        by=source,
    )
    return msgspec.structs.replace(made, **changes)


def by_hand(*tasks: Task, key: str = "") -> Message:
    return message(*tasks, source=SourceId("api:staff"), key=key, operator=True)


def key_of(ref: str, source: str = SHOP) -> OrderKey:
    return OrderKey(source=source, ref=ref)


def lines(**units: int) -> tuple[LineAsked, ...]:
    """Return one line per SKU, named as the SKU in lower case."""
    return tuple(
        LineAsked(line_ref=sku.lower(), sku=sku, quantity=n, unit_price_minor=2_000)
        for sku, n in units.items()
    )


def order(
    ref: str = "1",
    asked: tuple[LineAsked, ...] | None = None,
    version: int = 1,
    source: str = SHOP,
    **changes: Any,
) -> PlaceOrder:
    return msgspec.structs.replace(
        PlaceOrder(
            order=key_of(ref, source),
            version=version,
            placed_at=PLACED,
            currency="GBP",
            lines=lines(LAMP=1) if asked is None else asked,
            delivery=Delivery(latitude=53.8, longitude=-1.5, country="GB"),
        ),
        **changes,
    )


def pickup(place: str = "leeds") -> Delivery:
    return Delivery(method="pickup", place=place)


def sold_at(place: str = "leeds") -> Delivery:
    return Delivery(method="handed_over", place=place)


def cancel(ref: str = "1", version: int = 0, **units: int) -> CancelOrder:
    asked = tuple(LineQuantity(line_ref=k.lower(), quantity=n) for k, n in units.items())
    return CancelOrder(order=key_of(ref), version=version, reason="test", lines=asked)


def payment(
    state: Any = "captured",
    amount: int = 2_000,
    version: int = 1,
    ref: str | None = "1",
    payment_ref: str = "p1",
) -> RecordPayment:
    return RecordPayment(
        state=state,
        payment_ref=payment_ref,
        order=key_of(ref) if ref else None,
        amount_minor=amount,
        currency="GBP",
        version=version,
    )


def refund(
    state: Any = "succeeded",
    version: int = 0,
    ref: str | None = "1",
    asked: tuple[RefundLine, ...] = (),
    payment_ref: str = "p1",
) -> RecordRefund:
    return RecordRefund(
        refund_ref="r1",
        payment_ref=payment_ref,
        order=key_of(ref) if ref else None,
        state=state,
        amount_minor=500,
        currency="GBP",
        version=version,
        lines=asked,
    )


def refunded(sku: str, units: int, restock: Any = "cancel") -> RefundLine:
    return RefundLine(line_ref=sku.lower(), quantity=units, restock=restock)


def count(
    sku: str, place: str, units: int, version: int = 1, meaning: Any = "on_hand"
) -> CountStock:
    one = Count(sku=sku, place=place, quantity=units, version=version, meaning=meaning)
    return CountStock(counts=(one,))


def report(
    state: Any, ref: str = "1", fulfilment_ref: str = "f1", place: str = "", **units: int
) -> ReportFulfilment:
    asked = tuple(LineQuantity(line_ref=k.lower(), quantity=n) for k, n in units.items())
    return ReportFulfilment(
        order=key_of(ref),
        fulfilment_ref=fulfilment_ref,
        state=state,
        place=place,
        lines=asked,
        tracking="T1",
    )


def act(
    fulfilment_id: str, action: FulfilmentAction, version: int, **short: int
) -> ActOnFulfilment:
    missing = tuple(ShortUnits(line_id=k.lower(), quantity=n) for k, n in short.items())
    return ActOnFulfilment(
        fulfilment_id=FulfilmentId(fulfilment_id),
        action=action,
        version=version,
        lines=missing,
        reason="test",
    )


def hold(place: str | None = None, ttl_s: int = 60, **units: int) -> PlaceHold:
    return PlaceHold(
        market=MarketId("uk"),
        lines=tuple(HoldLineAsked(Sku(sku), n) for sku, n in units.items()),
        location=LocationId(place) if place else None,
        owner="cart",
        ttl_s=ttl_s,
    )


def end_hold(hold_id: str, *, expired: bool = False) -> EndHold:
    return EndHold(hold_id=HoldId(hold_id), expired=expired)


def stock(**units: int) -> ImportStock:
    """Return an import of rows named `SKU_place`."""
    rows = []
    for name, n in units.items():
        sku, _, place = name.partition("_")
        rows.append(StockRow(sku=Sku(sku), location=LocationId(place), on_hand=n))
    return ImportStock(tuple(rows))


def catalog(sku: str, *external: str, source: str = SHOP) -> ImportCatalog:
    item = CatalogItem(sku=Sku(sku), external=tuple((source, name) for name in external))
    return ImportCatalog((item,))
