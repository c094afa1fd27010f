"""Settles operations that the ledger has, and gives back those that it will never have."""

from typing import Final

from config import crash
from config.clock import Clock, to_us
from config.ids import MarketId, OperationId
from config.limits import GATE_GRACE_S
from outbox.ports import Transactions
from store import gate_ledger
from store.gate import RedisGate
from store.gate_keys import MarketKeys

_OPERATIONS_PER_PAGE: Final = 200


class GateReaper:
    """Ends the gate's memory of operations that are older than the grace time."""

    def __init__(self, database: Transactions, gate: RedisGate, clock: Clock) -> None:
        """Reap this gate by what this ledger knows."""
        self._database = database
        self._gate = gate
        self._clock = clock

    async def reap(self, market: MarketId) -> int:
        """Settle or void every old operation of a market; return how many were voided.

        It may be killed anywhere and run several times at once: a void is one unique row, an undo
        happens once per record.

        Raises:
            GateClosed, EngineDown, OutcomeUnknown: run it again.
        """
        voided = 0
        until_us = to_us(self._clock.now()) - int(GATE_GRACE_S * 1_000_000)
        while True:
            keys = MarketKeys(market).under(self._gate.epoch(market))
            # Shifts need no memory beyond the grace time: nobody sends one again after that.
            await self._gate.scripts.write("ZREMRANGEBYSCORE", keys.shifts, "-inf", until_us)
            found = await self._gate.scripts.read(
                "ZRANGEBYSCORE", keys.times, "-inf", until_us, "LIMIT", 0, _OPERATIONS_PER_PAGE
            )
            old = [OperationId(operation.decode()) for operation in found]
            if not old:
                return voided
            settled, void = await self._judge(market, old)
            if settled:
                await self._gate.scripts.run("settle", [keys.operations, keys.times], *settled)
            if void:
                crash.here("reaper.voided")
            await self._gate.undo(market, tuple(void))
            if void:
                crash.here("reaper.returned")
            voided += len(void)

    async def _judge(
        self, market: MarketId, operations: list[OperationId]
    ) -> tuple[set[OperationId], set[OperationId]]:
        """Return the operations that the ledger has, and those that it can no longer get."""
        async with self._database.read() as connection:
            kinds = await gate_ledger.read_kinds(connection, operations)
        void = {key for key, kind in kinds.items() if kind == gate_ledger.VOIDED}
        unknown = [operation for operation in operations if operation not in kinds]
        if unknown:
            # The id is taken first, the units are given back after the commit: a unit of work that
            # is late loses on the key. One that won in between is settled by the next page.
            async with self._database.write() as connection:
                void |= await gate_ledger.insert_voided(
                    connection, market, unknown, now_us=to_us(self._clock.now())
                )
        return kinds.keys() - void, void
