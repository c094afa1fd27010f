"""What people and our own timers ask for; they take the same way through the batch as webhooks."""

from typing import Annotated, Literal

import msgspec

from config.ids import FulfilmentId, HoldId, LocationId, MarketId, OrderId, Sku
from config.limits import HOLD_S_DEFAULT, HOLD_S_MAX, ORDER_LINES_MAX
from handlers.commands import Command, PlaceOrder, Quantity, Text
from store.ports import Fetch, MarketSku
from store.records import CatalogItem

FulfilmentAction = Literal[
    "acknowledge",
    "start",
    "pick",
    "stage",
    "ready",
    "collect",
    "pack",
    "hand-off",
    "deliver",
    "short",
    "reject",
]


class _Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all actions share: immutable and strict."""


class ShortUnits(_Action, frozen=True):
    """Units of a fulfilment's line that could not be found."""

    line_id: str
    quantity: Annotated[int, msgspec.Meta(ge=1)]


class ActOnFulfilment(_Action, frozen=True, kw_only=True):
    """Move a fulfilment on, decided on the version that was shown."""

    fulfilment_id: FulfilmentId
    action: FulfilmentAction
    version: int
    reason: Text = ""
    tracking: Text = ""
    lines: tuple[ShortUnits, ...] = ()


class PlaceByHand(_Action, frozen=True):
    """A new order that a person or program places through `/v1`; it never amends another."""

    order: PlaceOrder


class HoldLineAsked(_Action, frozen=True):
    """So many units of a SKU."""

    sku: Sku
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class PlaceHold(_Action, frozen=True, kw_only=True):
    """Keep stock for a while; `location` restricts it to one place (a pickup)."""

    market: MarketId
    lines: Annotated[
        tuple[HoldLineAsked, ...], msgspec.Meta(min_length=1, max_length=ORDER_LINES_MAX)
    ]
    location: LocationId | None = None
    owner: Text = ""
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=HOLD_S_MAX)] = HOLD_S_DEFAULT


class EndHold(_Action, frozen=True, kw_only=True):
    """Give a hold's stock back, because somebody asked or because it has expired."""

    hold_id: HoldId
    expired: bool = False


class StockRow(_Action, frozen=True, kw_only=True):
    """One row of a stock import, checked against the network before."""

    sku: Sku
    location: LocationId
    on_hand: Quantity
    safety_stock: Quantity = 0


class ImportStock(_Action, frozen=True):
    """Set on-hand and safety stock of many cells, all or none."""

    rows: tuple[StockRow, ...]


class ImportCatalog(_Action, frozen=True):
    """Add or replace items and what the channels call them, all or none."""

    items: tuple[CatalogItem, ...]


class DecideOrders(_Action, frozen=True):
    """Route what could not be decided when it came."""

    order_ids: tuple[OrderId, ...]


class ExpireParked(_Action, frozen=True):
    """A child whose parent has not come in time becomes a visible exception."""

    parked_id: str
    source: str
    parent: tuple[str, str]
    key: str
    parked_us: int


class ApplyWaiting(_Action, frozen=True):
    """Apply what was parked by one process while another brought its parent."""

    parents: tuple[tuple[str, str], ...]


class PublishAvailability(_Action, frozen=True):
    """Publish the availability of SKUs where it is not what was published last."""

    skus: tuple[MarketSku, ...]


class SettleFetch(_Action, frozen=True):
    """A thin notification is completed, or (with a reason) given up and made visible."""

    fetch_ids: tuple[str, ...]
    source: str
    order_ref: str
    failed: str = ""


class PostponeFetch(_Action, frozen=True):
    """The platform did not give the order now; try again when these are due."""

    fetches: tuple[Fetch, ...]


Action = (
    ActOnFulfilment
    | PlaceHold
    | EndHold
    | ImportStock
    | ImportCatalog
    | DecideOrders
    | ExpireParked
    | SettleFetch
    | PostponeFetch
    | PlaceByHand
    | ApplyWaiting
    | PublishAvailability
)
Task = Command | Action
