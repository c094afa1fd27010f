"""The batch: one unit of work for many messages; the one place that owns the control flow.

Read, apply, decide, reserve, take, write, commit; then the gate learns what the ledger freed. A bad
message never fails its neighbours: a batch that fails by a defect is run again in halves until the
culprit stands alone and is quarantined.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from config import crash
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
from handlers.audit import audited
from handlers.claim import Claims
from handlers.commands import Suspect
from handlers.desk import Desk, Facts
from handlers.directory import Directory
from handlers.draft import Draft
from handlers.inventory import publish_availability, publish_levels
from handlers.lookup import (
    cells_of,
    committed_of,
    lookup_of,
    merge,
    second_lookup,
    third_lookup,
)
from handlers.lost_commit import COMMIT_LOOK_S, LostCommit
from handlers.message import Message, Outcome
from handlers.sourcing import decide
from store.gate_port import Cell, Gate, GateKeeper
from store.ports import (
    Changes,
    InboxRow,
    Store,
    UnitOfWork,
)
from store.records import Level

_log = get_log("batch")

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
        look_s: float = COMMIT_LOOK_S,
    ) -> None:
        """Take the ports; `look_s` is how long to wait before looking again for a lost commit."""
        self._store = store
        self._gate = gate
        self._keeper = keeper
        self._directory = directory
        self._clock = clock
        self._ids = ids
        self._committed = committed
        self._lost = LostCommit(store, clock, look_s)

    async def run(self, messages: list[Message]) -> list[Settled]:
        """Settle every message, in order; never raises for a message's fault or an engine's."""
        for _ in range(BATCH_ATTEMPTS_MAX):
            if (settled := await self._attempt(messages)) is not None:
                return settled
        return await self._isolate(messages, Conflict("lost to others too often"))

    async def _attempt(self, messages: list[Message]) -> list[Settled] | None:
        """Run all messages once; None: run them again on fresh data."""
        tried = _Tried()
        try:
            await self._once(messages, tried)
        except _LedgerShort as short:
            await self._give_back(tried)
            await self._repair(short.cells)
            crash.here("gate.repaired")
        except Conflict as conflict:
            await self._give_back(tried)
            _log.info("batch.conflict", messages=len(messages), reason=conflict.detail)
        except OutcomeUnknown as unknown:
            return await self._settle_lost(messages, tried, unknown)
        except Unavailable as error:
            await self._give_back(tried)
            return [error for _ in messages]
        except Exception as defect:  # noqa: BLE001 - a defect is isolated, never spread
            await self._give_back(tried)
            return await self._isolate(messages, defect)
        else:
            return await self._tell(tried)
        return None

    async def _once(self, messages: list[Message], tried: "_Tried") -> None:
        """Run all messages in one transaction; what was tried is kept where a failure can see it."""
        facts = Facts(self._clock.now(), self._ids, self._directory)
        async with self._store.unit_of_work() as work:
            desk, claims = await self._read(work, messages, facts)
            crash.here("batch.read")
            tried.desk = desk
            results = self._apply(desk, claims)
            crash.here("batch.applied")
            decided = await decide(desk, self._gate, work)
            tried.outcomes = claims.outcomes(results, decided)
            desk.changes.audit.extend(audited(messages, tried.outcomes))
            await self._write(work, desk, claims.rows(tried.outcomes))
            crash.here("batch.written")
        crash.here("batch.committed")

    async def _read(
        self, work: UnitOfWork, messages: list[Message], facts: Facts
    ) -> tuple[Desk, Claims]:
        found = await work.find(lookup_of(messages))
        if more := second_lookup(messages, facts, found):
            second = await work.find(more)
            merge(found, second)
            if late := third_lookup(second):
                merge(found, await work.find(late))
        cells = cells_of(messages, facts, found)
        levels = await work.levels(cells)
        facts = msgspec.structs.replace(
            facts,
            levels=levels,
            absent=cells - levels.keys(),
            committed=await work.committed(committed_of(messages, facts, found)),
        )
        return Desk(facts, found), Claims(messages, found.messages)

    def _apply(self, desk: Desk, claims: Claims) -> dict[str, Result | Rejected]:
        """Apply each fresh message on its own draft; a rejected one leaves nothing but its reason."""
        results: dict[str, Result | Rejected] = {}
        for message in claims.fresh:
            draft = Draft(desk, message.by, source=message.source, traceparent=message.traceparent)
            try:
                results[message.id] = apply_message(draft, message)
            except Rejected as rejected:
                results[message.id] = rejected
                if message.operator:
                    continue
                draft = Draft(desk, message.by)
                draft.events.message(message, "quarantined", rejected.detail)
            draft.accept()
        for message in claims.conflicting:
            draft = Draft(desk, message.by)
            draft.events.message(message, "quarantined", KeyReused().detail)
            draft.accept()
        return results

    async def _write(self, work: UnitOfWork, desk: Desk, rows: list[InboxRow]) -> None:
        """Take first: the gate models the ledger as it was before this batch's own shifts."""
        await work.check_epochs(desk.epochs)
        if short := await work.take(desk.takes):
            raise _LedgerShort(short)
        crash.here("batch.taken")
        levels = await work.shift(desk.shifts)
        _check_new(desk, levels)
        await publish_levels(desk, work, levels)
        await publish_availability(desk, work)
        desk.changes.messages.extend(rows)
        await work.write(desk.changes)

    async def _tell(self, tried: "_Tried") -> list[Settled]:
        """Tell of the commit: everybody who listens, and the gate what the ledger changed.

        Where the gate does not hear it, the keeper reconciles; nothing undoes the commit any more.
        """
        desk = tried.desk
        if desk is not None:
            self._committed(tried.outcomes, desk.changes)
            crash.here("batch.told")
            for market, operations in desk.gate_shifts.items():
                with _logged("gate.shift_lost", market):
                    await self._gate.shift(market, tuple(operations))
                    crash.here("gate.shifted")
        return tried.outcomes

    async def _give_back(self, tried: "_Tried") -> None:
        """Undo at the gate what a rolled back batch took; where that fails, the keeper reaps it."""
        for market, operations in tried.granted.items():
            with _logged("gate.undo_lost", market):
                await self._gate.undo(market, tuple(operations))
                crash.here("gate.given_back")

    async def _repair(self, cells: frozenset[Cell]) -> None:
        markets: dict[MarketId, set[Cell]] = {}
        for cell in cells:
            market = self._directory.locations[cell.location].market
            markets.setdefault(market, set()).add(cell)
        for market, wrong in markets.items():
            _log.warning("gate.too_generous", market=market, cells=len(wrong))
            with _logged("gate.repair_failed", market):
                await self._keeper.repair(market, frozenset(wrong))

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

    async def _settle_lost(
        self, messages: list[Message], tried: "_Tried", unknown: OutcomeUnknown
    ) -> list[Settled] | None:
        """The answer to the commit was lost: settle what was done, or have all run again."""
        done = await self._lost.look_for(messages, tried.granted)
        if done is None:
            return [unknown for _ in messages]
        if done:
            return await self._tell(tried)
        await self._give_back(tried)
        return None


