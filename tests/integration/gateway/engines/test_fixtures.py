"""The fixtures: real engines, empty for each test."""

import asyncpg
import nats
import redis.asyncio
import sqlalchemy
from nats.js.api import StreamConfig
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer


async def test_redis_answers_and_is_durable(redis_owner_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_owner_url) as client:
        assert await client.dbsize() == 0
        await client.set("left", "over")
        settings = await client.config_get("*")
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["save"] == ""


async def test_redis_is_empty_again(redis_owner_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_owner_url) as client:
        assert await client.dbsize() == 0


async def _make_stream(url: str) -> int:
    client = await nats.connect(url)
    streams = client.jetstream()
    before = len(await streams.streams_info())
    await streams.add_stream(
        StreamConfig(name="X", subjects=["imv.v1.>"], deny_delete=True, deny_purge=True)
    )
    await streams.publish("imv.v1.x.1", b"left over")
    await client.close()
    return before


async def test_nats_has_jetstream(nats_url: str) -> None:
    assert await _make_stream(nats_url) == 0


async def test_nats_is_empty_again(nats_url: str) -> None:
    assert await _make_stream(nats_url) == 0


async def test_both_databases_are_empty_and_take_a_table(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(sqlalchemy.text("CREATE TABLE t (id INTEGER)"))
    await engine.dispose()


async def test_postgresql_keeps_its_promises(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await connection.fetchval(f"SHOW {setting}") == "on"
    await connection.close()


async def test_own_engines_come_back_at_the_same_address_with_their_data(
    own_redis: RedisServer, own_nats: NatsServer
) -> None:
    before = (own_redis.url, own_nats.url)
    async with redis.asyncio.Redis.from_url(own_redis.url) as client:
        await client.set("imv:kept", "yes")
    await _make_stream(own_nats.url)
    for server in (own_redis, own_nats):
        server.kill()
        assert not server.alive
        server.start()
    assert (own_redis.url, own_nats.url) == before
    async with redis.asyncio.Redis.from_url(own_redis.url) as client:
        assert await client.get("imv:kept") == b"yes"
    assert await _make_stream(own_nats.url) == 1
