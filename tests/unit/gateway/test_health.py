"""What health says of the event stream's room."""

from typing import Any

import pytest

from config.clock import SystemClock
from config.errors import EngineDown
from gateway.health import FILL_SHARE_MAX, Health
from gateway.metrics import Metrics


class Nothing:
    """A database without work, a queue without messages, a gate that is open."""

    waiting = 0
    room = 1
    count = 0
    oldest_us = None

    async def counts(self) -> dict[str, int]:
        return {}

    async def backlog(self) -> Any:
        return self

    async def check_writable(self) -> None:
        pass

    def epoch(self, market: str) -> str:
        return market


class Stream:
    """A broker that tells how full it is, or does not answer."""

    def __init__(self, fill: float, *, answers: bool = True) -> None:
        self.share = fill
        self.is_up = answers

    async def fill(self) -> float:
        if not self.is_up:
            raise EngineDown("NATS does not answer")
        return self.share


def _health(stream: Stream) -> tuple[Health, Metrics]:
    nothing: Any = Nothing()
    metrics = Metrics()
    health = Health(
        nothing, nothing, stream, (), metrics, database=nothing, intake=nothing, clock=SystemClock()
    )
    return health, metrics


@pytest.mark.parametrize(
    ("share", "detail"), [(0.1, ""), (FILL_SHARE_MAX, "the stream is 70% full")]
)
async def test_a_stream_that_fills_is_told_before_it_refuses(share: float, detail: str) -> None:
    health, metrics = _health(Stream(share))
    await health.measure()
    await health.look()
    assert (health.dependencies["nats"].ok, health.dependencies["nats"].detail) == (True, detail)
    assert metrics.registry.get_sample_value("imv_stream_fill_ratio") == share
    assert metrics.registry.get_sample_value("imv_room_messages") == Nothing.room


async def test_a_broker_that_does_not_answer_is_down_and_stops_nothing() -> None:
    health, _ = _health(Stream(0.9, answers=False))
    await health.measure()
    await health.look()
    assert (health.dependencies["nats"].ok, health.dependencies["nats"].detail) == (False, "down")
    assert health.ready


class Full(Nothing):
    """A database that can be read and not written."""

    async def check_writable(self) -> None:
        raise EngineDown("there is no room to store it")


async def test_a_database_that_only_reads_takes_no_webhooks() -> None:
    nothing: Any = Nothing()
    health = Health(
        nothing,
        nothing,
        Stream(0.1),
        (),
        Metrics(),
        database=Full(),
        intake=nothing,
        clock=SystemClock(),
    )
    await health.look()
    assert not health.ready
    assert health.dependencies["database"].detail == "there is no room to store it"
