"""Keeps the stock gate and the ledger in agreement: opens, rebuilds, reaps and reconciles."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from config import crash
from config.clock import Clock, to_ms, to_us
from config.errors import Conflict, Unavailable
from config.ids import IdFactory, MarketId
from config.limits import GATE_GRACE_S
from config.log import get_log
from outbox.ports import Transactions
from store import gate_ledger
from store.gate import RedisGate
from store.gate_build import GateBuild, sweep
from store.gate_compare import Difference, Doubts, GateCompare
from store.gate_keys import MarketKeys
from store.gate_port import Cell, GateClosed
from store.gate_reap import GateReaper

WATCH_S: Final = 0.5
"""How often the epochs are compared; a Redis that is lost is noticed within this and one call."""
TEND_S: Final = 2.0
TURN_MS: Final = 10_000
"""How long one keeper reaps and compares for all; two at once would only waste work."""
_CELLS_PER_FILL: Final = 1_000
_REPAIRS_MAX: Final = 3

_log = get_log("gate")


class GateMeter(Protocol):
    """Counts what the keeper does; metrics implement it."""

    def opened(self, market: MarketId, *, is_open: bool) -> None:
        """Note that the gate is open, or is not, in this process."""
        ...

    def repaired(self, market: MarketId, cells: int) -> None:
        """Count cells of the gate that were wrong and are corrected."""
        ...

    def voided(self, market: MarketId, operations: int) -> None:
        """Count operations that the ledger never got, given back."""
        ...


class Keeper:
    """Implements `store.gate_port.GateKeeper`; every process runs one, over the gate it uses.

    Who may rebuild is decided by a lease in Redis and, because a lease can be lost, by a
    conditional update of the epoch in SQL; who only has one of them opens nothing. An import or a
    restored backup, which change levels behind the gate's back, are followed by `rebuild`.
    """

    def __init__(
        self,
        database: Transactions,
        gate: RedisGate,
        *,
        markets: Sequence[MarketId],
        clock: Clock,
        ids: IdFactory,
        meter: GateMeter,
    ) -> None:
        """Keep the gate of these markets; nothing happens before `run` or one of its steps."""
        self._database = database
        self._gate = gate
        self._markets = tuple(markets)
        self._clock = clock
        self._ids = ids
        self._meter = meter
        self._name = ids.new(to_ms(clock.now()))
        self._reaper = GateReaper(database, gate, clock)
        self._compare = GateCompare(database, gate)
        self._doubts = {market: Doubts(GATE_GRACE_S) for market in markets}

    async def run(self) -> None:
        """Open, rebuild, reap and reconcile until cancelled; engines may come and go."""
        async with asyncio.TaskGroup() as tasks:
            for market in self._markets:
                tasks.create_task(self._watch(market), name=f"gate.watch.{market}")
                tasks.create_task(self._tend(market), name=f"gate.tend.{market}")

    async def look(self, market: MarketId) -> bool:
        """Compare the epochs once; open, or close and rebuild. Return whether the gate is open.

        Raises:
            EngineDown, OutcomeUnknown, Conflict: look again later; the gate is closed, unless only
            the database is silent.
        """
        there = await self._epoch_there(market)
        async with self._database.read() as connection:
            row = await gate_ledger.read_gate(connection, market)
        if row and there == row.epoch:
            # The epoch is set last, so whoever built it had finished, even if it died right then.
            await self._open(market, row.epoch, told=row.open)
            return True
        self._close(market)
        return await self._build(market, seen=there, known=row.epoch if row else None)

    async def rebuild(self, market: MarketId) -> bool:
        """Build the gate anew now; False when somebody else is at it. Errors as `look`."""
        there = await self._epoch_there(market)
        async with self._database.read() as connection:
            row = await gate_ledger.read_gate(connection, market)
        self._close(market)
        return await self._build(market, seen=there, known=row.epoch if row else None)

    async def tend(self, market: MarketId) -> None:
        """Sweep, reap and reconcile once, if it is this keeper's turn; raises Unavailable."""
        if not await self._has_turn(market):
            return
        await sweep(self._gate.scripts, market, self._gate.epoch(market))
        voided = await self._reaper.reap(market)
        if voided:
            self._meter.voided(market, voided)
            _log.warning("gate.voided", market=market, operations=voided)
        await self.reconcile(market)

    async def reconcile(self, market: MarketId) -> None:
        """Compare every cell once; correct those that were wrong by the same a grace time ago."""
        skus = await self._compare.walk(market)
        found = await self._compare.differences(market, skus)
        sure = self._doubts[market].confirmed(found, self._clock.monotonic())
        self._count(market, await self._compare.repair(market, sure))

    async def repair(self, market: MarketId, cells: frozenset[Cell]) -> None:
        """Put these cells right from the ledger now; see `GateKeeper.repair`.

        A closed gate is not repaired: it is built from the ledger anyway. A shift on its way may
        make a cell wrong again, until the reconciliation.
        """
        with suppress(GateClosed):
            for _ in range(_REPAIRS_MAX):
                found = await self._compare.differences(market, {cell.sku for cell in cells})
                wrong = [difference for difference in found if difference.cell in cells]
                if not wrong:
                    return
                self._count(market, await self._compare.repair(market, wrong))

    async def _watch(self, market: MarketId) -> None:
        trouble = Trouble("gate.unreachable", market)
        while True:
            with trouble.noted():
                await self.look(market)
            await asyncio.sleep(WATCH_S)

    async def _tend(self, market: MarketId) -> None:
        trouble = Trouble("gate.untended", market)
        while True:
            with trouble.noted(), suppress(GateClosed):
                await self.tend(market)
            await asyncio.sleep(TEND_S)

    async def _epoch_there(self, market: MarketId) -> str:
        """Return Redis' epoch ('' for none); closes first what is not certainly open."""
        try:
            answer = await self._gate.scripts.read("GET", MarketKeys(market).epoch)
        except Unavailable:
            self._close(market)
            raise
        there = answer.decode() if answer else ""
        if there != self._known(market):
            self._close(market)
        return there

    async def _build(self, market: MarketId, *, seen: str, known: str | None) -> bool:
        epoch = self._ids.new(to_ms(self._clock.now()))
        build = GateBuild(self._gate.scripts, market, epoch)
        if not await build.begin(seen):
            return False
        crash.here("keeper.begun")
        done = False
        try:
            done = (
                await self._renew(market, known, epoch)
                and await self._fill(build, market)
                and await build.open()
            )
        finally:
            if not done:
                with suppress(Unavailable):
                    await build.abandon()
        if done:
            crash.here("keeper.opened")
            _log.warning("gate.rebuilt", market=market, epoch=epoch)
            await self._open(market, epoch, told=False)
        return done

    async def _renew(self, market: MarketId, known: str | None, epoch: str) -> bool:
        """Commit the new epoch; from here on no reservation of an older one commits."""
        now_us = to_us(self._clock.now())
        async with self._database.write() as connection:
            if known is None:
                return await gate_ledger.insert_epoch(connection, market, epoch, now_us=now_us)
            return await gate_ledger.replace_epoch(
                connection, market, (known, epoch), now_us=now_us
            )

    async def _fill(self, build: GateBuild, market: MarketId) -> bool:
        crash.here("keeper.epoch_replaced")
        after: Cell | None = None
        # One snapshot for all pages. What the ledger changes meanwhile without a reservation comes
        # with a shift that the closed gate refuses: the reconciliation brings it.
        async with self._database.read() as connection:
            while True:
                levels = await gate_ledger.read_levels_page(
                    connection, market, after, limit=_CELLS_PER_FILL
                )
                if not levels:
                    crash.here("keeper.filled")
                    return True
                if not await build.fill(levels):
                    return False
                after = levels[-1][0]

    async def _open(self, market: MarketId, epoch: str, *, told: bool) -> None:
        if self._known(market) != epoch:
            self._gate.learn(market, epoch)
            self._meter.opened(market, is_open=True)
            _log.info("gate.opened", market=market, epoch=epoch)
        if not told:
            async with self._database.write() as connection:
                await gate_ledger.mark_open(
                    connection, market, epoch, now_us=to_us(self._clock.now())
                )

    def _close(self, market: MarketId) -> None:
        if self._known(market):
            _log.warning("gate.closed", market=market)
        self._gate.close(market)
        self._meter.opened(market, is_open=False)

    def _known(self, market: MarketId) -> str:
        with suppress(GateClosed):
            return self._gate.epoch(market)
        return ""

    async def _has_turn(self, market: MarketId) -> bool:
        key = MarketKeys(market).turn
        if await self._gate.scripts.write("SET", key, self._name, "NX", "PX", TURN_MS):
            return True
        if await self._gate.scripts.read("GET", key) != self._name.encode():
            return False
        # Should it expire just now and pass to another, that one's turn lasts a little longer.
        await self._gate.scripts.write("PEXPIRE", key, TURN_MS)
        return True

    def _count(self, market: MarketId, repaired: Sequence[Difference]) -> None:
        if repaired:
            self._meter.repaired(market, len(repaired))
            units = sum(abs(difference.units) for difference in repaired)
            _log.warning("gate.repaired", market=market, cells=len(repaired), units=units)


class Trouble:
    """Logs what keeps a loop from its work once when it changes, not every time."""

    def __init__(self, event: str, market: MarketId) -> None:
        """Log under this event's name."""
        self._event = event
        self._market = market
        self._last = ""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Swallow what a later attempt may overcome; a defect goes through."""
        try:
            yield
            self._last = ""
        except (Unavailable, Conflict) as error:
            if error.slug != self._last:
                self._last = error.slug
                _log.warning(self._event, market=self._market, reason=error.slug)
