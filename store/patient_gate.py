"""A gate that tells again what could not be told: shifts outlive a gate that is closed for a moment."""

import asyncio
from collections import deque
from typing import Final

from config.clock import Clock
from config.errors import Unavailable
from config.ids import LocationId, MarketId, OperationId, Sku
from config.limits import GATE_GRACE_S
from config.log import get_log
from store.gate_port import Gate, Granted, Operation, Short

_AGAIN_S: Final = 0.1
_SHIFTS_MAX: Final = 10_000
_log = get_log("gate")


class PatientGate:
    """Implements `store.gate_port.Gate` over another one; its `shift` never fails.

    A shift that cannot be told is tried again for half of the grace time, during which the gate still
    knows its id, so that telling it twice does no harm. What is given up then, the keeper reconciles.
    """

    def __init__(self, gate: Gate, clock: Clock) -> None:
        """Start with nothing untold; `run` tells again."""
        self._gate = gate
        self._clock = clock
        self._untold: deque[tuple[float, MarketId, tuple[Operation, ...]]] = deque()

    async def available(
        self, market: MarketId, skus: frozenset[Sku]
    ) -> dict[Sku, dict[LocationId, int]]:
        """Return the units free per SKU and location; see the contract."""
        return await self._gate.available(market, skus)

    async def reserve(
        self, market: MarketId, operations: tuple[Operation, ...]
    ) -> tuple[Granted | Short, ...]:
        """Take each operation's lines, all or nothing; see the contract."""
        return await self._gate.reserve(market, operations)

    async def undo(self, market: MarketId, operations: tuple[OperationId, ...]) -> None:
        """Give back what these operations took; see the contract."""
        await self._gate.undo(market, operations)

    async def shift(self, market: MarketId, operations: tuple[Operation, ...]) -> None:
        """Change availability now, or as soon as the gate listens."""
        try:
            await self._gate.shift(market, operations)
        except Unavailable as error:
            _log.info("gate.shift_waits", market=market, reason=error.detail)
            if len(self._untold) < _SHIFTS_MAX:
                until = self._clock.monotonic() + GATE_GRACE_S / 2
                self._untold.append((until, market, operations))

    async def run(self) -> None:
        """Tell again until cancelled."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            await self.tell_again()

    async def tell_again(self) -> None:
        """Try everything untold once; what is too old is left to the keeper."""
        for _ in range(len(self._untold)):
            until, market, operations = self._untold.popleft()
            if until < self._clock.monotonic():
                _log.warning("gate.shift_lost", market=market, operations=len(operations))
                continue
            try:
                await self._gate.shift(market, operations)
            except Unavailable:
                self._untold.append((until, market, operations))
