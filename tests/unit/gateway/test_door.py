"""The door of the webhooks: while there is no room they are refused before anything is read."""

import asyncio

import pytest

from config.clock import SystemClock
from config.errors import Overloaded
from config.ids import IdFactory
from gateway.metrics import Metrics
from gateway.rates import Rates
from gateway.webhooks import Webhooks
from handlers.intake import Intake
from tests.unit.handlers.test_intake import Echo, message

WEBHOOK = b"/webhooks/shop-main?test=1"


def webhooks(intake: Intake, metrics: Metrics) -> Webhooks:
    clock = SystemClock()
    return Webhooks(
        channels={},
        intake=intake,
        clock=clock,
        ids=IdFactory(),
        metrics=metrics,
        refusals=Rates(0, clock),
        limited={},
        body_bytes_max=1024,
    )


async def test_while_there_is_no_room_a_webhook_is_turned_away_and_counted() -> None:
    intake, metrics = Intake(Echo(), SystemClock(), messages_max=1, answer_s=60), Metrics()
    door = webhooks(intake, metrics).door
    assert door(b"POST", WEBHOOK) is None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(intake.submit(message("a")))
        await asyncio.sleep(0)
        assert isinstance(door(b"POST", WEBHOOK), Overloaded)
        intake.close()
        await intake.run()
    assert door(b"POST", WEBHOOK) is None
    assert 'outcome="overloaded",source="unknown"} 1.0' in metrics.text().decode()


@pytest.mark.parametrize(
    ("method", "target"),
    [(b"GET", WEBHOOK), (b"HEAD", WEBHOOK), (b"POST", b"/v1/holds"), (b"POST", b"/")],
)
async def test_the_door_is_for_webhooks_only(method: bytes, target: bytes) -> None:
    intake = Intake(Echo(), SystemClock(), messages_max=1, answer_s=60)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(intake.submit(message("a")))
        await asyncio.sleep(0)
        assert webhooks(intake, Metrics()).door(method, target) is None
        intake.close()
        await intake.run()
