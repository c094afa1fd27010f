"""The stock gate on a real Redis beside a dictionary that does the same."""

import asyncio
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from config.ids import LocationId, OperationId, Sku
from store.gate import RedisGate
from store.gate_port import Cell, Granted, Operation, Short
from store.redis_client import open_redis
from tests.engines import PATIENT_S, owner_of, wipe_redis
from tests.integration.store.gate_world import UK, SetClock, fill

_CELLS = [Cell(Sku(sku), LocationId(where)) for sku in ("A", "B") for where in ("x", "y")]
_ids = st.sampled_from([OperationId(f"op{i}") for i in range(8)])
_lines = st.lists(st.tuples(st.sampled_from(_CELLS), st.integers(1, 6)), max_size=4).map(tuple)
_operations = st.lists(st.builds(Operation, _ids, _lines), max_size=4).map(tuple)
_signed = st.lists(st.tuples(st.sampled_from(_CELLS), st.integers(-6, 6)), max_size=4).map(tuple)


class GateModel(RuleBasedStateMachine):
    """Whatever is asked, the Lua scripts do what a dictionary does."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._client = open_redis(self.url, call_s=PATIENT_S)
        self._gate = RedisGate(self._client, SetClock())
        self._units: dict[Cell, int] = {}
        self._records: dict[OperationId, dict[Cell, int]] = {}
        self._shifts: set[OperationId] = set()

    @initialize(units=st.dictionaries(st.sampled_from(_CELLS), st.integers(0, 12), min_size=1))
    def start(self, units: dict[Cell, int]) -> None:
        self._units = dict(units)
        wipe_redis(owner_of(self.url))
        self._runner.run(fill(self._gate, UK, units))

    @rule(operations=_operations)
    def reserve(self, operations: tuple[Operation, ...]) -> None:
        expected = tuple(self._decide(one) for one in operations)
        assert self._runner.run(self._gate.reserve(UK, operations)) == expected

    @rule(operations=st.lists(_ids, max_size=4).map(tuple))
    def undo(self, operations: tuple[OperationId, ...]) -> None:
        for one in operations:
            self._move(self._records.pop(one, {}), 1)
        self._runner.run(self._gate.undo(UK, operations))

    @rule(operations=st.lists(st.builds(Operation, _ids, _signed), max_size=3).map(tuple))
    def shift(self, operations: tuple[Operation, ...]) -> None:
        for one in operations:
            if one.id not in self._shifts:
                self._shifts.add(one.id)
                self._move(_sum(one), -1)
        self._runner.run(self._gate.shift(UK, operations))

    @invariant()
    def agrees(self) -> None:
        skus = frozenset(cell.sku for cell in _CELLS)
        shown = self._runner.run(self._gate.available(UK, skus)) if self._units else {}
        there = {
            Cell(sku, where): n for sku, places in shown.items() for where, n in places.items()
        }
        assert there == {cell: max(0, units) for cell, units in self._units.items()}

    def teardown(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def _decide(self, one: Operation) -> Granted | Short:
        wanted = _sum(one)
        lacking = [c for c, units in wanted.items() if self._units.get(c, 0) < units]
        if one.id not in self._records and lacking:
            there = tuple((cell, max(0, self._units.get(cell, 0))) for cell in lacking)
            return Short(one.id, there)
        if one.id not in self._records:
            self._records[one.id] = wanted
            self._move(wanted, -1)
        return Granted(one.id, self._gate.epoch(UK))

    def _move(self, lines: dict[Cell, int], sign: int) -> None:
        for cell, units in lines.items():
            self._units[cell] = self._units.get(cell, 0) + sign * units


def _sum(one: Operation) -> dict[Cell, int]:
    units: dict[Cell, int] = {}
    for cell, quantity in one.lines:
        units[cell] = units.get(cell, 0) + quantity
    return units


def test_the_scripts_do_what_a_dictionary_does(redis_url: str) -> None:
    class OnThisRedis(GateModel):
        url = redis_url

    run_state_machine_as_test(
        OnThisRedis,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