class _Tried:
    """What one attempt came to, as far as it came."""

    def __init__(self) -> None:
        self.desk: Desk | None = None
        self.outcomes: list[Settled] = []

    @property
    def granted(self) -> dict[MarketId, list[OperationId]]:
        """Return the operations that the gate may have granted."""
        return self.desk.granted if self.desk else {}


@contextmanager
def _logged(event: str, market: MarketId) -> Iterator[None]:
    """Log what the gate did not do; it is put right by its keeper, whatever failed."""
    try:
        yield
    except ImvError as error:
        _log.warning(event, market=market, reason=error.detail)
    except Exception as defect:  # noqa: BLE001 - the ledger has the truth; the batch goes on
        _log.error(event, market=market, exc_info=defect)


def _check_new(desk: Desk, levels: dict[Cell, Level]) -> None:
    """Refuse to add to a level that was not there when a count or an import reckoned its change.

    A row that is not there cannot be locked: somebody else may have made it meanwhile, and both
    changes together would be units that nobody has.

    Raises:
        Conflict: reckon again, from the level that is there now.
    """
    for cell in desk.facts.absent & levels.keys():
        there, shift = levels[cell], desk.shift_of(cell)
        made = (there.on_hand, there.safety, there.counted_version)
        if made != (shift.on_hand, shift.safety, shift.counted_version):
            raise Conflict("somebody else made the same stock level at the same moment")
