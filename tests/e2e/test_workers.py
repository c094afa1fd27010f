"""Several workers on PostgreSQL are one gateway: the same order and the last unit exist once."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import psutil
import websockets

from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
from store.engine import Database
from store.migrate import migrate
from store.tokens import TokenRow, TokenStore
from tests.e2e import instance as at
from tests.e2e.watching import check_exactly_once, events_until_quiet


async def test_two_workers_take_each_order_once_and_sell_each_unit_once(
    tmp_path: Path, own_redis: RedisServer, own_nats: NatsServer, postgres_url: str
) -> None:
    await migrate(postgres_url)
    database = Database(postgres_url)
    token = await TokenStore(database).create(TokenRow("test", ("operator",), "test", 0))
    await database.close()
    where = {"database": postgres_url, "redis": own_redis.url, "nats": [own_nats.url]}
    config = at.write_config(tmp_path, engines=where, gateway={"answer_within_s": 60})
    with (
        at.running("serve", "--port", "0", "--workers", "2", "--config", str(config)) as serve,
        at.running("relay", "--config", str(config)),
    ):
        assert len(serve.children()) == 2
        await at.gate_open(serve.http)
        await at.stock(serve.http, token, S_001=20)
        await at.until(lambda: _stocked(serve.http, token))
        sent = 0
        taken: dict[int, float] = {}
        while not taken or min(taken.values()) == 0:  # who wakes first may accept all of a burst
            answers = await _post_all(serve.http, range(sent + 1, sent + 61), times=3)
            by_number: dict[int, set[str]] = {}
            for number, answer in answers:
                assert answer.is_success, answer.text
                by_number.setdefault(number, set()).add(answer.json()["order_id"])
            assert all(len(ids) == 1 for ids in by_number.values())
            sent += 60
            taken = await _taken_by_each(serve)
        assert sum(taken.values()) >= 3 * sent
        await at.until(lambda: _all_decided(serve.http, token))
        states = await _states(serve.http, token)
        assert (states.count("routed"), states.count("held")) == (20, sent - 20)
        await _a_revoked_token_is_cut_off_in_every_worker(serve, token)
        await _a_killed_worker_is_replaced(serve)
        check_exactly_once(await events_until_quiet(own_nats.url))


async def _taken_by_each(serve: at.Running) -> dict[int, float]:
    """Ask on new connections until each worker has told how many webhooks it answered."""
    taken: dict[int, float] = {}
    async with asyncio.timeout(20):
        while len(taken) < 2:
            async with httpx.AsyncClient(timeout=30) as client:
                answer = await client.get(f"{serve.http}/metrics")
                _, port = answer.extensions["network_stream"].get_extra_info("client_addr")
                counts = (
                    float(line.rpartition(" ")[2])
                    for line in answer.text.splitlines()
                    if line.startswith("imv_webhooks_total{")
                )
                taken[_worker_at(serve, port)] = sum(counts)
    return taken


def _worker_at(serve: at.Running, port: int) -> int:
    """Return the process that holds the other end of our connection from a port."""
    (pid,) = (
        worker.pid
        for worker in serve.children()
        if any(one.raddr and one.raddr.port == port for one in worker.net_connections("tcp"))
    )
    return pid


async def _a_revoked_token_is_cut_off_in_every_worker(serve: at.Running, token: str) -> None:
    """Streams are spread over both workers; one of them hears of the revocation."""
    async with httpx.AsyncClient(timeout=30, headers=at.bearer(token)) as client:
        asked = {"scopes": ["board:S-001"]}
        made = (await client.post(f"{serve.http}/v1/tokens", json=asked)).json()
        streams: list[websockets.ClientConnection] = []
        workers: set[int] = set()
        async with AsyncExitStack() as stack, asyncio.timeout(20):
            while len(workers) < 2 or len(streams) < 8:
                stream = await stack.enter_async_context(_stream(serve.http, made["token"]))
                streams.append(stream)
                workers.add(_worker_at(serve, stream.local_address[1]))
            answer = await client.delete(f"{serve.http}/v1/tokens/{made['id']}")
            assert answer.status_code == 204
            for stream in streams:
                await stream.wait_closed()
    assert {stream.close_code for stream in streams} == {4501}


@asynccontextmanager
async def _stream(http: str, token: str) -> AsyncIterator[websockets.ClientConnection]:
    url = f"{http.replace('http', 'ws', 1)}/v1/stream"
    # Nobody takes the frames here: with the library's bound of 16 it would not read on to the close.
    async with websockets.connect(url, max_queue=None) as stream:
        await stream.send(f'{{"type":"hello","token":"{token}","topics":["board:S-001"]}}')
        assert '"welcome"' in str(await stream.recv())
        yield stream


async def _a_killed_worker_is_replaced(serve: at.Running) -> None:
    before = {child.pid for child in serve.children()}
    victim: psutil.Process = serve.children()[0]
    victim.send_signal(signal.SIGKILL)
    await at.until(lambda: _replaced(serve, before))


async def _replaced(serve: at.Running, before: set[int]) -> bool:
    now = {child.pid for child in serve.children() if child.status() != "zombie"}
    return len(now) == 2 and now != before


async def _post_all(http: str, numbers: range, *, times: int) -> list[tuple[int, httpx.Response]]:
    """Post every order several times at once, each on a connection of its own."""
    answers: list[tuple[int, httpx.Response]] = []

    async def post(number: int) -> None:
        body = at.order(number, pickup=True)
        async with httpx.AsyncClient(timeout=30) as client:
            url, head = f"{http}/webhooks/shop-main", at.headers(body, f"event-{number}")
            answers.append((number, await client.post(url, content=body, headers=head)))

    async with asyncio.TaskGroup() as group:
        for number in [*numbers] * times:
            group.create_task(post(number))
    return answers


async def _stocked(http: str, token: str) -> bool:
    """Tell whether the gate knows of the stock: the import may be told to it a moment later."""
    async with httpx.AsyncClient(timeout=30, headers=at.bearer(token)) as client:
        found = (await client.get(f"{http}/v1/availability/SKU-1")).json()
    return bool(found["freshness"] == "gate" and found["locations"][0]["band"] != "none")


async def _all_decided(http: str, token: str) -> bool:
    """Tell whether those that another worker was faster for for a moment are decided, too."""
    return not set(await _states(http, token)) - {"routed", "held"}


async def _states(http: str, token: str) -> list[str]:
    async with httpx.AsyncClient(timeout=30, headers=at.bearer(token)) as client:
        orders = (await client.get(f"{http}/v1/orders")).json()["orders"]
        return [order["state"] for order in orders]
