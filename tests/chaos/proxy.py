"""A small TCP proxy that breaks what goes through it: resets, delays, holes, lost replies."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

Address = tuple[str, int] | Path
"""Where it leads: a TCP address or a unix socket."""
_CHUNK: Final = 64 * 1024
_ABORT: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Stands before one server; what it does wrong is set from outside at any time."""

    def __init__(self, upstream: Address) -> None:
        """Forward faithfully until told otherwise."""
        self.port = 0
        self.delay_s = 0.0
        self.bytes_per_s = 0
        """A throttle; 0 is none."""
        self.replies_to_drop = 0
        """So many next answers are lost: their request was forwarded, then the connection breaks."""
        self.forwarded = 0
        self._upstream = upstream
        self._open = asyncio.Event()
        self._open.set()
        self._pairs: set[_Pair] = set()

    def hole(self) -> None:
        """Let nothing pass, in either direction; it is kept until `heal`, as TCP does."""
        self._open.clear()

    def reset(self) -> None:
        """Break every connection as a reset does."""
        for pair in list(self._pairs):
            pair.abort()

    def heal(self) -> None:
        """Forward faithfully again; what waited goes on."""
        self.delay_s, self.bytes_per_s, self.replies_to_drop = 0.0, 0, 0
        self._open.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side is gone."""
        try:
            await self._open.wait()
            there = await self._connect()
        except OSError:
            _abort(writer)
            return
        pair = _Pair(writer, there[1])
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there[1], pair, reply=False))
                group.create_task(self._pump(there[0], writer, pair, reply=True))
        except* (OSError, _Broken):
            pass
        finally:
            self._pairs.discard(pair)
            pair.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(str(self._upstream))
        return await asyncio.open_connection(*self._upstream)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: "_Pair",
        *,
        reply: bool,
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            await self._suffer(len(chunk))
            if not reply and self.replies_to_drop:
                pair.doomed = True
            if reply and pair.doomed and self.replies_to_drop:
                self.replies_to_drop -= 1
                raise _Broken
            writer.write(chunk)
            await writer.drain()
            self.forwarded += 1
        raise _Broken

    async def _suffer(self, size: int) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.bytes_per_s:
            await asyncio.sleep(size / self.bytes_per_s)
        await self._open.wait()


class _Broken(Exception):
    """The connection ends here."""


class _Pair:
    """The two sockets of one connection."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.doomed = False
        self._writers = writers

    def abort(self) -> None:
        for writer in self._writers:
            _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close at once; the other side sees a reset, not an orderly end."""
    if writer.transport.is_closing():
        return
    found = writer.get_extra_info("socket")
    if found is not None and found.family != socket.AF_UNIX:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    writer.transport.abort()


@asynccontextmanager
async def proxied(upstream: Address) -> AsyncIterator[Proxy]:
    """Listen on a free loopback port while the context is open."""
    proxy = Proxy(upstream)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        proxy.heal()
        proxy.reset()
        server.close()
        await server.wait_closed()
