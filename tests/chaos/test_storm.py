"""Storms of fixed seeds: real faults under traffic, and no invariant is violated."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos import storm
from tests.chaos.house import DatabaseKind
from tests.chaos.runs import storm_once
from tests.engines import needed

SECONDS = 30.0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "seed"), [("sqlite", 11), ("postgres", 12)])
def test_half_a_minute_of_faults_violates_nothing(
    kind: DatabaseKind, seed: int, tmp_path: Path
) -> None:
    plan = storm.draw(seed, SECONDS, kind, faults_per_s=1.0)
    with needed():
        outcome = asyncio.run(storm_once(plan, tmp_path))
    assert outcome.violations == []
    deliveries = sum(1 + len(letter.again_s) for letter in plan.letters)
    assert outcome.attempts > deliveries, "no fault reached a sender: nothing had to be repeated"
    assert outcome.orders > 200
    assert len({fault.what for fault in plan.faults}) > 5


def test_a_seed_draws_the_same_storm_on_any_day_and_another_seed_another_one() -> None:
    assert storm.draw(1, 20.0, "sqlite") == storm.draw(1, 20.0, "sqlite")
    assert storm.draw(1, 20.0, "sqlite") != storm.draw(2, 20.0, "sqlite")
