"""The stock gate on Redis: decides in real time, in one atomic script per call."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import msgspec

from config.clock import Clock, to_us
from config.ids import LocationId, MarketId, OperationId, Sku
from config.limits import QUANTITY_MAX
from store.gate_keys import EpochKeys, MarketKeys
from store.gate_port import Cell, GateClosed, Granted, Operation, Short
from store.gate_scripts import GateScripts
from store.redis_client import Client

Record = tuple[tuple[Sku, LocationId, int], ...]
"""An operation's lines as the gate remembers them: units taken per cell."""

_RECORD: Final = msgspec.json.Decoder(Record)
_pack: Final = msgspec.msgpack.Encoder().encode


class RedisGate:
    """Implements `store.gate_port.Gate`; one object per process, shared by its tasks.

    It knows one epoch per market, which the keeper learns from the ledger. A market without one is
    closed; the scripts close it also when Redis has another. Redis' own integers hold the units,
    and scripts compare them as doubles: exact below 2**53.

    A capacity slot can later be one more line of an operation: a cell whose SKU names the slot. All
    the scripts treat it like stock.
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        """Start closed for every market; the client stays its owner's to close."""
        self.scripts = GateScripts(client)
        self._clock = clock
        self._epochs: dict[MarketId, str] = {}

    def learn(self, market: MarketId, epoch: str) -> None:
        """Open a market in this process under the epoch that ledger and Redis agree on."""
        self._epochs[market] = epoch

    def close(self, market: MarketId) -> None:
        """Close a market in this process; calls in flight end as Redis decides."""
        self._epochs.pop(market, None)

    def epoch(self, market: MarketId) -> str:
        """Return the epoch that this process knows; GateClosed when there is none."""
        try:
            return self._epochs[market]
        except KeyError:
            raise GateClosed from None

    async def available(
        self, market: MarketId, skus: frozenset[Sku]
    ) -> dict[Sku, dict[LocationId, int]]:
        """Return the units free per SKU and location; never negative, see `Gate.available`."""
        shown, _ = await self.view(market, tuple(skus), operations=False)
        return {
            sku: {where: max(0, units) for where, units in cells.items() if where}
            for sku, cells in shown.items()
            if cells
        }

    async def reserve(
        self, market: MarketId, operations: tuple[Operation, ...]
    ) -> tuple[Granted | Short, ...]:
        """Take each operation's lines in order, each all or nothing; see `Gate.reserve`.

        A cell that stands twice in an operation is summed. Units must be positive; others are a
        defect. A `Short` is not remembered: a repeat is decided anew.
        """
        epoch, keys = self._keys(market)
        lines = [_summed(operation) for operation in operations]
        if any(units <= 0 for operation in operations for _, units in operation.lines):
            raise ValueError("an operation takes positive units")
        numbers = _numbered(cell.sku for line in lines for cell, _ in line)
        plan = [
            (operation.id, _record(line), _flat(line, numbers))
            for operation, line in zip(operations, lines, strict=True)
        ]
        answers = self._opened(
            await self.scripts.run(
                "reserve",
                [MarketKeys(market).epoch, keys.operations, keys.times, *_cells(keys, numbers)],
                epoch,
                to_us(self._clock.now()),
                _pack(plan),
            ),
            market,
            epoch,
        )
        skus = list(numbers)
        return tuple(
            Granted(operation.id, epoch) if answer == 1 else _short(operation.id, answer, skus)
            for operation, answer in zip(operations, answers, strict=True)
        )

    async def undo(self, market: MarketId, operations: tuple[OperationId, ...]) -> None:
        """Give back what these operations took; one that is not there does nothing.

        A closed gate has nothing to give back, so this does nothing then: the rebuild starts from
        the ledger, and if the same epoch returns, the keeper voids what the ledger does not know.
        """
        with suppress(GateClosed):
            await self._undo(market, operations)

    async def shift(self, market: MarketId, operations: tuple[Operation, ...]) -> None:
        """Change availability after the ledger did; see `Gate.shift`.

        Raises:
            GateClosed: nothing was changed; the rebuild or the reconciliation brings it.
        """
        epoch, keys = self._keys(market)
        lines = [_summed(operation) for operation in operations]
        numbers = _numbered(cell.sku for line in lines for cell, _ in line)
        plan = [
            (operation.id, _flat(line, numbers))
            for operation, line in zip(operations, lines, strict=True)
        ]
        answer = await self.scripts.run(
            "shift",
            [MarketKeys(market).epoch, keys.shifts, keys.skus, *_cells(keys, numbers)],
            epoch,
            to_us(self._clock.now()),
            _pack(plan),
            *numbers,
        )
        self._opened(answer, market, epoch)

    async def view(
        self, market: MarketId, skus: tuple[Sku, ...], *, operations: bool
    ) -> tuple[dict[Sku, dict[LocationId, int]], dict[OperationId, Record]]:
        """Return raw cells per SKU and, when asked, all remembered operations, at one instant.

        Units may be negative; the location '' holds the SKU's version, missing for 0. It is for
        the keeper.

        Raises:
            GateClosed, EngineDown.
        """
        epoch, keys = self._keys(market)
        answer = await self.scripts.run(
            "view",
            [MarketKeys(market).epoch, keys.operations, *(keys.cells(sku) for sku in skus)],
            epoch,
            "1" if operations else "0",
        )
        remembered, *cells = self._opened(answer, market, epoch)
        shown = {
            sku: {LocationId(where.decode()): int(units) for where, units in _pairs(flat)}
            for sku, flat in zip(skus, cells, strict=True)
        }
        records = {
            OperationId(key.decode()): _RECORD.decode(value) for key, value in _pairs(remembered)
        }
        return shown, records

    async def records(
        self, market: MarketId, operations: tuple[OperationId, ...]
    ) -> dict[OperationId, Record]:
        """Return what the gate remembers of these operations; GateClosed, EngineDown."""
        if not operations:
            return {}
        _, keys = self._keys(market)
        found = await self.scripts.read("HMGET", keys.operations, *operations)
        return {
            operation: _RECORD.decode(value)
            for operation, value in zip(operations, found, strict=True)
            if value is not None
        }

    async def _undo(self, market: MarketId, operations: tuple[OperationId, ...]) -> None:
        epoch, keys = self._keys(market)
        records = await self.records(market, operations)
        # A record never changes; when it goes away between the two calls, the script sees that.
        numbers = _numbered(sku for record in records.values() for sku, _, _ in record)
        plan = [
            (operation, [part for sku, where, n in lines for part in (numbers[sku], where, n)])
            for operation, lines in records.items()
        ]
        if not plan:
            return
        answer = await self.scripts.run(
            "undo",
            [MarketKeys(market).epoch, keys.operations, keys.times, *_cells(keys, numbers)],
            epoch,
            _pack(plan),
        )
        self._opened(answer, market, epoch)

    def _keys(self, market: MarketId) -> tuple[str, EpochKeys]:
        epoch = self.epoch(market)
        return epoch, MarketKeys(market).under(epoch)

    def _opened(self, answer: Any, market: MarketId, epoch: str) -> Any:
        if answer is not None:
            return answer
        # The keeper may have learnt a newer epoch while this call was on its way: keep that one.
        if self._epochs.get(market) == epoch:
            self.close(market)
        raise GateClosed


