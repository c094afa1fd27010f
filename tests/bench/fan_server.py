"""The two sides of fan-out: `python -m tests.bench.fan_server hub|broadcast`.

Each serves websockets on loopback and sends events to all of them when its parent says so: the
gateway's hub on uvicorn, or `websockets.broadcast` on a server of that library.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Final

import msgspec
import psutil
import uvloop
from litestar import Litestar
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.asyncio.server import serve as serve_websockets

from config import log
from config.clock import SystemClock
from gateway.serving import listen, serving
from gateway.stream.hub import Hub
from gateway.stream.protocol import EventFrame, frame_of
from gateway.stream.routes import websocket_route
from outbox.ports import Delivered, StreamPosition
from tests.bench.process import reply, requests
from tests.stream_fakes import FakeAuthenticator, FakeTable

TOPIC: Final = "board:S-001"
_SUBJECT: Final = "imv.v1.fulfilment.changed.S-001"
Send = Callable[[int], Awaitable[None]]


class Feed:
    """A stream whose events come when they are asked for."""

    def __init__(self) -> None:
        """Begin empty."""
        self._wanted: asyncio.Queue[int] = asyncio.Queue()
        self._done = asyncio.Event()
        self._sequence = 0

    async def position(self) -> StreamPosition:
        """Return the place of the last event."""
        return StreamPosition("bench", self._sequence)

    async def read(self, after: StreamPosition) -> AsyncIterator[Delivered]:
        """Yield as many events as are asked for; the loop gets a turn after each."""
        del after
        while True:
            for _ in range(await self._wanted.get()):
                self._sequence += 1
                name = f"event-{self._sequence}"
                yield Delivered(self._sequence, _SUBJECT, name, "imv.test.v1", row(self._sequence))
                await asyncio.sleep(0)
            self._done.set()

    async def send(self, count: int) -> None:
        """Have so many events read, and wait until they were given to every screen."""
        self._done.clear()
        self._wanted.put_nowait(count)
        await self._done.wait()


def row(number: int) -> bytes:
    """Return a board's row, about 700 bytes."""
    lines = [
        {"sku": f"SKU-{n:04d}", "title": "An article as it stands there", "quantity": 1}
        for n in range(7)
    ]
    fields = {
        "id": f"f-{number:08d}",
        "version": 1,
        "state": "assigned",
        "location": "S-001",
        "order_id": f"o-{number:08d}",
        "customer": "Sam B.",
        "lines": lines,
    }
    return msgspec.json.encode(fields)


async def serve_hub() -> None:
    """Serve the gateway's own stream."""
    feed = Feed()
    hub = Hub(feed, FakeTable(), "bench", SystemClock())
    app = Litestar(
        [websocket_route(hub, FakeAuthenticator())], openapi_config=None, logging_config=None
    )
    address = listen("127.0.0.1", 0)
    async with serving(app, address), asyncio.TaskGroup() as group:
        work = group.create_task(hub.run(), name="hub")
        await _obey(address.getsockname()[1], feed.send)
        work.cancel()


async def serve_broadcast() -> None:
    """Serve with the library that is known for it; frames have the same bytes."""
    connections: set[ServerConnection] = set()
    numbers = iter(range(1, 10**9))

    async def handler(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            connections.discard(connection)

    async def send(count: int) -> None:
        for _ in range(count):
            number = next(numbers)
            event = EventFrame(TOPIC, f"bench:{number}", "upsert", msgspec.Raw(row(number)))
            broadcast(connections, frame_of(event).text)
            await asyncio.sleep(0)

    options = {"compression": None, "ping_interval": None}
    async with serve_websockets(handler, "127.0.0.1", 0, **options) as server:  # type: ignore[arg-type]
        (socket,) = server.sockets
        await _obey(socket.getsockname()[1], send)


async def _obey(port: int, send: Send) -> None:
    """Tell our port; then send when we are told, until our parent is gone."""
    reply({"ready": True, "port": port})
    loop, asked = asyncio.get_running_loop(), requests()
    me = psutil.Process(os.getpid())
    while (request := await loop.run_in_executor(None, lambda: next(asked, None))) is not None:
        started = perf_counter()
        await send(int(request["events"]))
        reply({"started": started, "memory": me.memory_info().rss})


if __name__ == "__main__":
    log.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_hub() if sys.argv[1] == "hub" else serve_broadcast())
