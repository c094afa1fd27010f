"""Builds a market's gate in Redis under a new epoch, and sweeps away past epochs."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import msgspec

from config.ids import LocationId, MarketId, Sku
from store.gate_keys import MarketKeys
from store.gate_port import Cell
from store.gate_scripts import GateScripts

LEASE_MS: Final = 5_000
"""How long a builder that says nothing is believed to live."""
_SWEEP_SKUS_MAX: Final = 500


class GateBuild:
    """One attempt to build one market's gate; worth nothing once a step returns False.

    A step that returns False, or raises, has not opened anything. A builder that dies anywhere
    leaves the gate closed, and a lease that runs out.
    """

    def __init__(self, scripts: GateScripts, market: MarketId, epoch: str) -> None:
        """Prepare to build under a new epoch; nothing is done yet."""
        self._scripts = scripts
        self._keys = MarketKeys(market)
        self._under = self._keys.under(epoch)
        self._epoch = epoch
        self._skus = 0
        self._last: Sku | None = None

    async def begin(self, seen: str) -> bool:
        """Take the lease and close the gate, if its epoch still is the one seen ('' for none)."""
        keys = [self._keys.epoch, self._keys.builder, self._keys.epochs]
        return bool(await self._scripts.run("begin", keys, self._epoch, LEASE_MS, seen))

    async def fill(self, levels: Sequence[tuple[Cell, int]]) -> bool:
        """Write units per cell, in cell order and each cell once; False when the lease is lost."""
        cells: dict[Sku, list[LocationId | int]] = {
            sku: [part for cell, units in group for part in (cell.location, units)]
            for sku, group in groupby(levels, key=lambda level: level[0].sku)
        }
        if not cells:
            return True
        # A SKU may go on from the page before.
        self._skus += sum(sku != self._last for sku in cells)
        self._last = next(reversed(cells))
        keys = [self._keys.builder, self._under.skus, *map(self._under.cells, cells)]
        packed = msgspec.msgpack.encode(list(cells.values()))
        return bool(await self._scripts.run("fill", keys, self._epoch, LEASE_MS, packed, *cells))

    async def open(self) -> bool:
        """Open the gate on what was written; False when the lease, or a part of it, is lost."""
        keys = [self._keys.epoch, self._keys.builder, self._under.skus]
        return bool(await self._scripts.run("open", keys, self._epoch, self._skus))

    async def abandon(self) -> None:
        """Give the lease back, so that the next builder need not wait for its end."""
        await self._scripts.run("abandon", [self._keys.builder], self._epoch)


async def sweep(scripts: GateScripts, market: MarketId, present: str) -> None:
    """Delete what past epochs left, in small steps; ends early when the present epoch passes.

    It may be killed between steps: what is left is still listed and swept by the next.
    """
    keys = MarketKeys(market)
    for name in await scripts.read("SMEMBERS", keys.epochs):
        past = name.decode()
        under = keys.under(past)
        listed = past != present
        while listed:
            skus = [
                Sku(sku.decode())
                for sku in await scripts.read("SRANDMEMBER", under.skus, _SWEEP_SKUS_MAX)
            ]
            touched = [under.skus, under.operations, under.times, under.shifts]
            touched += [under.cells(sku) for sku in skus]
            done = await scripts.run(
                "sweep", [keys.epoch, keys.epochs, *touched], present, past, *skus
            )
            listed = bool(done) and len(skus) == _SWEEP_SKUS_MAX
