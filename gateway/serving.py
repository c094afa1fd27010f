"""Serving: one uvicorn on a socket of ours, started and drained by the house."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from litestar.types import ASGIApp

from config.errors import Misconfigured
from config.limits import SHUTDOWN_S
from gateway.stream.transport import websocket_options

_BACKLOG = 2048
_START_LOOK_S = 0.005


class Edge(uvicorn.Server):
    """A server whose signals are ours to handle."""

    def install_signal_handlers(self) -> None:
        """Leave the signals to the command that runs us."""


def listen(host: str, port: int) -> socket.socket:
    """Bind the address, or raise Misconfigured that says which one is taken."""
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what uses it, or choose another "
            "with --port"
        ) from error


@asynccontextmanager
async def serving(app: ASGIApp, address: socket.socket) -> AsyncIterator[None]:
    """Serve while the context is open; at its end take no more and finish what is under way."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        http="httptools",
        timeout_graceful_shutdown=SHUTDOWN_S,
        **websocket_options(),
    )
    server = Edge(config)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(server._serve([address]), name="uvicorn")  # noqa: SLF001
        while not server.started and not work.done():
            await asyncio.sleep(_START_LOOK_S)  # noqa: ASYNC110 - uvicorn tells it by a flag only
        try:
            yield
        finally:
            server.should_exit = True
