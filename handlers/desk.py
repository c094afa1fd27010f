"""The desk: a batch's working set. A message writes on a draft; a good draft is laid on the desk.

Records are frozen; the desk and its drafts only hold which version of them is the newest.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from config.clock import to_ms, to_us
from config.ids import (
    EventId,
    ExceptionId,
    FulfilmentId,
    HoldId,
    IdFactory,
    MarketId,
    OperationId,
    OrderId,
    SourceId,
)
from handlers.directory import Directory
from handlers.message import Message
from handlers.owners import owner_of
from outbox.event import Entity, Event
from store.gate_port import Cell, Operation
from store.ports import (
    Changes,
    ExceptionFile,
    Found,
    FulfilmentFile,
    HoldFile,
    Movement,
    OrderFile,
    Parked,
    Ref,
    Shift,
    Take,
)
from store.records import (
    ExceptionRecord,
    Fulfilment,
    HistoryEntry,
    Hold,
    Level,
    Order,
    Refund,
    Tender,
)

HISTORY_MAX = 500
encode = msgspec.json.encode


class HoldWish(msgspec.Struct, frozen=True):
    """A hold that waits for its stock, and the message that asked for it."""

    hold: Hold
    message: Message


class Facts(msgspec.Struct, frozen=True):
    """What a batch is decided with: time, ids and the directory come in as arguments."""

    now: datetime
    ids: IdFactory
    directory: Directory
    levels: dict[Cell, Level] = {}
    committed: dict[tuple[SourceId, Cell], int] = {}

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
        self.changes = Changes()
        self.takes: dict[Cell, Take] = {}
        self.shifts: dict[Cell, tuple[MarketId, Shift]] = {}
        self.to_route: dict[OrderId, tuple[str, ...]] = {}
        self.to_hold: dict[str, HoldWish] = {}
        self.gate_shifts: dict[MarketId, list[Operation]] = {}
        self.granted: dict[MarketId, list[OperationId]] = {}
        self.epochs: dict[MarketId, str] = {}

    def draft(self, by: str) -> "Draft":
        """Open a draft on this desk."""
        return Draft(self, by)


class Draft:
    """One message's changes; nothing is seen by others until `accept`."""

    def __init__(self, desk: Desk, by: str) -> None:
        """Start empty over the desk."""
        self.desk = desk
        self.facts = desk.facts
        self.by = by
        self._files: dict[OrderId, OrderFile] = {}
        self._refs: dict[Ref, OrderId] = {}
        self._fulfilments: dict[FulfilmentId, FulfilmentFile] = {}
        self._holds: dict[HoldId, HoldFile] = {}
        self._exceptions: dict[tuple[str, str], ExceptionFile] = {}
        self._payments: dict[Ref, OrderId] = {}
        self._parked: list[Parked] = []
        self._steps: list[Callable[[Desk], None]] = []
        self._events: list[Event] = []
        self._unparked: set[str] = set()

    # --- reading ---------------------------------------------------------------------------

    def order(self, order_id: OrderId) -> OrderFile | None:
        """Return the newest state of an order."""
        return self._files.get(order_id) or self.desk.files.get(order_id)

    def order_of_ref(self, source: str, ref: str) -> OrderFile | None:
        """Return the order that a source calls so."""
        order_id = self._refs.get((source, ref)) or self.desk.refs.get((source, ref))
        return self.order(order_id) if order_id else None

    def order_of_payment(self, source: str, payment_ref: str) -> OrderFile | None:
        """Return the order that this payment was recorded for."""
        key = (source, payment_ref)
        order_id = self._payments.get(key) or self.desk.payments.get(key)
        return self.order(order_id) if order_id else None

    def hold(self, hold_id: HoldId) -> HoldFile | None:
        """Return the newest state of a hold."""
        return self._holds.get(hold_id) or self.desk.holds.get(hold_id)

    def waiting_for(self, parent: Ref) -> list[Parked]:
        """Return what waits for this parent and was not taken yet."""
        waiting = [*self.desk.parked.get(parent, ()), *self._parked]
        taken = self.desk.unparked | self._unparked
        return [one for one in waiting if one.parent == parent and one.id not in taken]

    # --- orders and what belongs to them ---------------------------------------------------

    def save(self, file: OrderFile) -> OrderFile:
        """Make this the newest state of its order, without an event."""
        self._files[file.order.id] = file
        self._refs[(file.order.source, file.order.external_id)] = file.order.id
        self.step(lambda desk: _lay_order(desk, file))
        return file

    def order_event(self, file: OrderFile, name: str, detail: str = "") -> OrderFile:
        """Publish `order.<name>`: the order's version rises by one, its history grows."""
        order = msgspec.structs.replace(
            file.order, version=file.order.version + 1, updated_at=self.facts.now
        )
        file = self.note(msgspec.structs.replace(file, order=order), f"order.{name}", detail)
        self._emit("order", name, order.id, order.id, order)
        return self.save(file)

    def note(self, file: OrderFile, event: str, detail: str = "") -> OrderFile:
        """Add a step to the order's history; the first steps stay when it grows too long."""
        entry = HistoryEntry(self.facts.now, event, self.by, file.order.version, detail)
        history = (*file.history, entry)
        if len(history) > HISTORY_MAX:
            history = (*history[: HISTORY_MAX // 2], *history[-HISTORY_MAX // 2 :])
        return msgspec.structs.replace(file, history=history)

    def fulfilment_event(
        self, file: OrderFile, fulfilment: Fulfilment, name: str, detail: str = ""
    ) -> OrderFile:
        """Publish `fulfilment.<name>` with the new state of a fulfilment of this order."""
        fulfilment = msgspec.structs.replace(
            fulfilment, version=fulfilment.version + 1, updated_at=self.facts.now
        )
        old = {one.fulfilment.id: one for one in file.fulfilments}
        lock = old[fulfilment.id].lock if fulfilment.id in old else 0
        old[fulfilment.id] = FulfilmentFile(fulfilment, lock)
        self._fulfilments[fulfilment.id] = old[fulfilment.id]
        file = msgspec.structs.replace(file, fulfilments=tuple(old.values()))
        text = detail or f"{fulfilment.location}: {fulfilment.state}"
        file = self.note(file, f"fulfilment.{name}", text)
        order_id = fulfilment.order_id
        self._emit("fulfilment", name, fulfilment.location, order_id, fulfilment)
        return self.save(file)

    def payment_event(self, record: Tender | Refund, name: str) -> None:
        """Publish `payment.<name>`; the record already has its new version."""
        self._emit("payment", name, record.order_id, record.order_id, record)

    def join_payment(self, source: str, payment_ref: str, order_id: OrderId) -> None:
        """Remember which order a payment belongs to."""
        self._payments[(source, payment_ref)] = order_id

    def route(self, order_id: OrderId, excluded: tuple[str, ...] = ()) -> None:
        """Have the order's unassigned units routed after all messages are applied."""
        self.step(lambda desk: desk.to_route.__setitem__(order_id, excluded))

    # --- holds, exceptions, waiting --------------------------------------------------------

    def save_hold(self, file: HoldFile) -> None:
        """Make this the newest state of its hold."""
        self._holds[file.hold.id] = file

    def open_exception(
        self,
        code: str,
        subject: str,
        what: dict[str, str | int | list[str]],
        *,
        file: OrderFile | None = None,
        location: str | None = None,
    ) -> None:
        """Open a work item, unless the same one is open for the subject already."""
        if self._open(code, subject):
            return
        record = ExceptionRecord(
            id=ExceptionId(self.facts.new_id()),
            code=code,
            subject=subject,
            state="open",
            owner=owner_of(code),
            version=1,
            opened_at=self.facts.now,
            updated_at=self.facts.now,
            what=what,
            order_id=file.order.id if file else None,
            location=location,  # type: ignore[arg-type]  # NewType of the same string
        )
        self._exceptions[(subject, code)] = ExceptionFile(record)
        key = record.order_id or location or subject
        self._emit("exception", "opened", key, record.order_id or record.id, record)

    def resolve_exception(self, code: str, subject: str) -> None:
        """Close the work item of a subject, if one is open."""
        found = self._open(code, subject)
        if found is None:
            return
        record = msgspec.structs.replace(
            found.record,
            state="resolved",
            version=found.record.version + 1,
            updated_at=self.facts.now,
        )
        self._exceptions[(subject, code)] = ExceptionFile(record, found.lock)
        key = record.order_id or record.location or subject
        self._emit("exception", "resolved", key, record.order_id or record.id, record)

    def _open(self, code: str, subject: str) -> ExceptionFile | None:
        key = (subject, code)
        found = self._exceptions.get(key) or self.desk.exceptions.get(key)
        return found if found and found.record.state != "resolved" else None

    def park(self, parked: Parked) -> None:
        """Keep a command until its parent comes."""
        self._parked.append(parked)

    def unpark(self, parked: Parked) -> None:
        """Take a waiting command off the shelf."""
        self._unparked.add(parked.id)

    def message_event(self, name: str, message: Message, reason: str) -> None:
        """Publish `message.<name>` about a message itself, without its content."""
        row = {
            "id": message.id,
            "version": 1,
            "source": message.source,
            "key": message.key,
            "topic": message.topic,
            "reason": reason,
        }
        self._event("message", name, message.source, message.id, 1, encode(row))

    # --- stock -----------------------------------------------------------------------------

    def move(
        self,
        kind: str,
        market: MarketId,
        lines: dict[Cell, Shift],
        *,
        order_id: OrderId | None = None,
        reason: str = "",
    ) -> None:
        """Book an unconditional stock operation; the gate learns of it after the commit."""
        operation = OperationId(self.facts.new_id())
        movement = Movement(
            operation_id=operation,
            kind=kind,
            market=market,
            lines=tuple((c.sku, c.location, _columns(shift)) for c, shift in sorted(lines.items())),
            at_us=to_us(self.facts.now),
            order_id=order_id,
            reason=reason,
        )
        takes = tuple((c, -s.available) for c, s in sorted(lines.items()) if s.available)
        self.step(lambda desk: _lay_movement(desk, movement, lines))
        if takes:
            gate = Operation(operation, takes)
            self.step(lambda desk: desk.gate_shifts.setdefault(market, []).append(gate))

    def commit_units(self, order: Order, cell: Cell, units: int) -> None:
        """Count units that an order of the location's stock owner holds there (for its counts)."""
        if units and self.facts.directory.owns_stock(order.source, cell.location):
            key = (order.source, cell)
            self.step(lambda desk: _add(desk.changes.commitments, key, units))

    def step(self, change: Callable[[Desk], None]) -> None:
        """Remember a change to the desk for when the draft is accepted."""
        self._steps.append(change)

    # --- the end ---------------------------------------------------------------------------

    def accept(self) -> None:
        """Lay everything on the desk, in the order in which it was done."""
        desk = self.desk
        for change in self._steps:
            change(desk)
        desk.refs.update(self._refs)
        desk.holds.update(self._holds)
        desk.changes.holds.update(self._holds)
        desk.exceptions.update(self._exceptions)
        desk.changes.exceptions.update({f.record.id: f for f in self._exceptions.values()})
        desk.payments.update(self._payments)
        desk.changes.payments.update(self._payments)
        desk.changes.fulfilments.update(self._fulfilments)
        self._lay_waiting(desk)
        desk.changes.events.extend(self._events)

    def _lay_waiting(self, desk: Desk) -> None:
        for parked in self._parked:
            desk.parked.setdefault(parked.parent, []).append(parked)
        desk.changes.parked.extend(p for p in self._parked if p.id not in self._unparked)
        desk.unparked |= self._unparked
        desk.changes.unparked.extend(sorted(self._unparked))
        fresh = {p.id for p in desk.changes.parked}
        desk.changes.parked = [p for p in desk.changes.parked if p.id not in desk.unparked]
        desk.changes.unparked = [one for one in desk.changes.unparked if one not in fresh]

    def _emit(self, entity: Entity, name: str, key: str, ordering_key: str, record: Any) -> None:
        self._event(entity, name, key, ordering_key, record.version, encode(record))

    def _event(  # noqa: PLR0917 - the fields of an event
        self, entity: Entity, name: str, key: str, ordering_key: str, version: int, data: bytes
    ) -> None:
        event = Event(
            id=EventId(self.facts.new_id()),
            entity=entity,
            name=name,
            key=key,
            ordering_key=ordering_key,
            version=version,
            at_us=to_us(self.facts.now),
            data=data,
        )
        self._events.append(event)


def _columns(shift: Shift) -> dict[str, int]:
    names = ("on_hand", "safety", "held", "allocated")
    return {name: getattr(shift, name) for name in names if getattr(shift, name)}


def _lay_order(desk: Desk, file: OrderFile) -> None:
    desk.files[file.order.id] = file
    desk.changes.orders[file.order.id] = file


def _lay_movement(desk: Desk, movement: Movement, lines: dict[Cell, Shift]) -> None:
    desk.changes.movements.append(movement)
    for cell, shift in lines.items():
        _, before = desk.shifts.get(cell, (movement.market, Shift()))
        desk.shifts[cell] = (movement.market, before.plus(shift))


def _add(totals: dict[Any, int], key: Any, units: int) -> None:
    totals[key] = totals.get(key, 0) + units
