"""Compares the gate with the ledger, and corrects cells that stay wrong."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from config.ids import LocationId, MarketId, OperationId, Sku
from outbox.ports import Transactions
from store import gate_ledger
from store.gate import Record, RedisGate
from store.gate_keys import MarketKeys
from store.gate_port import Cell, GateClosed

T = TypeVar("T")

_SKUS_PER_PAGE: Final = 200
_SKUS_PER_WALK_MAX: Final = 5_000
_OPERATIONS_PER_READ: Final = 500
_VERSION: Final = LocationId("")


class Difference(msgspec.Struct, frozen=True):
    """Units that a cell of the gate lacks (negative: has too many) while its SKU has a version."""

    cell: Cell
    units: int
    version: int


class GateCompare:
    """Reads the two sides page by page; nothing is ever read or written whole.

    What the gate must have is what the ledger has available, minus what operations took that the
    ledger does not know yet.
    """

    def __init__(self, database: Transactions, gate: RedisGate) -> None:
        """Compare this gate with this ledger."""
        self._database = database
        self._gate = gate

    async def walk(self, market: MarketId) -> list[Sku]:
        """Return SKUs whose cells differ at first sight, at most `_SKUS_PER_WALK_MAX`.

        This is cheap and wrong about what is on its way; `differences` looks again at those.
        """
        found: list[Sku] = []
        after = Sku("")
        while len(found) < _SKUS_PER_WALK_MAX:
            async with self._database.read() as connection:
                skus = await gate_ledger.read_skus_page(
                    connection, market, after, limit=_SKUS_PER_PAGE
                )
                levels = await gate_ledger.read_available(connection, market, skus)
            if not skus:
                break
            cells, _ = await self._gate.view(market, tuple(skus), operations=False)
            found += sorted({cell.sku for cell, _ in _differing(levels, _stock(cells))})
            after = skus[-1]
        return found

    async def differences(self, market: MarketId, skus: Iterable[Sku]) -> list[Difference]:
        """Return the cells of these SKUs that are wrong, reckoning with operations on their way.

        A shift on its way (written to the ledger, not yet at the gate) still looks like an error;
        only one that stays is one. Raises GateClosed and EngineDown.
        """
        found: list[Difference] = []
        for page in _pages(sorted(skus), _SKUS_PER_PAGE):
            found += await self._differences(market, page)
        return found

    async def repair(self, market: MarketId, found: Sequence[Difference]) -> list[Difference]:
        """Correct these cells; return those that were, the others changed in between.

        Raises:
            GateClosed, EngineDown, OutcomeUnknown.
        """
        repaired: list[Difference] = []
        for page in _pages(sorted(found, key=_by_cell), _SKUS_PER_PAGE):
            repaired += await self._repair(market, page)
        return repaired

    async def _differences(self, market: MarketId, skus: Sequence[Sku]) -> list[Difference]:
        before, _ = await self._gate.view(market, tuple(skus), operations=False)
        async with self._database.read() as connection:
            # The ledger's snapshot comes first: an operation reserved later is among the gate's
            # operations and unknown here; one that was settled since is still known here.
            levels = await gate_ledger.read_available(connection, market, skus)
            cells, operations = await self._gate.view(market, tuple(skus), operations=True)
            on_their_way = await _unknown(connection, _touching(operations, frozenset(skus)))
        expected = _minus(levels, on_their_way, frozenset(skus))
        # A shift between the two looks at the gate may be on one side only: not comparable now.
        still = {sku for sku in skus if before[sku].get(_VERSION) == cells[sku].get(_VERSION)}
        return [
            Difference(cell, units, cells[cell.sku].get(_VERSION, 0))
            for cell, units in _differing(expected, _stock(cells))
            if cell.sku in still
        ]

    async def _repair(self, market: MarketId, page: Sequence[Difference]) -> list[Difference]:
        epoch = self._gate.epoch(market)
        keys = MarketKeys(market)
        under = keys.under(epoch)
        by_sku = {sku: list(group) for sku, group in groupby(page, key=lambda d: d.cell.sku)}
        plan = [
            (group[0].version, [part for d in group for part in (d.cell.location, d.units)])
            for group in by_sku.values()
        ]
        answers = await self._gate.scripts.run(
            "repair",
            [keys.epoch, under.skus, *map(under.cells, by_sku)],
            epoch,
            msgspec.msgpack.encode(plan),
            *by_sku,
        )
        if answers is None:
            raise GateClosed
        done = zip(by_sku.values(), answers, strict=True)
        return [difference for group, answer in done if answer for difference in group]


class Doubts:
    """Tells errors that stay from changes on their way: the same difference, a grace time later."""

    def __init__(self, grace_s: float) -> None:
        """Believe a difference after that many seconds."""
        self._grace_s = grace_s
        self._since: dict[Cell, tuple[int, float]] = {}

    def confirmed(self, found: Iterable[Difference], now_s: float) -> list[Difference]:
        """Take what one comparison found; return what was found unchanged since the grace time."""
        since: dict[Cell, tuple[int, float]] = {}
        sure: list[Difference] = []
        for difference in found:
            units, first_s = self._since.get(difference.cell, (difference.units, now_s))
            if units != difference.units:
                first_s = now_s
            since[difference.cell] = (difference.units, first_s)
            if now_s - first_s >= self._grace_s:
                sure.append(difference)
        self._since = since
        return sure


def _stock(cells: Mapping[Sku, Mapping[LocationId, int]]) -> dict[Cell, int]:
    return {
        Cell(sku, where): units
        for sku, places in cells.items()
        for where, units in places.items()
        if where != _VERSION
    }


def _differing(
    expected: Mapping[Cell, int], there: Mapping[Cell, int]
) -> Iterator[tuple[Cell, int]]:
    """Yield cells with the units they lack; a cell that one side does not have is 0 there."""
    for cell in expected.keys() | there.keys():
        if lacking := expected.get(cell, 0) - there.get(cell, 0):
            yield cell, lacking


def _touching(
    operations: Mapping[OperationId, Record], skus: frozenset[Sku]
) -> dict[OperationId, Record]:
    return {
        operation: record
        for operation, record in operations.items()
        if any(sku in skus for sku, _, _ in record)
    }


def _minus(
    levels: Mapping[Cell, int], records: Iterable[Record], skus: frozenset[Sku]
) -> dict[Cell, int]:
    rest = dict(levels)
    for sku, where, units in (line for record in records for line in record if line[0] in skus):
        cell = Cell(sku, where)
        rest[cell] = rest.get(cell, 0) - units
    return rest


async def _unknown(
    connection: AsyncConnection, operations: Mapping[OperationId, Record]
) -> list[Record]:
    """Return the records that the ledger's levels do not contain; a voided one is not in them."""
    contained: set[OperationId] = set()
    for page in _pages(list(operations), _OPERATIONS_PER_READ):
        kinds = await gate_ledger.read_kinds(connection, page)
        contained |= {key for key, kind in kinds.items() if kind != gate_ledger.VOIDED}
    return [record for key, record in operations.items() if key not in contained]


def _by_cell(difference: Difference) -> Cell:
    return difference.cell


def _pages(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
