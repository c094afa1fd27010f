"""What is told when a connection to Redis breaks, on the event loop that the gateway runs on."""

import asyncio
from collections.abc import Awaitable

import pytest
import uvloop
from redis.asyncio import Redis

from config.errors import EngineDown, OutcomeUnknown
from gateway.engines.redis import RedisServer
from store.gate_scripts import GateScripts
from store.redis_client import Client, open_redis

_STEPS = 10


@pytest.mark.parametrize("writing", [False, True])
def test_a_connection_that_breaks_at_any_step_of_a_command_is_an_engine_that_is_down(
    redis_server: RedisServer, *, writing: bool
) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = [
            runner.run(_broken_after(steps, redis_server.url, writing=writing))
            for steps in range(_STEPS)
        ]
    assert set(told) - {None} == {OutcomeUnknown if writing else EngineDown}


async def _broken_after(steps: int, url: str, *, writing: bool) -> type[Exception] | None:
    """Break a warm connection so many turns of the loop after a command began."""
    client = open_redis(url)
    scripts = GateScripts(client)
    await scripts.read("GET", "imv:nothing")
    ask = (
        scripts.write("SET", "imv:something", "x")
        if writing
        else scripts.read("GET", "imv:nothing")
    )
    async with asyncio.TaskGroup() as group:
        told = group.create_task(_told(ask))
        for _ in range(steps):
            await asyncio.sleep(0)
        _abort_all(client)
    await client.aclose()
    return told.result()


async def _told(ask: Awaitable[object]) -> type[Exception] | None:
    try:
        await ask
    except (EngineDown, OutcomeUnknown) as error:
        return type(error)
    return None


def _abort_all(client: Client) -> None:
    assert isinstance(client, Redis)
    pool = client.connection_pool
    for connection in [*pool._available_connections, *pool._in_use_connections]:
        if connection._writer:
            connection._writer.transport.abort()
