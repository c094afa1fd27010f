"""Each engine really stops; what is acknowledged stays, and what is not known is shown as unknown."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
from store.engine import Database
from store.migrate import migrate
from store.tokens import TokenRow, TokenStore
from tests import engines
from tests.e2e import instance as at
from tests.e2e.watching import Screen, check_exactly_once, events_until_quiet, names_of


class House:
    """`imv serve` and `imv relay` on engines that a test can stop."""

    def __init__(self, config: Path, redis: RedisServer, nats: NatsServer, database: str) -> None:
        self.config = config
        self.redis = redis
        self.nats = nats
        self.database = database
        self.serve = at.Running("serve", "--port", "0", "--config", str(config))
        self.relay = at.Running("relay", "--config", str(config))
        self.token = ""

    @property
    def http(self) -> str:
        return self.serve.http

    def close(self) -> None:
        self.relay.close()
        self.serve.close()


@pytest.fixture
async def house(
    tmp_path: Path, own_redis: RedisServer, own_nats: NatsServer, database_url: str
) -> AsyncIterator[House]:
    async with _opened(tmp_path, own_redis, own_nats, database_url) as house:
        yield house


@asynccontextmanager
async def _opened(
    folder: Path, redis: RedisServer, nats: NatsServer, database_url: str
) -> AsyncIterator[House]:
    await migrate(database_url)
    database = Database(database_url)
    row = TokenRow("test", ("operator",), "test", 0)
    token = await TokenStore(database).create(row)
    await database.close()
    where = {"database": database_url, "redis": redis.url, "nats": [nats.url]}
    house = House(at.write_config(folder, engines=where), redis, nats, database_url)
    try:
        house.token = token
        await at.gate_open(house.http)
        await at.until(lambda: at.well(house.http, "nats"))
        await at.stock(house.http, token, S_001=100, W_001=100)
        yield house
    finally:
        house.close()


@asynccontextmanager
async def _watched(house: House) -> AsyncIterator[Screen]:
    """Watch the board of S-001 on a screen that is live at the beginning."""
    screen = Screen(house.http, house.token, "board:S-001")
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(screen.run())
        await at.until(lambda: _true(screen.stale_since is None))
        yield screen
        watching.cancel()


async def _post(house: House, number: int) -> httpx.Response:
    body = at.order(number, pickup=True)
    async with httpx.AsyncClient(timeout=20) as client:
        url = f"{house.http}/webhooks/shop-main"
        return await client.post(url, content=body, headers=at.headers(body, f"event-{number}"))


async def _state(house: House, order_id: str) -> str:
    async with httpx.AsyncClient(timeout=30, headers=at.bearer(house.token)) as client:
        answer = await client.get(f"{house.http}/v1/orders/{order_id}")
        return str(answer.json()["state"])


async def test_without_redis_orders_are_durable_and_decided_when_it_is_back(house: House) -> None:
    house.redis.kill()
    async with _watched(house) as screen:
        accepted = await _post(house, 1)
        order_id = accepted.json()["order_id"]
        events = await events_until_quiet(
            house.nats.url, enough=lambda events: bool(names_of(events, order_id))
        )
        assert names_of(events, order_id)[0] == "order.captured"
        assert screen.stale_since is None
    assert (accepted.status_code, accepted.json()["outcome"]) == (202, "accepted")
    assert await _state(house, order_id) == "captured"
    repeated = await _post(house, 1)
    assert (repeated.status_code, repeated.json()["outcome"]) == (200, "duplicate")
    await at.until(lambda: _unwell(house, "redis"))
    house.redis.start()
    await at.until(lambda: _is(house, order_id, "routed"))


async def test_a_redis_that_comes_back_empty_is_rebuilt_before_it_decides(house: House) -> None:
    assert (await _post(house, 1)).json()["outcome"] == "applied"
    house.redis.kill()
    engines_data = Path(house.redis.log).parent / "redis"
    for file in engines_data.rglob("*"):
        if file.is_file():
            file.unlink()
    house.redis.start()
    numbers = itertools.count(2)
    await at.until(lambda: _decided_at_once(house, numbers))
    async with httpx.AsyncClient(timeout=30, headers=at.bearer(house.token)) as client:
        answer = (await client.get(f"{house.http}/v1/availability/SKU-1")).json()
    assert answer["freshness"] == "gate"


async def test_without_nats_orders_are_decided_screens_freeze_and_events_follow_in_order(
    house: House,
) -> None:
    screen = Screen(house.http, house.token, "board:S-001")
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(screen.run())
        await at.until(lambda: _true(screen.stale_since is None))
        house.nats.kill()
        await at.until(lambda: _true(screen.stale_since))
        answers = [await _post(house, number) for number in range(1, 6)]
        assert [answer.json()["outcome"] for answer in answers] == ["applied"] * 5
        assert screen.rows == {}
        house.nats.start()
        await at.until(lambda: _true(len(screen.rows) == 5 and screen.stale_since is None))
        watching.cancel()
    events = await events_until_quiet(house.nats.url)
    check_exactly_once(events)
    for answer in answers:
        assert names_of(events, answer.json()["order_id"])[-1] == "fulfilment.assigned"


async def test_without_the_relay_events_wait_and_screens_say_so(house: House) -> None:
    screen = Screen(house.http, house.token, "board:S-001")
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(screen.run())
        await at.until(lambda: _true(screen.stale_since is None))
        house.relay.kill()
        house.relay.close()
        answer = await _post(house, 1)
        assert answer.json()["outcome"] == "applied"
        await at.until(lambda: _true(screen.stale_since), within_s=60)
        assert screen.rows == {}
        house.relay = at.Running("relay", "--config", str(house.config))
        await at.until(lambda: _true(len(screen.rows) == 1 and screen.stale_since is None))
        watching.cancel()
    check_exactly_once(await events_until_quiet(house.nats.url))


async def test_without_the_database_nothing_is_acknowledged(
    tmp_path: Path,
    own_redis: RedisServer,
    own_nats: NatsServer,
    own_postgres: engines.PostgresServer,
) -> None:
    url = engines.Databases(own_postgres.url).create()
    async with _opened(tmp_path, own_redis, own_nats, url) as house:
        before = (await _post(house, 1)).json()
        async with _watched(house) as screen:
            await at.until(lambda: _true(len(screen.rows) == 1))
            own_postgres.kill()
            await at.until(lambda: _true(screen.stale_since))
            await _nothing_is_acknowledged(house)
            assert len(screen.rows) == 1
            own_postgres.start()
            await at.until(lambda: _answers(house, 2))
            await at.until(lambda: _true(len(screen.rows) == 2 and screen.stale_since is None))
        assert await _state(house, before["order_id"]) == "routed"
        assert (await _post(house, 2)).json()["outcome"] == "duplicate"


async def _nothing_is_acknowledged(house: House) -> None:
    """A webhook is asked to come again, and health says why."""
    refused = await _post(house, 2)
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert refused.headers["content-type"] == "application/problem+json"
    async with httpx.AsyncClient(timeout=30) as client:
        assert (await client.get(f"{house.http}/livez")).status_code == 200
        await at.until(lambda: _status(client, f"{house.http}/readyz", 503))


async def _status(client: httpx.AsyncClient, url: str, status: int) -> bool:
    return (await client.get(url)).status_code == status


async def _answers(house: House, number: int) -> bool:
    return (await _post(house, number)).is_success


async def _unwell(house: House, name: str) -> bool:
    return not await at.well(house.http, name)


async def _decided_at_once(house: House, numbers: Iterator[int]) -> bool:
    answer = await _post(house, next(numbers))
    return bool(answer.json().get("outcome") == "applied")


async def _is(house: House, order_id: str, state: str) -> bool:
    return await _state(house, order_id) == state


async def _true(value: object) -> bool:
    return bool(value)
