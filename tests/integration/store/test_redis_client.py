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
from tests.engines import owner_of

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


@pytest.mark.parametrize("lacks", ["-set", "-eval -evalsha", "resetkeys"])
async def test_rights_that_are_too_narrow_are_an_engine_that_cannot_be_used(
    redis_server: RedisServer, lacks: str
) -> None:
    """In a script or outside: it must never look like a defect of a message."""
    owner = open_redis(owner_of(redis_server.url))
    scripts = GateScripts(owner)
    rights = f"on >narrow +@all ~imv:* {lacks}".split()
    await scripts.write("ACL", "SETUSER", "narrow", "reset", *rights)
    client = open_redis(redis_server.url.replace(*_as_narrow(redis_server.url)))
    script = "return redis.call('SET', KEYS[1], 'x')"
    try:
        with pytest.raises(EngineDown, match="refuses"):
            await GateScripts(client).write("EVAL", script, 1, "imv:something")
    finally:
        await scripts.write("ACL", "DELUSER", "narrow")
        await client.aclose()
        await owner.aclose()


def _as_narrow(url: str) -> tuple[str, str]:
    signed = url.partition("//")[2].partition("@")[0]
    return f"//{signed}@", "//narrow:narrow@"
