"""Serving a benchmark's other side: the same uvicorn settings as the gateway's own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import uvloop
from litestar.types import ASGIApp

from config import log
from gateway.serving import listen, serving
from gateway.signals import stop_signal
from tests.bench.process import reply

Opened = Callable[[], AbstractAsyncContextManager[ASGIApp]]


def serve(opened: Opened) -> None:
    """Serve on a free port of loopback, tell it to our parent, and end with a signal."""

    async def main() -> None:
        address = listen("127.0.0.1", 0)
        async with stop_signal() as stopped, opened() as app, serving(app, address):
            reply({"ready": True, "port": address.getsockname()[1]})
            await stopped.wait()

    log.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@asynccontextmanager
async def only(app: ASGIApp) -> AsyncIterator[ASGIApp]:
    """Wrap an application that has nothing to open or close."""
    yield app
