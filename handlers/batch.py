"""The batch: one unit of work for many messages; the one place that owns the control flow.

Read, apply, decide, reserve, take, write, commit; then the gate learns what the ledger freed. A bad
message never fails its neighbours: a batch that fails by a defect is run again in halves until the
culprit stands alone and is quarantined.
"""

import asyncio
from typing import Protocol

import msgspec

from config.clock import Clock
from config.errors import (
    Conflict,
    EngineDown,
    ImvError,
    KeyReused,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from config.ids import IdFactory, MarketId, OperationId
from config.limits import BATCH_ATTEMPTS_MAX
from config.log import get_log
from handlers.apply import Result, apply_message
from handlers.claim import Claims
from handlers.commands import Suspect
from handlers.desk import Desk, Facts
from handlers.directory import Directory
from handlers.lookup import cells_of, committed_of, lookup_of, merge, second_lookup
from handlers.message import Message, Outcome
from handlers.sourcing import decide
from handlers.stock import watch_levels
from store.gate_port import Cell, Gate, GateKeeper
from store.ports import Changes, InboxRow, Lookup, Store, UnitOfWork

_log = get_log("batch")
_COMMIT_LOOKS = 40
_COMMIT_LOOK_S = 0.25

Settled = Outcome | Exception
"""What a message's sender gets: an outcome, or an error (for operators, and when we are not able)."""


class Committed(Protocol):
    """Hears of every commit (the relay wakes up, metrics count)."""

    def __call__(self, outcomes: list[Settled], changes: Changes) -> None:
        """Take note; must not fail and not block."""
        ...


class _LedgerShort(Exception):
    """The gate admitted more than the ledger has: a turn of the control flow, never seen outside."""

    def __init__(self, cells: frozenset[Cell]) -> None:
        super().__init__("the ledger has less than the gate")
        self.cells = cells


class Batch:
    """Runs batches, one at a time."""

    def __init__(  # noqa: PLR0913 - the parts that a batch is made of, wired once
        self,
        *,
        store: Store,
        gate: Gate,
        keeper: GateKeeper,
        directory: Directory,
        clock: Clock,
        ids: IdFactory,
        committed: Committed,
    ) -> None:
        """Take the ports."""
        self._store = store
        self._gate = gate
        self._keeper = keeper
        self._directory = directory
        self._clock = clock
        self._ids = ids
        self._committed = committed

    async def run(self, messages: list[Message]) -> list[Settled]:
        """Settle every message, in order; never raises for a message's fault or an engine's."""
        for attempt in range(BATCH_ATTEMPTS_MAX):
            desks: list[Desk] = []
            try:
                return await self._once(messages, desks)
            except _LedgerShort as short:
                await self._give_back(desks)
                await self._repair(desks, short.cells)
            except Conflict as conflict:
                await self._give_back(desks)
                _log.info("batch.conflict", attempt=attempt, reason=conflict.detail)
            except OutcomeUnknown as unknown:
                return await self._look_for(messages, unknown)
            except Unavailable as error:
                await self._give_back(desks)
                return [error for _ in messages]
            except Exception as defect:  # noqa: BLE001 - a defect is isolated, never spread
                await self._give_back(desks)
                return await self._isolate(messages, defect)
        return await self._isolate(messages, Conflict("lost to others too often"))

    async def _once(self, messages: list[Message], desks: list[Desk]) -> list[Settled]:
        """Run all messages in one transaction; the desk is kept where a failure can see it."""
        facts = Facts(self._clock.now(), self._ids, self._directory)
        async with self._store.unit_of_work() as work:
            desk, claims = await self._read(work, messages, facts)
            desks.append(desk)
            results = self._apply(desk, claims)
            decided = await decide(desk, self._gate)
            outcomes = claims.outcomes(results, decided)
            await self._write(work, desk, claims.rows(outcomes))
        self._committed(outcomes, desk.changes)
        await self._tell_gate(desk)
        return outcomes

    async def _read(
        self, work: UnitOfWork, messages: list[Message], facts: Facts
    ) -> tuple[Desk, Claims]:
        found = await work.find(lookup_of(messages))
        if more := second_lookup(messages, facts, found):
            merge(found, await work.find(more))
        facts = msgspec.structs.replace(
            facts,
            levels=await work.levels(cells_of(messages, facts, found)),
            committed=await work.committed(committed_of(messages, facts, found)),
        )
        return Desk(facts, found), Claims(messages, found.messages)

    def _apply(self, desk: Desk, claims: Claims) -> dict[str, Result | Rejected]:
        """Apply each fresh message on its own draft; a rejected one leaves nothing but its reason."""
        results: dict[str, Result | Rejected] = {}
        for message in claims.fresh:
            draft = desk.draft(message.by)
            try:
                results[message.id] = apply_message(draft, message)
            except Rejected as rejected:
                results[message.id] = rejected
                if message.operator:
                    continue
                draft = desk.draft(message.by)
                draft.message_event("quarantined", message, rejected.detail)
            draft.accept()
        for message in claims.conflicting:
            draft = desk.draft(message.by)
            draft.message_event("quarantined", message, KeyReused().detail)
            draft.accept()
        return results

    async def _write(self, work: UnitOfWork, desk: Desk, rows: list[InboxRow]) -> None:
        """Take first: the gate models the ledger as it was before this batch's own shifts."""
        await work.check_epochs(desk.epochs)
        if short := await work.take(desk.takes):
            raise _LedgerShort(short)
        levels = await work.shift(desk.shifts)
        watched = {c: levels[c] for c, (_, shift) in desk.shifts.items() if shift.on_hand}
        if watched:
            subjects = {f"{cell.sku}@{cell.location}" for cell in watched}
            codes = ("NEGATIVE_ON_HAND", "OVERSOLD")
            open_ones = Lookup(exceptions={(s, code) for s in subjects for code in codes})
            desk.exceptions.update((await work.find(open_ones)).exceptions)
            draft = desk.draft("stock")
            watch_levels(draft, watched)
            draft.accept()
        desk.changes.messages.extend(rows)
        await work.write(desk.changes)

    async def _tell_gate(self, desk: Desk) -> None:
        """Tell the gate what the ledger changed; where that fails, the keeper reconciles."""
        for market, operations in desk.gate_shifts.items():
            try:
                await self._gate.shift(market, tuple(operations))
            except ImvError as error:
                _log.warning("gate.shift_lost", market=market, reason=error.detail)

    async def _give_back(self, desks: list[Desk]) -> None:
        """Undo at the gate what a rolled back batch took; where that fails, the keeper reaps it."""
        granted: dict[MarketId, list[OperationId]] = desks[0].granted if desks else {}
        for market, operations in granted.items():
            try:
                await self._gate.undo(market, tuple(operations))
            except ImvError as error:
                _log.warning("gate.undo_lost", market=market, reason=error.detail)

    async def _repair(self, desks: list[Desk], cells: frozenset[Cell]) -> None:
        markets: dict[MarketId, set[Cell]] = {}
        for cell in cells:
            market = self._directory.locations[cell.location].market
            markets.setdefault(market, set()).add(cell)
        for market, wrong in markets.items():
            _log.warning("gate.too_generous", market=market, cells=len(wrong), batch=len(desks))
            try:
                await self._keeper.repair(market, frozenset(wrong))
            except ImvError as error:
                _log.warning("gate.repair_failed", market=market, reason=error.detail)

    async def _isolate(self, messages: list[Message], defect: Exception) -> list[Settled]:
        """Run the halves apart; a culprit that stands alone is quarantined with its reason."""
        if len(messages) > 1:
            middle = len(messages) // 2
            return [*await self.run(messages[:middle]), *await self.run(messages[middle:])]
        message = messages[0]
        _log.error(
            "message.defect",
            source=message.source,
            message=message.id,
            topic=message.topic,
            exc_info=defect,
        )
        quarantined = any(isinstance(task, Suspect) for task in message.tasks)
        if isinstance(defect, Conflict):
            return [Unavailable("others keep changing the same order; send it again")]
        if message.operator or quarantined:
            return [defect if message.operator else EngineDown("the message cannot be stored")]
        reason = f"cannot be applied: {type(defect).__name__}"
        return await self.run([msgspec.structs.replace(message, tasks=(Suspect(reason=reason),))])

    async def _look_for(self, messages: list[Message], unknown: OutcomeUnknown) -> list[Settled]:
        """The commit's answer was lost: the inbox tells whether it was done."""
        wanted = Lookup(messages={(m.source, m.key) for m in messages if m.recorded})
        for _ in range(_COMMIT_LOOKS):
            try:
                async with self._store.unit_of_work() as work:
                    found = await work.find(wanted)
            except ImvError:
                await asyncio.sleep(_COMMIT_LOOK_S)
                continue
            ours = {row.id: row for row in found.messages.values()}
            if any(message.id in ours for message in messages):
                return [_from_row(ours.get(message.id), unknown) for message in messages]
            return await self.run(messages)
        return [unknown for _ in messages]


def _from_row(row: InboxRow | None, unknown: OutcomeUnknown) -> Settled:
    if row is None:
        return unknown
    return Outcome(
        name=row.outcome,  # type: ignore[arg-type]  # written by us, from the same closed set
        message_id=row.id,
        order_id=row.order_id,
        reason=row.reason,
        answer=row.answer,
    )