def _summed(operation: Operation) -> list[tuple[Cell, int]]:
    """Return the lines with one entry per cell; more units than QUANTITY_MAX a line is a defect."""
    units: dict[Cell, int] = {}
    for cell, quantity in operation.lines:
        if abs(quantity) > QUANTITY_MAX or not cell.location:
            raise ValueError(f"operation {operation.id} has a line out of range")
        units[cell] = units.get(cell, 0) + quantity
    return list(units.items())


def _numbered(skus: Iterable[Sku]) -> dict[Sku, int]:
    """Number distinct SKUs from 1 in the order in which they come, as Lua counts keys."""
    return {sku: number for number, sku in enumerate(dict.fromkeys(skus), start=1)}


def _cells(keys: EpochKeys, numbers: dict[Sku, int]) -> list[str]:
    return [keys.cells(sku) for sku in numbers]


def _flat(lines: list[tuple[Cell, int]], numbers: dict[Sku, int]) -> list[int | str]:
    return [part for cell, n in lines for part in (numbers[cell.sku], cell.location, n)]


def _record(lines: list[tuple[Cell, int]]) -> str:
    # As text: Redis' msgpack reads no binary values.
    record = [(cell.sku, cell.location, units) for cell, units in lines]
    return msgspec.json.encode(record).decode()


def _short(operation: OperationId, answer: list[Any], skus: list[Sku]) -> Short:
    triples = zip(answer[::3], answer[1::3], answer[2::3], strict=True)
    cells = (
        (Cell(skus[number - 1], LocationId(where.decode())), max(0, there))
        for number, where, there in triples
    )
    return Short(operation, tuple(cells))


def _pairs(flat: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)
