"""The HTTP transport's deadlines on real sockets, set short: who keeps one must ask something."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from litestar.types import Receive, Scope, Send

from gateway.serving import listen, serving
from gateway.transport import EdgeProtocol

_SHORT_S = 0.3
_LONG_S = 60.0
_PATIENCE_S = 10.0
_LARGE = b"x" * (32 * 1024 * 1024)
_GET = b"GET /small HTTP/1.1\r\nhost: imv\r\n\r\n"


class HeadsSoon(EdgeProtocol):
    """Waits for a head only a moment."""

    head_receipt_s = _SHORT_S
    unread_s = _LONG_S


class ReadsSoon(EdgeProtocol):
    """Waits for a reader only a moment."""

    head_receipt_s = _LONG_S
    unread_s = _SHORT_S


class Unhurried(EdgeProtocol):
    """Waits longer than any test."""

    head_receipt_s = _LONG_S
    unread_s = _LONG_S


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without a look at the body."""
    del receive
    body = _LARGE if scope["path"] == "/large" else b"ok"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@asynccontextmanager
async def connected(
    protocol: type[EdgeProtocol],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = listen("127.0.0.1", 0)
    async with serving(app, address, protocol=protocol):
        reader, writer = await asyncio.open_connection(*address.getsockname()[:2], limit=1024)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                yield reader, writer
        finally:
            writer.transport.abort()


async def _ended(reader: asyncio.StreamReader) -> bytes:
    """Return what still comes until the other side ends the connection, however it does."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_kept_connection_that_asks_nothing_more_is_ended() -> None:
    async with connected(HeadsSoon) as (reader, writer):
        writer.write(_GET)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        assert await _ended(reader) == b""


async def test_a_kept_connection_that_begins_in_time_must_also_end_its_head() -> None:
    async with connected(HeadsSoon) as (reader, writer):
        writer.write(_GET)
        await reader.readuntil(b"ok")
        writer.write(_GET[:-2])
        assert (await _ended(reader)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_nobody_waits_for_is_not_taken_for_ever() -> None:
    async with connected(HeadsSoon) as (reader, writer):
        writer.write(_GET[:-2] + b"content-length: 1000000\r\n\r\nthe begin")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        assert await _ended(reader) == b""


async def test_an_answer_that_nobody_reads_ends_the_connection() -> None:
    async with connected(ReadsSoon) as (reader, writer):
        _small_buffer(writer)
        writer.write(_GET.replace(b"/small", b"/large"))
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        lost = asyncio.get_running_loop().create_task(_refused(writer))
        await lost
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await _ended(reader)) < len(_LARGE)


async def test_without_these_deadlines_all_of_it_would_stay() -> None:
    async with connected(Unhurried) as (reader, writer):
        writer.write(_GET[:-2] + b"content-length: 1000000\r\n\r\nthe begin")
        await reader.readuntil(b"ok")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(_SHORT_S * 3):
                await reader.read()


def _small_buffer(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


async def _refused(writer: asyncio.StreamWriter) -> None:
    """Write a byte now and then until the other side is gone, without reading."""
    try:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(_SHORT_S / 10)
    except ConnectionError:
        return
