"""Every crash point is reached and leaves every invariant whole.

Here each point runs once, every other one on PostgreSQL; `imv chaos crash` runs all on both.
"""

import asyncio

import pytest

from tests.chaos.crashing import POINTS, Result
from tests.chaos.house import BOTH, DatabaseKind
from tests.chaos.runs import crash_all
from tests.engines import needed

_AT_ONCE = 4


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", BOTH)
def test_a_process_killed_at_a_point_loses_nothing_and_doubles_nothing(kind: DatabaseKind) -> None:
    points = list(POINTS)[BOTH.index(kind) :: len(BOTH)]
    seen: list[Result] = []
    with needed():
        asyncio.run(crash_all([(one, kind) for one in points], seen.append, at_once=_AT_ONCE))
    assert sorted(result.point for result in seen) == sorted(points)
    assert {result.point: result.violations for result in seen if not result.good} == {}
