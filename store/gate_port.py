"""The stock gate's contract: it decides in real time, may refuse wrongly, never admits wrongly.

The ledger (SQL) is the truth. Every operation has an id and is idempotent by it, so a call whose
answer was lost is simply made again.
"""

from typing import Protocol

import msgspec

from config.errors import Unavailable
from config.ids import LocationId, MarketId, OperationId, Sku


class GateClosed(Unavailable):
    """The stock gate is closed while it is rebuilt from the ledger; decide later."""

    slug = "gate-closed"


class Cell(msgspec.Struct, frozen=True, order=True):
    """One stock cell."""

    sku: Sku
    location: LocationId


class Operation(msgspec.Struct, frozen=True):
    """Units to take (positive) per cell, all or nothing; a cell stands at most once."""

    id: OperationId
    lines: tuple[tuple[Cell, int], ...]


class Granted(msgspec.Struct, frozen=True):
    """All lines of the operation are reserved at the gate, under this epoch."""

    operation: OperationId
    epoch: str


class Short(msgspec.Struct, frozen=True):
    """Nothing was reserved; these cells have too little, with what they have."""

    operation: OperationId
    cells: tuple[tuple[Cell, int], ...]


class Gate(Protocol):
    """Fast stock decisions for one or many processes. All raise Unavailable without Redis."""

    async def available(
        self, market: MarketId, skus: frozenset[Sku]
    ) -> dict[Sku, dict[LocationId, int]]:
        """Return the units free per SKU and location (unknown: missing).

        Raises:
            GateClosed: the gate has no valid epoch now. Unavailable: Redis does not answer.
        """
        ...

    async def reserve(
        self, market: MarketId, operations: tuple[Operation, ...]
    ) -> tuple[Granted | Short, ...]:
        """Take each operation's lines in order, each all or nothing; answers in the same order.

        One atomic script for the whole call. An id that is already there answers as the first time.

        Raises:
            GateClosed, Unavailable: as above; after `OutcomeUnknown` (a lost answer) nothing may be
            assumed: call again with the same ids, or leave them to the keeper.
        """
        ...

    async def undo(self, market: MarketId, operations: tuple[OperationId, ...]) -> None:
        """Give back what these operations took, where the ledger certainly does not have them."""
        ...

    async def shift(self, market: MarketId, operations: tuple[Operation, ...]) -> None:
        """Change availability after the ledger did: takes (positive) or gives back (negative).

        Unconditional, idempotent by id, remembered for the grace time. A lost shift is repaired by the
        keeper's reconciliation.
        """
        ...


class GateKeeper(Protocol):
    """Keeps gate and ledger in agreement; runs beside the batch."""

    async def repair(self, market: MarketId, cells: frozenset[Cell]) -> None:
        """Put these cells right from the ledger now (the batch found the gate too generous)."""
        ...

    async def run(self) -> None:
        """Open, rebuild, reap and reconcile until cancelled."""
        ...
