"""Serving: one uvicorn on a socket of ours, started and drained by the house."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, cast

import uvicorn
from litestar.types import ASGIApp

from config.errors import Misconfigured
from config.limits import SHUTDOWN_S
from gateway.stream.transport import websocket_options
from gateway.transport import Door, EdgeProtocol

_BACKLOG = 2048
_START_LOOK_S = 0.005
_COLLECTIONS = (20_000, 20, 20)


class Edge(uvicorn.Server):
    """A server whose signals are ours to handle."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the command that runs us."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Bind the address, or raise Misconfigured that says which one is taken."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what uses it, or choose another "
            "with --port"
        ) from error


@asynccontextmanager
async def serving(
    app: ASGIApp,
    address: socket.socket,
    farewell: Callable[[], Awaitable[object]] | None = None,
    *,
    trusted_proxies: Sequence[str] = (),
    protocol: type[EdgeProtocol] = EdgeProtocol,
    door: Door | None = None,
) -> AsyncIterator[None]:
    """Serve while the context is open; at its end take no more and finish what is under way.

    A farewell is awaited first, so that screens hear from us before their sockets close. Forwarded
    headers count only when they come from a trusted proxy. A protocol may have other deadlines; a door
    decides about each request before it is read.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        http=cast("Any", partial(protocol, door=door)),  # uvicorn calls it, whatever it is
        timeout_graceful_shutdown=SHUTDOWN_S,
        **websocket_options(),
    )
    server = Edge(config)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(server.serve(sockets=[address]), name="uvicorn")
        while not (server.started or work.done()):  # noqa: ASYNC110 - it is told by a flag only
            await asyncio.sleep(_START_LOOK_S)
        try:
            with _calm_collector():
                yield
        finally:
            if farewell:
                await farewell()
            server.should_exit = True


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Have Python look for cycles seldom, and never among what was there at the start.

    A request makes many short-lived values and no cycles; the default looks after every 700 of them.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
