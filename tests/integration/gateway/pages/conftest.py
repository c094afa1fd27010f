"""A small edge with the real pages and stream over fakes, and a real browser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from litestar import Litestar, Request, Response, delete, get, post
from litestar.params import FromPath
from playwright.async_api import Browser, BrowserContext, Page, expect

from gateway.pages.routes import pages
from gateway.stream.pace import Pace
from gateway.stream.routes import websocket_route
from tests.browser import chromium
from tests.stream_fakes import FakeAuthenticator, World
from tests.web_server import serving

_NEXT = {"acknowledge": "acknowledged", "start": "picking", "pick": "picked", "stage": "staged"}


class Edge:
    """What a test may do with the served edge, and what its pages did."""

    def __init__(self) -> None:
        self.world = World(Pace(tick_s=0.02, watch_s=0.02, retry_s=0.02, grace_s=0.3))
        self.authenticator = FakeAuthenticator()
        self.host = ""
        self.posted: list[tuple[str, str, dict[str, Any], str]] = []
        self.problem: tuple[int, dict[str, Any]] | None = None
        self.answering = asyncio.Event()
        self.answering.set()

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Serve for a while."""
        stream = websocket_route(self.world.hub, self.authenticator)
        app = Litestar([pages(), stream, *self._handlers()], openapi_config=None)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.world.hub.run())
            async with serving(app) as self.host:
                yield
            running.cancel()

    def _handlers(self) -> list[Any]:
        @get("/v1/locations")
        async def locations(request: Request[Any, Any, Any]) -> Response[Any]:
            if await self.authenticator.by_cookies(request.cookies, "") is None:
                return Response({"detail": "sign in"}, status_code=401)
            place = {"id": "S-001", "name": "Soho", "kind": "store", "pickup": True}
            return Response({"locations": [place]})

        @post("/session")
        async def session(request: Request[Any, Any, Any]) -> Response[Any]:
            token = (await request.json())["token"]
            if await self.authenticator.from_address(token, "") is None:
                return Response({"detail": "no"}, status_code=401)
            response = Response[Any]({}, status_code=200)
            response.set_cookie("imv_session", token, httponly=True)
            response.set_cookie("imv_csrf", "csrf-1")
            return response

        @delete("/session", status_code=204)
        async def sign_out() -> Response[None]:
            response = Response[None](None, status_code=204)
            response.delete_cookie("imv_session")
            return response

        @post("/v1/fulfilments/{name:str}/{action:str}")
        async def act(
            request: Request[Any, Any, Any], name: FromPath[str], action: FromPath[str]
        ) -> Response[Any]:
            token = request.headers.get("x-csrf-token", "")
            self.posted.append((name, action, await request.json(), token))
            await self.answering.wait()
            if self.problem:
                return Response(self.problem[1], status_code=self.problem[0])
            row = self.world.table.tables["board:S-001"][name]
            self.world.publish(self.world.table.commit({**row, "state": _NEXT[action]}))
            return Response({"outcome": "applied"}, status_code=200)

        return [locations, session, sign_out, act]


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """A served edge."""
    edge = Edge()
    async with edge.up():
        yield edge


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A real browser; on CI its absence is a failure."""
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def context(browser: Browser, edge: Edge) -> AsyncIterator[BrowserContext]:
    """A signed-in browser in English, at the wall size of a kiosk."""
    context = await browser.new_context(
        viewport={"width": 1920, "height": 1080}, locale="en-GB", timezone_id="Europe/London"
    )
    address = f"http://{edge.host}"
    await context.add_cookies(
        [
            {"name": "imv_session", "value": "board", "url": address, "httpOnly": True},
            {"name": "imv_csrf", "value": "csrf-1", "url": address},
        ]
    )
    yield context
    await context.close()


@pytest.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A page; whatever its console calls an error fails the test, a policy's refusal too."""
    page = await context.new_page()
    page.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if _alarming(line) else None)
    yield page
    assert errors == []


def _alarming(line: Any) -> bool:
    # A refused request is logged by the browser itself; the tests that cause one look at it.
    return line.type == "error" and "Failed to load resource" not in line.text
