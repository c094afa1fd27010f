"""What the use cases need from the store: one unit of work for a whole batch, and its values."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import msgspec

from config.ids import (
    FulfilmentId,
    HoldId,
    LocationId,
    MarketId,
    MessageId,
    OperationId,
    OrderId,
    Sku,
    SourceId,
)
from outbox.event import Event
from routing.sourcing.problem import RoutePlan
from store.gate_port import Cell
from store.records import (
    CatalogItem,
    ExceptionRecord,
    Fulfilment,
    HistoryEntry,
    Hold,
    Level,
    Order,
)

MessageKey = tuple[SourceId, str]
Ref = tuple[str, str]
"""A source id, and that source's own id for something."""


class MarketSku(NamedTuple):
    """A SKU in one market, which is what is offered to channels."""

    market: MarketId
    sku: Sku


class Told(msgspec.Struct, frozen=True):
    """The availability of a SKU that was published last."""

    version: int
    published_us: int
    units: dict[LocationId, int]


class Offer(msgspec.Struct, frozen=True):
    """The units available of a SKU by location (negative: too much is promised), and what was told."""

    units: dict[LocationId, int]
    told: Told | None = None


class InboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message with its raw body and its first outcome; `(source, key)` is unique while kept."""

    id: MessageId
    source: SourceId
    key: str
    topic: str
    fingerprint: bytes
    headers: bytes
    body: bytes
    received_us: int
    outcome: str
    reason: str = ""
    order_id: OrderId | None = None
    answer: bytes | None = None


class FulfilmentFile(msgspec.Struct, frozen=True):
    """A fulfilment with the lock it was read under; 0 means not stored yet."""

    fulfilment: Fulfilment
    lock: int = 0


class OrderFile(msgspec.Struct, frozen=True, kw_only=True):
    """An order with all that is written with it.

    `plan` is only set when a new one was made; `undecided` orders wait for the gate; `lock` 0 means
    not stored yet.
    """

    order: Order
    fulfilments: tuple[FulfilmentFile, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    plan: RoutePlan | None = None
    undecided: bool = False
    lock: int = 0


class HoldFile(msgspec.Struct, frozen=True):
    """A hold with the lock it was read under; 0 means not stored yet."""

    hold: Hold
    lock: int = 0


class ExceptionFile(msgspec.Struct, frozen=True):
    """An exception with the lock it was read under; 0 means not stored yet."""

    record: ExceptionRecord
    lock: int = 0


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A command that waits for its parent; `command` is its JSON."""

    id: str
    parent: Ref
    message: MessageKey
    parked_us: int
    deadline_us: int
    command: bytes
    overdue: bool = False


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """A thin notification whose order is still to be read from its platform."""

    id: str
    source: SourceId
    order_ref: str
    version: int
    attempts: int = 0
    due_us: int
    reason: str = ""


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable stock operation. `lines` are (sku, location, {level column: change})."""

    operation_id: OperationId
    kind: str
    market: MarketId
    lines: tuple[tuple[str, str, dict[str, int]], ...]
    at_us: int
    order_id: OrderId | None = None
    reason: str = ""


class Shift(msgspec.Struct, frozen=True):
    """Unconditional changes of one level; `counted_version` replaces, the others add."""

    on_hand: int = 0
    safety: int = 0
    held: int = 0
    allocated: int = 0
    counted_version: int = 0

    def plus(self, other: "Shift") -> "Shift":
        """Return both changes as one."""
        return Shift(
            self.on_hand + other.on_hand,
            self.safety + other.safety,
            self.held + other.held,
            self.allocated + other.allocated,
            max(self.counted_version, other.counted_version),
        )

    @property
    def available(self) -> int:
        """Return by how much this changes what may be promised."""
        return self.on_hand - self.safety - self.held - self.allocated


class Take(msgspec.Struct, frozen=True):
    """Units that are allocated or held only where that many are available."""

    allocated: int = 0
    held: int = 0


class Lookup(msgspec.Struct):
    """Everything that a batch wants to read, so that it is read in a few statements."""

    messages: set[MessageKey] = msgspec.field(default_factory=set)
    orders: set[Ref] = msgspec.field(default_factory=set)
    order_ids: set[OrderId] = msgspec.field(default_factory=set)
    fulfilments: set[FulfilmentId] = msgspec.field(default_factory=set)
    payments: set[Ref] = msgspec.field(default_factory=set)
    parents: set[Ref] = msgspec.field(default_factory=set)
    items: set[Ref] = msgspec.field(default_factory=set)
    skus: set[Sku] = msgspec.field(default_factory=set)
    holds: set[HoldId] = msgspec.field(default_factory=set)
    exceptions: set[tuple[str, str]] = msgspec.field(default_factory=set)
    """Open ones, by subject and code."""


class Found(msgspec.Struct):
    """What there is of a lookup; what is missing is not there."""

    messages: dict[MessageKey, InboxRow] = msgspec.field(default_factory=dict)
    orders: dict[OrderId, OrderFile] = msgspec.field(default_factory=dict)
    order_of_payment: dict[Ref, OrderId] = msgspec.field(default_factory=dict)
    order_of_fulfilment: dict[FulfilmentId, OrderId] = msgspec.field(default_factory=dict)
    parked: dict[Ref, list[Parked]] = msgspec.field(default_factory=dict)
    sku_of_item: dict[Ref, Sku] = msgspec.field(default_factory=dict)
    skus: set[Sku] = msgspec.field(default_factory=set)
    holds: dict[HoldId, HoldFile] = msgspec.field(default_factory=dict)
    exceptions: dict[tuple[str, str], ExceptionFile] = msgspec.field(default_factory=dict)


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to what by hand; `fingerprint` is the hex SHA-256 of the request."""

    at_us: int
    actor: str
    token_id: str
    action: str
    subject: str
    fingerprint: str = ""


