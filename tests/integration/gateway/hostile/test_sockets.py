"""Sockets that do nothing, or never read: many of them cost a stated memory and hold up nobody."""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from config.limits import HEAD_RECEIPT_S
from tests.e2e import instance as at
from tests.integration.gateway.hostile.target import alive_and_right, memory_bytes

_IDLE = 2000
_BYTES_PER_IDLE = 24 * 1024
_BYTES_PER_UNREADING = 512 * 1024
_FREE_HANDLES = 200
_GONE_S = HEAD_RECEIPT_S * 3
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def handles() -> int:
    """Raise our own limit of open files as far as we may; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _IDLE + _FREE_HANDLES if hard == resource.RLIM_INFINITY else min(hard, _IDLE * 2)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return max(soft, wanted)


@asynccontextmanager
async def crowd(http: str, count: int, first: bytes = b"") -> AsyncIterator[list[Streams]]:
    """Open many connections, each with some first bytes; none reads."""
    url = httpx.URL(http)
    async with AsyncExitStack() as stack:
        opened: list[Streams] = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection(url.host, url.port, limit=1)
            stack.callback(writer.transport.abort)
            if first:
                writer.write(first)
            opened.append((reader, writer))
        yield opened


async def _all_closed(streams: list[Streams]) -> None:
    """Wait until the other side has ended every connection."""
    async with asyncio.timeout(_GONE_S):
        for reader, _ in streams:
            try:
                while await reader.read(1024):
                    pass
            except ConnectionResetError:
                continue


async def test_thousands_of_idle_sockets_cost_little_and_are_ended(
    instance: at.Running, handles: int
) -> None:
    before = memory_bytes(instance.pid)
    count = min(_IDLE, handles - _FREE_HANDLES) // 2
    half = b"GET /livez HTTP/1.1\r\nhost: im"
    async with crowd(instance.http, count) as silent, crowd(instance.http, count, half) as begun:
        await alive_and_right(instance.http)
        assert memory_bytes(instance.pid) - before < 2 * count * _BYTES_PER_IDLE
        await _all_closed([*silent, *begun])


def _pipeline() -> bytes:
    """Ask for more than all buffers between us can hold."""
    return b"GET /schema HTTP/1.1\r\nhost: imv\r\n\r\n" * 200


def _stream(token: str) -> bytes:
    return (
        f"GET /v1/stream/sse?topic=board:S-001 HTTP/1.1\r\nhost: imv\r\n"
        f"authorization: Bearer {token}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("count", "asked"),
    [(50, lambda _: _pipeline()), (300, _stream)],
    ids=["answers", "events"],
)
async def test_sockets_that_never_read_are_bounded(
    instance: at.Running, count: int, asked: Callable[[str], bytes]
) -> None:
    before = memory_bytes(instance.pid)
    async with crowd(instance.http, count, asked(instance.ready["token"])):
        await alive_and_right(instance.http)
        assert memory_bytes(instance.pid) - before < count * _BYTES_PER_UNREADING
