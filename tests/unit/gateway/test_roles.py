"""How a role ends: a reason of ours is a line, a defect is never hidden behind one."""

from collections.abc import Awaitable, Callable

import pytest

from config.errors import EngineDown, Misconfigured
from gateway.cli.roles import run_role


def failing(*failures: Exception) -> Callable[[], Awaitable[None]]:
    async def main() -> None:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", list(failures))])

    return main


def test_a_reason_of_ours_comes_out_of_its_groups() -> None:
    with pytest.raises(Misconfigured, match="a wrong number"):
        run_role(failing(Misconfigured("a wrong number"), EngineDown("away")))


def test_a_defect_beside_it_is_shown_whole() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        run_role(failing(EngineDown("away"), KeyError("a defect")))
    assert raised.group_contains(KeyError)
    assert raised.group_contains(EngineDown)
