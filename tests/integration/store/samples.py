"""Records to store in tests, each whole, with the few values that a test is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from config.ids import (
    EventId,
    ExceptionId,
    FulfilmentId,
    HoldId,
    LineId,
    LocationId,
    MarketId,
    MessageId,
    OperationId,
    OrderId,
    Sku,
    SourceId,
)
from outbox.event import Event
from routing.sourcing.problem import Assignment, Inputs, RoutePlan, Term
from store.gate_port import Cell
from store.ports import Fetch, FulfilmentFile, InboxRow, Movement, OrderFile, Parked, Shift
from store.records import (
    CatalogItem,
    ExceptionRecord,
    Fulfilment,
    FulfilmentLine,
    HistoryEntry,
    Hold,
    HoldLine,
    Order,
    OrderLine,
)

NOW = datetime(2026, 11, 23, 10, 30, 0, 123_456, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
SHOP = SourceId("shop")
UK = MarketId("uk")


def cell(sku: str = "shirt", location: str = "leeds") -> Cell:
    return Cell(Sku(sku), LocationId(location))


def order(name: str = "o1", **changes: Any) -> Order:
    line = OrderLine(id=LineId("l1"), line_ref="1", item="shirt", sku=Sku("shirt"), ordered=2)
    made = Order(
        id=OrderId(name),
        source=SHOP,
        external_id=f"ext-{name}",
        number="#1",
        market=UK,
        state="accepted",
        version=1,
        source_version=7,
        currency="GBP",
        placed_at=NOW,
        captured_at=NOW,
        updated_at=NOW,
        method="ship",
        destination=(53.8, -1.5),
        lines=(line,),
    )
    return msgspec.structs.replace(made, **changes)


def order_file(name: str = "o1", **changes: Any) -> OrderFile:
    return OrderFile(order=order(name), **changes)


def entry(event: str = "captured") -> HistoryEntry:
    return HistoryEntry(NOW, event, "shop", 1, "first")


def plan() -> RoutePlan:
    place = Assignment("l1", Sku("shirt"), LocationId("leeds"), 2)
    return RoutePlan(
        assignments=(place,),
        unfilled=(),
        terms=(Term("parcel", "leeds", 390),),
        total_minor=390,
        bound_minor=390,
        gap=0.0,
        exact_within=3,
        method="ship",
        reasons=("cheapest",),
        inputs=Inputs("abc", (), {Sku("shirt"): [2]}, None, (), (), None, None),
    )


def fulfilment(name: str = "f1", order_id: str = "o1", **changes: Any) -> Fulfilment:
    made = Fulfilment(
        id=FulfilmentId(name),
        order_id=OrderId(order_id),
        order_number="#1",
        source=SHOP,
        market=UK,
        location=LocationId("leeds"),
        method="ship",
        state="assigned",
        version=1,
        lines=(FulfilmentLine(line_id=LineId("l1"), sku=Sku("shirt"), quantity=2),),
        created_at=NOW,
        updated_at=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def fulfilment_file(name: str = "f1", order_id: str = "o1", **changes: Any) -> FulfilmentFile:
    return FulfilmentFile(fulfilment(name, order_id), **changes)


def message(key: str = "k1", **changes: Any) -> InboxRow:
    made = InboxRow(
        id=MessageId(f"m-{key}"),
        source=SHOP,
        key=key,
        topic="orders/create",
        fingerprint=b"\x00\xff",
        headers=b"{}",
        body=b'{"a":"\xc3\xa9"}',
        received_us=5,
        outcome="applied",
    )
    return msgspec.structs.replace(made, **changes)


def parked(name: str = "p1", parent: str = "ext-o1", **changes: Any) -> Parked:
    made = Parked(
        id=name,
        parent=("shop", parent),
        message=(SHOP, "k1"),
        parked_us=5,
        deadline_us=10,
        command=b"{}",
    )
    return msgspec.structs.replace(made, **changes)


def fetch(name: str = "t1", **changes: Any) -> Fetch:
    made = Fetch(id=name, source=SHOP, order_ref="9", version=3, due_us=50)
    return msgspec.structs.replace(made, **changes)


def exception(name: str = "e1", **changes: Any) -> ExceptionRecord:
    made = ExceptionRecord(
        id=ExceptionId(name),
        code="NO_STOCK",
        subject="o1",
        state="open",
        owner="desk",
        version=1,
        opened_at=NOW,
        updated_at=NOW,
        what={"sku": "shirt", "units": 2, "tried": ["leeds"]},
    )
    return msgspec.structs.replace(made, **changes)


def hold(name: str = "h1", **changes: Any) -> Hold:
    made = Hold(
        id=HoldId(name),
        market=UK,
        state="held",
        owner="cart-1",
        lines=(HoldLine(Sku("shirt"), LocationId("leeds"), 1),),
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=15),
        epoch="E1",
    )
    return msgspec.structs.replace(made, **changes)


def movement(name: str = "op1", **changes: Any) -> Movement:
    lines = (("shirt", "leeds", {"allocated": 2}),)
    made = Movement(
        operation_id=OperationId(name), kind="allocate", market=UK, lines=lines, at_us=5
    )
    return msgspec.structs.replace(made, **changes)


def item(sku: str = "shirt", *names: str, title: str = "") -> CatalogItem:
    return CatalogItem(sku=Sku(sku), title=title, external=tuple(("shop", name) for name in names))


def event(name: str, version: int = 1, ordering_key: str = "o1") -> Event:
    return Event(
        id=EventId(name),
        entity="order",
        name="routed",
        key="o1",
        ordering_key=ordering_key,
        version=version,
        at_us=5,
        data=b"{}",
    )


def shift(**changes: int) -> Shift:
    return Shift(**changes)
