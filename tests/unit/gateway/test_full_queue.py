"""A full queue at the edge refuses before the work: refusals cost little when there are many."""

import asyncio
from typing import Any

import msgspec

from config.clock import SystemClock
from config.errors import Unauthenticated
from config.ids import IdFactory, SourceId
from gateway.metrics import Metrics
from gateway.rates import Rates
from gateway.webhooks import Webhooks
from handlers.intake import Intake
from handlers.sources.channel import Request
from tests.unit.handlers.test_intake import Echo, message

SHOP = SourceId("shop-main")


class Verifying:
    """A channel that refuses everybody, and counts."""

    def __init__(self) -> None:
        self.verified = 0

    async def verify(self, _request: Request) -> None:
        self.verified += 1
        raise Unauthenticated


async def _status(intake: Intake, channel: Any) -> int:
    clock = SystemClock()
    edge = Webhooks(
        channels={SHOP: channel},
        intake=intake,
        clock=clock,
        ids=IdFactory(),
        metrics=Metrics(),
        refusals=Rates(0, clock),
        limited={},
        body_bytes_max=1024,
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(event: Any) -> None:
        sent.append(event)

    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": f"/webhooks/{SHOP}",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
    }
    await edge(scope, receive, send)
    problem = msgspec.json.decode(sent[1]["body"])
    assert problem["status"] == sent[0]["status"]
    return int(problem["status"])


async def test_a_full_queue_refuses_before_anything_is_verified() -> None:
    intake = Intake(Echo(), SystemClock(), messages_max=1, answer_s=60)
    channel = Verifying()
    assert await _status(intake, channel) == 401
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(intake.submit(message("a")))
        await asyncio.sleep(0)
        assert await _status(intake, channel) == 503
        intake.close()
        await intake.run()
    assert channel.verified == 1
