"""A draft: one message's changes over the desk; a good one is laid on it, a bad one is dropped."""

from collections.abc import Callable

import msgspec

from config.clock import to_us
from config.ids import (
    FulfilmentId,
    HoldId,
    MarketId,
    OperationId,
    OrderId,
    SourceId,
)
from handlers.desk import Desk, Move
from handlers.events import Events
from handlers.work_items import WorkItems
from store.gate_port import Cell
from store.ports import (
    FulfilmentFile,
    HoldFile,
    Movement,
    OrderFile,
    Parked,
    Ref,
    Shift,
)
from store.records import (
    Fulfilment,
    HistoryEntry,
    Level,
    Order,
)

HISTORY_MAX = 500


class Draft:
    """One message's changes; nothing is seen by others until `accept`."""

    def __init__(self, desk: Desk, by: str, *, source: str = "imv", traceparent: str = "") -> None:
        """Start empty over the desk; `by` names who asked, for timelines, `source` whose message it is.

        Without a trace context of its own, an order's events carry that of the message before.
        """
        self.desk = desk
        self._source = source
        self._traceparent = traceparent
        self.facts = desk.facts
        self.by = by
        self.events = Events(desk, traceparent)
        self.work_items = WorkItems(desk, self.events)
        self._files: dict[OrderId, OrderFile] = {}
        self._published: dict[OrderId, Order] = {}
        self._refs: dict[Ref, OrderId] = {}
        self._fulfilments: dict[FulfilmentId, FulfilmentFile] = {}
        self._holds: dict[HoldId, HoldFile] = {}
        self._payments: dict[Ref, OrderId] = {}
        self._parked: list[Parked] = []
        self._unparked: set[str] = set()
        self._shifts: dict[Cell, Shift] = {}
        self._committed: dict[tuple[SourceId, Cell], int] = {}
        self._steps: list[Callable[[Desk], object]] = []

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

    def level(self, cell: Cell) -> Level:
        """Return a level as it is after everything before this in the batch (but for its takes)."""
        level = self.facts.levels.get(cell) or Level(sku=cell.sku, location=cell.location)
        shift = self.desk.shift_of(cell).plus(self._shifts.get(cell, Shift()))
        return msgspec.structs.replace(
            level,
            on_hand=level.on_hand + shift.on_hand,
            safety=level.safety + shift.safety,
            counted_version=max(level.counted_version, shift.counted_version),
        )

    def committed(self, source: SourceId, cell: Cell) -> int:
        """Return the units that a source's own orders hold at a cell, as `level`."""
        key = (source, cell)
        earlier = self.desk.changes.commitments.get(key, 0) + self._committed.get(key, 0)
        return self.facts.committed.get(key, 0) + earlier

    # --- orders and what belongs to them ---------------------------------------------------

    def save(self, file: OrderFile) -> OrderFile:
        """Make this the newest state of its order; `accept` tells consumers of the difference."""
        self._files[file.order.id] = file
        self._refs[(file.order.source, file.order.external_id)] = file.order.id
        return file

    def order_event(self, file: OrderFile, name: str, detail: str = "") -> OrderFile:
        """Publish `order.<name>`: the order's version rises by one, its history grows."""
        file = self._published_as(file, name)
        return self.save(self.note(file, f"order.{name}", detail))

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
        groups = {one.fulfilment.id: one for one in file.fulfilments}
        lock = groups[fulfilment.id].lock if fulfilment.id in groups else 0
        groups[fulfilment.id] = FulfilmentFile(fulfilment, lock)
        self._fulfilments[fulfilment.id] = groups[fulfilment.id]
        file = msgspec.structs.replace(file, fulfilments=tuple(groups.values()))
        text = detail or f"{fulfilment.location}: {fulfilment.state}"
        file = self.note(file, f"fulfilment.{name}", text)
        self.events.fulfilment(fulfilment, name)
        return self.save(file)

    def join_payment(self, source: str, payment_ref: str, order_id: OrderId) -> None:
        """Remember which order a payment belongs to."""
        self._payments[(source, payment_ref)] = order_id

    def route(self, order_id: OrderId) -> None:
        """Have the order's unassigned units routed after all messages are applied."""
        self.step(lambda desk: desk.to_route.setdefault(order_id))

    # --- holds and waiting -----------------------------------------------------------------

    def save_hold(self, file: HoldFile) -> None:
        """Make this the newest state of its hold."""
        self._holds[file.hold.id] = file

    def park(self, parked: Parked) -> None:
        """Keep a command until its parent comes."""
        self._parked.append(parked)

    def unpark(self, parked: Parked) -> None:
        """Take a waiting command off the shelf, and close its work item."""
        self._unparked.add(parked.id)
        self.work_items.resolve("OUT_OF_ORDER", parked.id)

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
        movement = Movement(
            operation_id=OperationId(self.facts.new_id()),
            kind=kind,
            market=market,
            lines=tuple((c.sku, c.location, _columns(shift)) for c, shift in sorted(lines.items())),
            at_us=to_us(self.facts.now),
            order_id=order_id,
            reason=reason,
        )
        for cell, shift in lines.items():
            self._shifts[cell] = self._shifts.get(cell, Shift()).plus(shift)
        move = Move(movement, lines, self._source, self._traceparent)
        self.step(lambda desk: desk.lay_movement(move))

    def commit_units(self, order: Order, cell: Cell, units: int) -> None:
        """Count units that an order of the location's stock owner holds there (for its counts)."""
        if units and self.facts.directory.owns_stock(order.source, cell.location):
            key = (order.source, cell)
            self._committed[key] = self._committed.get(key, 0) + units
            self.step(lambda desk: desk.commit_units(key, units))

    def step(self, change: Callable[[Desk], object]) -> None:
        """Remember a change to the desk for when the draft is accepted."""
        self._steps.append(change)

    # --- the end ---------------------------------------------------------------------------

    def accept(self) -> None:
        """Lay everything on the desk, in the order in which it was done."""
        desk = self.desk
        for file in list(self._files.values()):
            desk.lay_order(self._tell(file))
            if self._traceparent:
                desk.traces[file.order.id] = self._traceparent
        for change in self._steps:
            change(desk)
        desk.refs.update(self._refs)
        desk.holds.update(self._holds)
        desk.changes.holds.update(self._holds)
        self.work_items.accept()
        desk.payments.update(self._payments)
        desk.changes.payments.update(self._payments)
        desk.changes.fulfilments.update(self._fulfilments)
        self._lay_waiting()
        desk.changes.events.extend(self.events.all)

    def _tell(self, file: OrderFile) -> OrderFile:
        """Publish `order.changed` where the row has changed without an event of its own."""
        before = self.desk.files.get(file.order.id)
        last = self._published.get(file.order.id) or (before.order if before else None)
        if last is not None and _but_for_time(file.order, last) == last:
            return file
        return self._published_as(file, "changed")

    def _published_as(self, file: OrderFile, name: str) -> OrderFile:
        order = msgspec.structs.replace(
            file.order, version=file.order.version + 1, updated_at=self.facts.now
        )
        self._published[order.id] = order
        self.events.order(order, name)
        return msgspec.structs.replace(file, order=order)

    def _lay_waiting(self) -> None:
        """Park what still waits; what was parked and taken within this batch is never written."""
        desk = self.desk
        for parked in self._parked:
            desk.parked.setdefault(parked.parent, []).append(parked)
        desk.unparked |= self._unparked
        fresh = {p.id for p in (*desk.changes.parked, *self._parked)}
        waiting = (*desk.changes.parked, *self._parked)
        desk.changes.parked = [p for p in waiting if p.id not in desk.unparked]
        desk.changes.unparked.extend(sorted(self._unparked - fresh))


def _columns(shift: Shift) -> dict[str, int]:
    names = ("on_hand", "safety", "held", "allocated")
    return {name: getattr(shift, name) for name in names if getattr(shift, name)}


def _but_for_time(order: Order, last: Order) -> Order:
    return msgspec.structs.replace(order, version=last.version, updated_at=last.updated_at)
