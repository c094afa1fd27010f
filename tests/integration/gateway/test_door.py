"""Who is turned away at the door: answered at once, on a connection that stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from litestar.types import ASGIApp, Receive, Scope, Send

from config.errors import ImvError, Overloaded
from gateway.serving import listen, serving

_PATIENCE_S = 20.0
_KEPT_S = 5
"""How long uvicorn keeps a connection that asks nothing (`timeout_keep_alive`)."""
_PIECE = b"x" * 65536
_SOCKET = (
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the path, a moment later where it says so."""
    await receive()
    if scope["path"] == "/slow":
        await asyncio.sleep(0.1)
    if scope["path"] == "/longer":
        await asyncio.sleep(_KEPT_S + 1)
    body = scope["path"].encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def door(method: bytes, target: bytes) -> ImvError | None:
    return Overloaded() if (method, target) == (b"POST", b"/full") else None


@asynccontextmanager
async def connected(app: ASGIApp = app) -> AsyncIterator[Streams]:
    address = listen("127.0.0.1", 0)
    async with serving(app, address, door=door):
        reader, writer = await asyncio.open_connection(*address.getsockname()[:2])
        try:
            async with asyncio.timeout(_PATIENCE_S):
                yield reader, writer
        finally:
            writer.transport.abort()


def request(target: str, *lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    method = "POST" if target == "/full" else "GET"
    head = [f"{method} {target} HTTP/{version}", "host: imv", f"content-length: {len(body)}"]
    return "\r\n".join([*head, *lines, "", ""]).encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return head, await reader.readexactly(int(length))


async def test_who_is_turned_away_learns_when_to_come_again_and_keeps_the_connection() -> None:
    async with connected() as (reader, writer):
        for _ in range(3):
            writer.write(request("/full", body=b"{}"))
            head, body = await answer(reader)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: " in head
            assert b"connection: keep-alive" in head
            assert b"urn:imv:problem:overloaded" in body
            writer.write(request("/well"))
            assert (await answer(reader))[1] == b"/well"


async def test_a_body_that_comes_after_the_answer_goes_by_and_is_not_the_next_request() -> None:
    async with connected() as (reader, writer):
        head, body = request("/full", body=_PIECE * 4)[: -len(_PIECE) * 4], _PIECE * 4
        writer.write(head)
        assert (await answer(reader))[0].startswith(b"HTTP/1.1 503 ")
        for start in range(0, len(body), len(_PIECE)):
            writer.write(body[start : start + len(_PIECE)])
            await writer.drain()
        writer.write(request("/well"))
        assert (await answer(reader))[1] == b"/well"


async def test_a_body_in_chunks_goes_by_as_well() -> None:
    async with connected() as (reader, writer):
        writer.write(b"POST /full HTTP/1.1\r\nhost: imv\r\ntransfer-encoding: chunked\r\n\r\n")
        assert (await answer(reader))[0].startswith(b"HTTP/1.1 503 ")
        writer.write(b"5\r\nhello\r\n0\r\n\r\n" + request("/well"))
        assert (await answer(reader))[1] == b"/well"


@pytest.mark.parametrize(
    ("lines", "version"), [(("connection: close",), "1.1"), ((), "1.0")], ids=["asked", "1.0"]
)
async def test_a_connection_that_does_not_stay_is_closed_after_the_answer(
    lines: tuple[str, ...], version: str
) -> None:
    async with connected() as (reader, writer):
        writer.write(request("/full", *lines, version=version))
        head, _ = await answer(reader)
        assert b"connection: close" in head
        assert await reader.read() == b""


@pytest.mark.parametrize(
    "closing",
    [
        request("/full", "connection: close"),
        request("/full", "connection: close", body=b"{}"),
        request("/full", version="1.0"),
        request("/full", "connection: keep-alive", version="1.0"),
        request("/full", "expect: 100-continue"),
        request("/well", "host: another"),
        b"no request\r\n\r\n",
    ],
    ids=["asked", "with a body", "1.0", "1.0, kept", "100-continue", "two hosts", "no HTTP"],
)
@pytest.mark.parametrize("next_one", [(), _SOCKET], ids=["a request", "a websocket"])
async def test_what_follows_an_answer_that_closes_never_reaches_the_application(
    closing: bytes, next_one: tuple[str, ...]
) -> None:
    reached: list[str] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])
        await app(scope, receive, send)

    async with connected(noting) as (reader, writer):
        writer.write(closing + request("/well", *next_one) + request("/well"))
        head, _ = await answer(reader)
        assert b"connection: close" in head
        assert await reader.read() == b""
    assert reached == []


async def test_nothing_is_said_behind_an_answer_that_closes() -> None:
    async def lengthy(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-length", str(len(_PIECE) * 256).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _PIECE * 256, "more_body": False})

    async with connected(lengthy) as (reader, writer):
        writer.write(request("/well", "connection: keep-alive", version="1.0") + b"no request\r\n")
        head, _ = await answer(reader)
        assert b"connection: close" in head
        assert await reader.read() == b""


async def test_answers_keep_the_order_of_their_requests() -> None:
    async with connected() as (reader, writer):
        writer.write(request("/slow") + request("/full", body=b"{}") + request("/well"))
        bodies = [(await answer(reader))[1] for _ in range(3)]
        assert bodies == [b"/slow", b"/full", b"/well"]  # the door is not asked out of turn
        writer.write(request("/full", body=b"{}") + request("/well"))
        assert b"overloaded" in (await answer(reader))[1]
        assert (await answer(reader))[1] == b"/well"


async def test_a_request_behind_one_that_was_turned_away_has_its_time() -> None:
    async with connected() as (reader, writer):
        writer.write(request("/full", body=b"{}") + request("/longer"))
        assert b"overloaded" in (await answer(reader))[1]
        assert (await answer(reader))[1] == b"/longer"


async def test_who_does_not_read_is_not_answered_for_ever() -> None:
    """The answers wait for their reader, so the requests do: in our memory stands a bounded part.

    The system's buffers hold six megabytes; who answers without a look takes more than twice that.
    """
    async with connected() as (_, writer):
        with pytest.raises(TimeoutError):
            await _pour(writer, request("/full", body=b"{}") * 1000, 170)


async def _pour(writer: asyncio.StreamWriter, flood: bytes, times: int) -> None:
    """Write as fast as it is read; TimeoutError when nothing is any more."""
    for _ in range(times):
        writer.write(flood)
        async with asyncio.timeout(1):
            await writer.drain()


async def test_who_waits_to_be_told_to_send_its_body_is_told_to_go() -> None:
    async with connected() as (reader, writer):
        writer.write(request("/full", "expect: 100-continue")[:-2] + b"\r\n")
        head, _ = await answer(reader)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close" in head
        assert await reader.read() == b""


async def test_what_goes_wrong_behind_an_answer_is_not_answered_again() -> None:
    async with connected() as (reader, writer):
        writer.write(b"POST /full HTTP/1.1\r\nhost: imv\r\ntransfer-encoding: chunked\r\n\r\n")
        assert (await answer(reader))[0].startswith(b"HTTP/1.1 503 ")
        writer.write(b"no chunk at all\r\n\r\n")
        assert await reader.read() == b""


async def test_an_upgrade_is_not_answered_twice() -> None:
    async with connected() as (reader, writer):
        writer.write(request("/full", "connection: upgrade", "upgrade: something"))
        head, body = await answer(reader)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == b"/full"
