"""Ports that fail on purpose: defects, lost answers, lost races, engines that are away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from config.errors import Conflict, EngineDown, OutcomeUnknown
from config.ids import MarketId, OperationId, Sku
from store.gate_port import Cell, Gate, Granted, Operation, Short
from store.ports import Changes, Found, Lookup, Store, UnitOfWork


class PoisonStore:
    """A store that cannot read one key: what a defect of ours looks like from the batch."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        async with self._store.unit_of_work() as work:
            yield _Poisoned(work, self._key)


class _Poisoned:
    """Passes everything on but the poison."""

    def __init__(self, work: UnitOfWork, key: str) -> None:
        self._work = work
        self._key = key

    async def find(self, lookup: Lookup) -> Found:
        return await self._work.find(lookup)

    async def write(self, changes: Changes) -> None:
        for row in changes.messages:
            if row.key == self._key and row.outcome != "quarantined":
                raise LookupError(self._key)
        await self._work.write(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)


class LosingStore:
    """Loses the answers of the first commits, which are done (`kept`) or are not."""

    def __init__(self, store: Store, *, kept: bool, times: int = 1) -> None:
        self._store = store
        self._kept = kept
        self.left = times

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        if not self.left:
            async with self._store.unit_of_work() as work:
                yield work
            return
        self.left -= 1
        if self._kept:
            async with self._store.unit_of_work() as work:
                yield work
            raise OutcomeUnknown
        async with self._store.unit_of_work() as work:
            yield work
            raise OutcomeUnknown  # before the commit, which so is never done


class ReapedStore(LosingStore):
    """Loses the first commit with its answer; `reap` comes before anybody looks for it."""

    def __init__(self, store: Store, reap: Callable[[], Awaitable[None]]) -> None:
        super().__init__(store, kept=False)
        self._reap = reap
        self._units = 0

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        self._units += 1
        if self._units == 2:
            await self._reap()
        async with super().unit_of_work() as work:
            yield work


class FailingStore:
    """Fails at its first commits with an error that says that nothing was applied."""

    def __init__(self, store: Store, error: type[Conflict | EngineDown], times: int) -> None:
        self._store = store
        self._error = error
        self.left = times

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        async with self._store.unit_of_work() as work:
            yield work
            if self.left:
                self.left -= 1
                raise self._error


class LosingGate:
    """Loses the answers to the first reservations, which are made."""

    def __init__(self, gate: Gate, times: int) -> None:
        self._gate = gate
        self.left = times

    async def reserve(
        self, market: MarketId, operations: tuple[Operation, ...]
    ) -> tuple[Granted | Short, ...]:
        answers = await self._gate.reserve(market, operations)
        if self.left:
            self.left -= 1
            raise OutcomeUnknown
        return answers

    async def available(self, market: MarketId, skus: frozenset[Sku]) -> Any:
        return await self._gate.available(market, skus)

    async def undo(self, market: MarketId, operations: tuple[OperationId, ...]) -> None:
        await self._gate.undo(market, operations)

    async def shift(self, market: MarketId, operations: tuple[Operation, ...]) -> None:
        await self._gate.shift(market, operations)


class LateGate(LosingGate):
    """Shows units that others take before the reservation comes."""

    def __init__(self, gate: Gate, seen: dict[Cell, int]) -> None:
        super().__init__(gate, 0)
        self._seen = seen

    async def available(self, market: MarketId, skus: frozenset[Sku]) -> Any:
        shown = await super().available(market, skus)
        for cell, units in self._seen.items():
            shown.setdefault(cell.sku, {})[cell.location] = units
        return shown


class MeetingStore:
    """Waits, the first time that levels are read, until others have read theirs, too."""

    def __init__(self, store: Store, met: asyncio.Barrier) -> None:
        self._store = store
        self._met = met
        self.has_met = False

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        async with self._store.unit_of_work() as work:
            yield _Meeting(work, self)

    async def meet(self) -> None:
        if not self.has_met:
            self.has_met = True
            await self._met.wait()


class _Meeting:
    """Passes everything on; levels after the meeting."""

    def __init__(self, work: UnitOfWork, store: MeetingStore) -> None:
        self._work = work
        self._store = store

    async def levels(self, cells: frozenset[Cell]) -> Any:
        found = await self._work.levels(cells)
        await self._store.meet()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)
