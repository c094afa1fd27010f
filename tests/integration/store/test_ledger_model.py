"""The ledger on both databases does what a dictionary does, whatever is taken, shifted or undone."""

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from config.errors import Conflict
from config.ids import OperationId
from store.engine import Database
from store.gate_ledger import VOIDED, insert_voided
from store.gate_port import Cell
from store.ports import Changes, Movement, Shift, Take
from store.records import Level
from store.unit_of_work import SqlStore
from tests.integration.store.samples import UK, cell

T = TypeVar("T")
_names = itertools.count()
names = st.sampled_from(["shirt", "hat"])
places = st.sampled_from(["leeds", "york"])
few = st.integers(-4, 9)
takes = st.builds(Take, allocated=st.integers(0, 4), held=st.integers(0, 4)).filter(
    lambda take: take.allocated + take.held > 0
)
shifts = st.builds(Shift, on_hand=few, safety=few, held=few, allocated=few)
_COLUMNS = ("on_hand", "safety", "held", "allocated")


class LedgerModel(RuleBasedStateMachine):
    """Units of work that commit, fail or are voided, beside a dictionary of the same cells."""

    url: ClassVar[str]

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.database = Database(self.url)
        self.store = SqlStore(self.database, partitions=4)
        self.run_name = f"r{next(_names)}-"
        self.levels: dict[Cell, dict[str, int]] = {}
        self.operations: dict[OperationId, str] = {}

    def teardown(self) -> None:
        self._do(self.database.close())
        self.runner.close()

    @rule(wanted=st.dictionaries(st.tuples(names, places), takes, min_size=1), fails=st.booleans())
    def take(self, wanted: dict[tuple[str, str], Take], *, fails: bool) -> None:
        asked = {self._cell(*where): take for where, take in wanted.items()}
        short = self._do(self._taken(asked, fails=fails))
        expected = {where for where, take in asked.items() if not self._has(where, take)}
        assert short == expected
        if not (fails or short):
            for where, take in asked.items():
                self._add(where, {"allocated": take.allocated, "held": take.held})

    @rule(wanted=st.dictionaries(st.tuples(names, places), shifts, min_size=1))
    def shift(self, wanted: dict[tuple[str, str], Shift]) -> None:
        asked = {self._cell(*where): shift for where, shift in wanted.items()}
        told = self._do(self._shifted(asked))
        for where, shift in asked.items():
            self._add(where, {name: getattr(shift, name) for name in _COLUMNS})
        assert {where: _units(level) for where, level in told.items()} == {
            where: self.levels[where] for where in asked
        }

    @rule(number=st.integers(0, 3))
    def void(self, number: int) -> None:
        operation = self._operation(number)
        free = self._do(self._voided(operation))
        assert free == ({operation} if operation not in self.operations else set())
        self.operations.setdefault(operation, VOIDED)

    @rule(number=st.integers(0, 3))
    def move(self, number: int) -> None:
        """A late commit of an operation that is done, or void, changes nothing."""
        operation, where = self._operation(number), self._cell("shirt", "leeds")
        if operation in self.operations:
            with pytest.raises(Conflict):
                self._do(self._moved(operation, where))
            return
        self._do(self._moved(operation, where))
        self.operations[operation] = "counted"
        self._add(where, {"on_hand": 1})

    @invariant()
    def they_agree(self) -> None:
        wanted = frozenset(
            self._cell(*one) for one in itertools.product(["shirt", "hat"], ["leeds", "york"])
        )
        found = self._do(self._read(wanted))
        assert {where: _units(level) for where, level in found.items()} == self.levels

    async def _taken(self, asked: dict[Cell, Take], *, fails: bool) -> frozenset[Cell]:
        short: frozenset[Cell] = frozenset()
        with suppress(ZeroDivisionError):
            async with self.store.unit_of_work() as work:
                short = await work.take(asked)
                assert 1 / (not short and not fails)
        return short

    async def _shifted(self, asked: dict[Cell, Shift]) -> dict[Cell, Level]:
        async with self.store.unit_of_work() as work:
            return await work.shift({where: (UK, shift) for where, shift in asked.items()})

    async def _voided(self, operation: OperationId) -> set[OperationId]:
        async with self.database.write() as connection:
            return await insert_voided(connection, UK, [operation], now_us=1)

    async def _moved(self, operation: OperationId, where: Cell) -> None:
        lines = ((str(where.sku), str(where.location), {"on_hand": 1}),)
        movement = Movement(operation_id=operation, kind="counted", market=UK, lines=lines, at_us=1)
        async with self.store.unit_of_work() as work:
            await work.shift({where: (UK, Shift(on_hand=1))})
            await work.write(Changes(movements=[movement]))

    async def _read(self, wanted: frozenset[Cell]) -> dict[Cell, Level]:
        async with self.store.unit_of_work() as work:
            return await work.levels(wanted)

    def _has(self, where: Cell, take: Take) -> bool:
        level = self.levels.get(where)
        if level is None:
            return False
        spoken_for = sum(level[name] for name in ("safety", "held", "allocated"))
        return level["on_hand"] - spoken_for >= take.allocated + take.held

    def _add(self, where: Cell, units: dict[str, int]) -> None:
        level = self.levels.setdefault(where, dict.fromkeys(_COLUMNS, 0))
        for name, change in units.items():
            level[name] += change

    def _cell(self, sku: str, location: str) -> Cell:
        return cell(self.run_name + sku, location)

    def _operation(self, number: int) -> OperationId:
        return OperationId(f"{self.run_name}{number}")

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


def _units(level: Level) -> dict[str, int]:
    return {name: getattr(level, name) for name in _COLUMNS}


def test_the_ledger_does_what_a_dictionary_does(migrated_url: str) -> None:
    class OnThisDatabase(LedgerModel):
        url = migrated_url

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
