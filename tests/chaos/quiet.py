"""Waits until a house has nothing on its way, then takes the evidence."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from config.errors import ImvError
from config.limits import GATE_GRACE_S
from store.engine import Database
from store.gate_keeper import TURN_MS
from tests.chaos import checker
from tests.chaos.evidence import Evidence, read_gates, read_stream, read_tables, waiting
from tests.chaos.history import History
from tests.chaos.house import House
from tests.chaos.letters import Letter
from tests.e2e.watching import Screen

QUIET_S: Final = 120.0
_AGREE_S: Final = TURN_MS / 1000 + 2 * GATE_GRACE_S + 15.0
"""How long an orphan of the gate may live: a turn that a killed keeper still holds, the grace time
until it is looked at and until a difference is sure, and what a busy machine adds."""
_LOOK_S: Final = 0.25
_JUDGE_S: Final = 1.0


class Restless(Exception):
    """The house did not become quiet: something is on its way for ever."""


async def until_quiet(database: Database, within_s: float = QUIET_S) -> None:
    """Wait until nothing waits in the database; Restless says what still does."""
    deadline = time.monotonic() + within_s
    left: object = "the database does not answer"
    while time.monotonic() < deadline:
        try:
            if not (left := await waiting(database)):
                return
        except ImvError as error:
            left = error.detail
        await asyncio.sleep(_LOOK_S)
    raise Restless(f"after {within_s:.0f} s still on its way: {left}")


async def conclude(
    house: House, history: History, letters: Sequence[Letter], screens: Mapping[str, Screen]
) -> tuple[Evidence, list[checker.Violation]]:
    """Take evidence and judge, again for a while where only time is missing.

    What a crash leaves at the gate is given back after a grace time, a hold ends when it expires, a
    screen hears a moment later, what is free is put down; nothing else changes any more.
    """
    database = Database(house.database)
    try:
        await until_quiet(database)
        deadline = time.monotonic() + _AGREE_S
        while True:
            evidence = await _gather(house, database, screens)
            case = checker.Case(letters, history.notes, evidence)
            violations = checker.judge(case)
            late = time.monotonic() > deadline
            if late or not violations or not all(map(_may_pass, violations)):
                return evidence, violations
            await asyncio.sleep(_JUDGE_S)
            await until_quiet(database)
    finally:
        await database.close()


def _may_pass(violation: checker.Violation) -> bool:
    return violation.invariant.split()[0] in {"I4", "I5", "I7", "I8", "I10", "I12"}


async def _gather(house: House, database: Database, screens: Mapping[str, Screen]) -> Evidence:
    tables = await read_tables(database)
    return Evidence(
        tables=tables,
        gates=await read_gates(house.redis.url, tables),
        stream=await read_stream(house.nats.url),
        screens={
            topic: {row["id"]: row["version"] for row in screen.rows.values()}
            for topic, screen in screens.items()
        },
        held_before=house.held_before,
        held_after=await house.held() if house.held_before else {},
        now_us=time.time_ns() // 1000,
        workers=house.workers,
    )


def keep(house: House, letters: Sequence[Letter], evidence: Evidence) -> None:
    """Write what was judged beside the history, so that it can be judged again."""
    (house.folder / "letters.json").write_bytes(msgspec.json.encode(letters))
    (house.folder / "evidence.json").write_bytes(msgspec.json.encode(evidence))
