"""The stream on uvicorn, spoken to by the `websockets` client and by httpx."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from litestar import Litestar
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.limits import FRAME_BYTES_MAX
from gateway.stream.pace import Pace
from gateway.stream.routes import sse_route, websocket_route
from tests.stream_fakes import FakeAuthenticator, World, fulfilment
from tests.web_server import serving

Message = dict[str, Any]
PACE = Pace(hello_s=0.3, tick_s=0.02, watch_s=0.02, retry_s=0.02, grace_s=0.3, slow_s=0.3)


class Edge:
    """A served hub."""

    def __init__(self, host: str, world: World, authenticator: FakeAuthenticator) -> None:
        self.host = host
        self.world = world
        self.authenticator = authenticator

    def open(self, **options: Any) -> connect:
        return connect(f"ws://{self.host}/v1/stream", compression=None, proxy=None, **options)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    world = World(PACE)
    authenticator = FakeAuthenticator()
    routes = [
        websocket_route(world.hub, authenticator, {"https://screens.example"}),
        sse_route(world.hub, authenticator),
    ]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.hub.run())
        async with serving(Litestar(routes, openapi_config=None)) as host:
            yield Edge(host, world, authenticator)
        running.cancel()


async def say(client: ClientConnection, **message: Any) -> None:
    await client.send(json.dumps(message))


async def hear(client: ClientConnection, kind: str) -> Message:
    """Return the next frame of a kind."""
    while True:
        message: Message = json.loads(await asyncio.wait_for(client.recv(), 5))
        if message["type"] == kind:
            return message


async def ending(client: ClientConnection) -> tuple[Message | None, int]:
    """Read to the end; return the bye and the close code."""
    last = None
    try:
        while True:
            message = json.loads(await asyncio.wait_for(client.recv(), 5))
            last = message if message["type"] == "bye" else last
    except ConnectionClosed:
        return last, client.close_code or 0


async def hello(client: ClientConnection, bearer: str = "board", **more: Any) -> Message:
    await say(client, **{"type": "hello", "token": bearer, "topics": ["board:S-001"], **more})
    return await hear(client, "welcome")


async def test_a_screen_gets_rows_events_and_resumes(edge: Edge) -> None:
    edge.world.change("1", "assigned")
    async with edge.open() as client:
        assert (await hello(client))["ping_s"] == 15
        snapshot = await hear(client, "snapshot")
        assert [row["id"] for row in snapshot["rows"]] == ["1"]
        edge.world.change("1", "ready")
        event = await hear(client, "event")
        assert (event["op"], event["row"]["version"]) == ("upsert", 2)
    edge.world.change("1", "collected")
    async with edge.open() as client:
        await hello(client, since={"board:S-001": event["cursor"]})
        assert (await hear(client, "resumed"))["cursor"] == event["cursor"]
        assert (await hear(client, "event"))["op"] == "remove"


async def test_a_board_of_thousands_comes_whole_in_one_message(edge: Edge) -> None:
    numbers = [str(number) for number in range(4000)]
    for number in numbers:
        edge.world.change(number, "assigned")
    async with edge.open(max_size=None) as client:
        await hello(client)
        snapshot = await hear(client, "snapshot")
    assert len(json.dumps(snapshot)) > 2**20  # the bound of many a library
    assert [row["id"] for row in snapshot["rows"]] == numbers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://screens.example.evil"])
async def test_a_foreign_origin_is_refused(edge: Edge, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await edge.open(origin=origin)
    assert refused.value.response.status_code == 403


async def test_our_own_and_listed_origins_are_let_in(edge: Edge) -> None:
    for origin in (f"http://{edge.host}", "https://screens.example"):
        async with edge.open(origin=origin) as client:
            await hello(client)


async def test_a_cookie_counts_only_with_an_origin(edge: Edge) -> None:
    cookie = {"Cookie": "imv_session=board"}
    async with edge.open(additional_headers=cookie, origin=f"http://{edge.host}") as client:
        await hello(client, bearer="")
    async with edge.open(additional_headers=cookie) as client:
        await say(client, type="hello", token="", topics=[])
        assert (await ending(client))[1] == 4501


async def test_a_bearer_header_stands_for_the_token(edge: Edge) -> None:
    async with edge.open(additional_headers={"Authorization": "Bearer board"}) as client:
        await hello(client, bearer="")


async def test_silence_instead_of_hello_ends_the_session(edge: Edge) -> None:
    async with edge.open() as client:
        last, code = await ending(client)
    assert code == 4000
    assert last
    assert last["reconnect"]


async def test_a_bad_token_is_4501_and_final(edge: Edge) -> None:
    async with edge.open() as client:
        await say(client, type="hello", token="wrong", topics=["board:S-001"])
        last, code = await ending(client)
    assert code == 4501
    assert last == {
        "type": "bye",
        "code": 4501,
        "reason": "unauthenticated",
        "reconnect": False,
        "retry_ms": 0,
    }


@pytest.mark.parametrize(
    ("token", "topic", "code"),
    [
        ("board", "board:S-002", 4503),
        ("board", "order:1", 4503),
        ("orders", "board:S-001", 4503),
        ("operator", "nonsense:1", 4509),
        ("operator", "board:", 4509),
    ],
)
async def test_a_topic_out_of_reach_ends_the_session(
    edge: Edge, token: str, topic: str, code: int
) -> None:
    async with edge.open() as client:
        await say(client, type="hello", token=token, topics=[topic])
        assert (await ending(client))[1] == code
    async with edge.open() as client:
        await hello(client, token, topics=[])
        await say(client, type="subscribe", topic=topic)
        assert (await ending(client))[1] == code


@pytest.mark.parametrize(
    ("token", "topic"), [("boards", "board:S-9"), ("orders", "order:1"), ("operator", "order:1")]
)
async def test_scopes_open_their_topics(edge: Edge, token: str, topic: str) -> None:
    async with edge.open() as client:
        await hello(client, token, topics=[])
        await say(client, type="subscribe", topic=topic)
        assert (await hear(client, "snapshot"))["topic"] == topic


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"type":"dance"}', '{"type":"pong","x":1}', '{"type":"hello"}', "[" * 5000],
)
async def test_a_frame_that_is_not_ours_is_4509(edge: Edge, text: str) -> None:
    async with edge.open() as client:
        await hello(client)
        await client.send(text)
        assert (await ending(client))[1] == 4509


async def test_binary_garbage_is_4509(edge: Edge) -> None:
    async with edge.open() as client:
        await client.send(b"\xff\xfe")
        assert (await ending(client))[1] == 4509


async def test_a_frame_over_64_kib_closes_the_connection(edge: Edge) -> None:
    async with edge.open() as client:
        await hello(client)
        await client.send("x" * (FRAME_BYTES_MAX + 1))
        assert (await ending(client))[1] == 1009


async def test_too_many_topics_are_4509(edge: Edge) -> None:
    async with edge.open() as client:
        await hello(client, "operator", topics=[f"order:{n}" for n in range(32)])
        await say(client, type="subscribe", topic="order:33")
        assert (await ending(client))[1] == 4509


async def test_a_database_that_is_down_asks_the_client_to_come_back(edge: Edge) -> None:
    edge.authenticator.reachable = False
    async with edge.open() as client:
        await say(client, type="hello", token="board", topics=[])
        last, code = await ending(client)
    assert code == 4013
    assert last
    assert last["reconnect"]


async def test_resync_sends_the_snapshot_again(edge: Edge) -> None:
    async with edge.open() as client:
        await hello(client)
        await hear(client, "snapshot")
        edge.world.table.commit(fulfilment("7", "ready"))
        await say(client, type="resync", topic="board:S-001")
        assert [row["id"] for row in (await hear(client, "snapshot"))["rows"]] == ["7"]


async def test_a_revoked_token_and_a_shutdown_end_live_sessions(edge: Edge) -> None:
    async with edge.open() as revoked, edge.open() as other:
        await hello(revoked)
        await hello(other, "boards")
        assert edge.world.hub.close_sessions("t-board") == 1
        assert (await ending(revoked))[1] == 4501
        await edge.world.hub.shutdown()
        last, code = await ending(other)
    assert code == 1012
    assert last
    assert 0 <= last["retry_ms"] <= 10_000
    assert edge.world.hub.sessions == 0


async def test_a_client_that_goes_leaves_nothing_behind(edge: Edge) -> None:
    client = await edge.open()
    await hello(client)
    client.transport.abort()
    while edge.world.hub.sessions:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.01)


async def test_a_client_that_never_reads_is_dropped(edge: Edge) -> None:
    async with edge.open(max_queue=1, close_timeout=0.1) as client:
        await hello(client)
        client.transport.pause_reading()
        big = {**fulfilment("1"), "reason": "x" * 300_000}
        while edge.world.hub.sessions:
            # Its row changes for ever, and so its buffers fill; the hub's clock is ours.
            edge.world.publish(edge.world.table.commit(big))
            edge.world.clock.forward(0.01)
            await asyncio.sleep(0.01)


async def test_one_topic_comes_as_server_sent_events_and_resumes(edge: Edge) -> None:
    edge.world.change("1", "assigned")
    url = f"http://{edge.host}/v1/stream/sse?topic=board:S-001"
    headers = {"Authorization": "Bearer board"}
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        async with client.stream("GET", url, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            identity = await _until(answer, "event: snapshot")
        edge.world.change("1", "ready")
        again = {**headers, "Last-Event-ID": identity}
        async with client.stream("GET", url, headers=again) as answer:
            assert await _until(answer, "event: resumed") == identity
            assert await _until(answer, "event: event") != identity


@pytest.mark.parametrize(
    ("headers", "topic", "status"),
    [
        ({}, "board:S-001", 500),
        ({"Authorization": "Bearer board"}, "board:S-002", 500),
        ({"Authorization": "Bearer board"}, "nonsense", 500),
    ],
)
async def test_server_sent_events_are_guarded(
    edge: Edge, headers: dict[str, str], topic: str, status: int
) -> None:
    """The edge's own table turns these errors into 401, 403 and 404; here none is installed."""
    url = f"http://{edge.host}/v1/stream/sse"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url, params={"topic": topic}, headers=headers)
    assert answer.status_code == status


async def _until(answer: httpx.Response, line: str) -> str:
    """Read up to the event with a line; return its id."""
    identity = ""
    lines = answer.aiter_lines() if not hasattr(answer, "imv_lines") else answer.imv_lines
    answer.imv_lines = lines  # type: ignore[attr-defined]
    async for text in lines:
        if text.startswith("id: "):
            identity = text.removeprefix("id: ")
        if text == line:
            return identity
    raise AssertionError(line)
