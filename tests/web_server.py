"""A real server for a Litestar application, on a loopback port, in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from litestar import Litestar

from gateway.stream.transport import websocket_options


class _Server(uvicorn.Server):
    """Leaves the test's signal handlers alone."""

    def install_signal_handlers(self) -> None:
        return


@asynccontextmanager
async def serving(app: Litestar) -> AsyncIterator[str]:
    """Serve an application; yield `127.0.0.1:<port>`."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=2,
        **websocket_options(),
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running