class Changes(msgspec.Struct):
    """Everything that a batch writes besides takes and shifts of levels."""

    messages: list[InboxRow] = msgspec.field(default_factory=list)
    orders: dict[OrderId, OrderFile] = msgspec.field(default_factory=dict)
    fulfilments: dict[FulfilmentId, FulfilmentFile] = msgspec.field(default_factory=dict)
    movements: list[Movement] = msgspec.field(default_factory=list)
    commitments: dict[tuple[SourceId, Cell], int] = msgspec.field(default_factory=dict)
    holds: dict[HoldId, HoldFile] = msgspec.field(default_factory=dict)
    payments: dict[Ref, OrderId] = msgspec.field(default_factory=dict)
    parked: list[Parked] = msgspec.field(default_factory=list)
    unparked: list[str] = msgspec.field(default_factory=list)
    overdue: list[str] = msgspec.field(default_factory=list)
    fetches: list[Fetch] = msgspec.field(default_factory=list)
    fetched: list[str] = msgspec.field(default_factory=list)
    exceptions: dict[str, ExceptionFile] = msgspec.field(default_factory=dict)
    catalog: list[CatalogItem] = msgspec.field(default_factory=list)
    told: dict[MarketSku, Told] = msgspec.field(default_factory=dict)
    events: list[Event] = msgspec.field(default_factory=list)
    audit: list[AuditEntry] = msgspec.field(default_factory=list)


class UnitOfWork(Protocol):
    """One write transaction for a batch; commits when its context ends without an error.

    Every call may raise `EngineDown` (nothing was applied) or `Conflict` (run the batch again).
    """

    async def find(self, lookup: Lookup) -> Found:
        """Read everything of the lookup."""
        ...

    async def levels(self, cells: frozenset[Cell]) -> dict[Cell, Level]:
        """Read and lock levels; a cell that was never stocked is missing."""
        ...

    async def committed(
        self, wanted: frozenset[tuple[SourceId, Cell]]
    ) -> dict[tuple[SourceId, Cell], int]:
        """Read how many units a source's own orders hold at cells that it owns."""
        ...

    async def available(self, market: MarketId, skus: frozenset[Sku]) -> dict[Cell, int]:
        """Read the units available in all cells of some SKUs; negative where too much is promised."""
        ...

    async def has_taken(self, operations: Sequence[OperationId]) -> bool:
        """Tell whether any of these operations is in the ledger, and not voided."""
        ...

    async def check_epochs(self, epochs: dict[MarketId, str]) -> None:
        """Raise Conflict where the gate of a market has another epoch than the reservations."""
        ...

    async def take(self, takes: dict[Cell, Take]) -> frozenset[Cell]:
        """Take units where that many are available; return the cells that had too little."""
        ...

    async def shift(self, shifts: dict[Cell, tuple[MarketId, Shift]]) -> dict[Cell, Level]:
        """Change levels unconditionally (new ones are made) and return what they are now."""
        ...

    async def raise_versions(self, events: Mapping[Cell, int]) -> dict[Cell, int]:
        """Count events about levels, and return the version that each level's last one has."""
        ...

    async def offers(self, keys: Collection[MarketSku]) -> dict[MarketSku, Offer]:
        """Read the availability of SKUs as it is in this transaction, and what was told of it."""
        ...

    async def write(self, changes: Changes) -> None:
        """Write the rest; Conflict where a unique key or a lock was lost."""
        ...


class Store(Protocol):
    """Opens units of work."""

    def unit_of_work(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open one; raises as `outbox.ports.Transactions.write`."""
        ...
