"""The desk: a batch's working set, on which good drafts are laid.

Records are frozen; the desk only holds which version of them is the newest.
"""

from datetime import datetime

import msgspec

from config.clock import to_ms
from config.ids import HoldId, IdFactory, MarketId, OperationId, OrderId, SourceId
from handlers.directory import Directory
from handlers.message import Message
from store.gate_port import Cell, Operation
from store.ports import (
    Changes,
    ExceptionFile,
    Found,
    HoldFile,
    MarketSku,
    Movement,
    OrderFile,
    Parked,
    Ref,
    Shift,
    Take,
)
from store.records import Hold, Level


class HoldWish(msgspec.Struct, frozen=True):
    """A hold that waits for its stock, and the message that asked for it."""

    hold: Hold
    message: Message


class Move(msgspec.Struct, frozen=True):
    """A stock operation of this batch, and who asked for it."""

    movement: Movement
    lines: dict[Cell, Shift]
    source: str
    traceparent: str


class Facts(msgspec.Struct, frozen=True):
    """What a batch is decided with: time, ids and the directory come in as arguments.

    `levels` and `committed` are as the ledger had them when the batch began; `absent` are cells that
    were looked for and had no level.
    """

    now: datetime
    ids: IdFactory
    directory: Directory
    levels: dict[Cell, Level] = {}
    committed: dict[tuple[SourceId, Cell], int] = {}
    absent: frozenset[Cell] = frozenset()

    def new_id(self) -> str:
        """Return a new time-ordered id."""
        return self.ids.new(to_ms(self.now))


class Desk:
    """The newest state of everything that the batch has read or made, and what it will write."""

    def __init__(self, facts: Facts, found: Found) -> None:
        """Start from what was found; nothing is changed yet."""
        self.facts = facts
        self.found = found
        self.files: dict[OrderId, OrderFile] = dict(found.orders)
        self.refs: dict[Ref, OrderId] = {
            (file.order.source, file.order.external_id): file.order.id
            for file in found.orders.values()
        }
        self.payments: dict[Ref, OrderId] = dict(found.order_of_payment)
        self.holds: dict[HoldId, HoldFile] = dict(found.holds)
        self.exceptions: dict[tuple[str, str], ExceptionFile] = dict(found.exceptions)
        self.unparked: set[str] = set()
        self.parked: dict[Ref, list[Parked]] = {k: list(v) for k, v in found.parked.items()}
        self.traces: dict[str, str] = {}
        self.changes = Changes()
        self.takes: dict[Cell, Take] = {}
        self.shifts: dict[Cell, tuple[MarketId, Shift]] = {}
        self.to_route: dict[OrderId, None] = {}
        """Orders with units to place, in the order in which they came."""
        self.to_hold: dict[str, HoldWish] = {}
        self.to_tell: dict[MarketSku, None] = {}
        """SKUs whose availability may be other than what was published of it."""
        self.moves: list[Move] = []
        self.gate_shifts: dict[MarketId, list[Operation]] = {}
        self.granted: dict[MarketId, list[OperationId]] = {}
        self.epochs: dict[MarketId, str] = {}

    def lay_order(self, file: OrderFile) -> None:
        """Make this the newest state of its order."""
        self.files[file.order.id] = file
        self.changes.orders[file.order.id] = file

    def lay_movement(self, move: Move) -> None:
        """Book a movement, and tell the gate after the commit what it frees or takes."""
        movement, lines = move.movement, move.lines
        self.moves.append(move)
        self.changes.movements.append(movement)
        for cell, shift in lines.items():
            self.shifts[cell] = (movement.market, self.shift_of(cell).plus(shift))
        takes = tuple((c, -s.available) for c, s in sorted(lines.items()) if s.available)
        if takes:
            gate = Operation(movement.operation_id, takes)
            self.gate_shifts.setdefault(movement.market, []).append(gate)

    def shift_of(self, cell: Cell) -> Shift:
        """Return by how much this batch changes a level so far, without what it takes."""
        return self.shifts[cell][1] if cell in self.shifts else Shift()

    def commit_units(self, key: tuple[SourceId, Cell], units: int) -> None:
        """Add to what a source's own orders hold at a cell."""
        self.changes.commitments[key] = self.changes.commitments.get(key, 0) + units
