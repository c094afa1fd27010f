"""The fault proxy breaks connections in the ways that it says, and heals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.proxy import Proxy, proxied

_WITHIN_S = 5.0


class Echo:
    """Answers each line with itself, and counts."""

    def __init__(self) -> None:
        self.heard = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.heard += 1
            writer.write(line)
        writer.close()


@asynccontextmanager
async def _echo() -> AsyncIterator[tuple[Echo, Proxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo.accept, "127.0.0.1", 0)
    async with server, proxied(server.sockets[0].getsockname()[:2]) as proxy:
        yield echo, proxy


class Client:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, proxy: Proxy) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def ask(self, text: bytes = b"hello\n") -> bytes:
        async with asyncio.timeout(_WITHIN_S):
            self._writer.write(text)
            return await self._reader.readline()

    def close(self) -> None:
        self._writer.transport.abort()


async def test_it_forwards_faithfully_when_nothing_is_wrong() -> None:
    async with _echo() as (_, proxy):
        client = await Client.open(proxy)
        assert await client.ask() == b"hello\n"
        client.close()


async def test_a_dropped_reply_belongs_to_a_request_that_was_carried_out() -> None:
    async with _echo() as (echo, proxy):
        client = await Client.open(proxy)
        await client.ask()
        proxy.replies_to_drop = 1
        with pytest.raises(ConnectionResetError):
            await client.ask()
        assert echo.heard == 2
        again = await Client.open(proxy)
        assert await again.ask() == b"hello\n"
        again.close()


async def test_a_reset_breaks_every_connection() -> None:
    async with _echo() as (_, proxy):
        client = await Client.open(proxy)
        await client.ask()
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await client.ask()


async def test_what_falls_into_a_hole_comes_out_when_it_heals() -> None:
    async with _echo() as (_, proxy):
        client = await Client.open(proxy)
        await client.ask()
        proxy.hole()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(client.ask(b"later\n"))
            done, _ = await asyncio.wait({asked}, timeout=0.2)
            assert not done
            proxy.heal()
        assert asked.result() == b"later\n"
        client.close()


async def test_a_delay_delays() -> None:
    async with _echo() as (_, proxy):
        client = await Client.open(proxy)
        await client.ask()
        proxy.delay_s = 0.1
        began = asyncio.get_running_loop().time()
        await client.ask()
        assert asyncio.get_running_loop().time() - began >= 0.2
        client.close()
