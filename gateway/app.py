"""The application: routes, pages, problems, and what every request gets around it."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import msgspec
from litestar import Litestar, Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from config.clock import to_ms
from config.errors import ImvError, Unauthenticated
from config.ids import SourceId
from config.limits import BODY_BYTES_MAX
from gateway import asyncapi
from gateway import metrics as metric_text
from gateway.api.asking import Anything, Asking, read
from gateway.api.bodies import SignIn
from gateway.api.fulfilments import fulfilments_routes
from gateway.api.holds import holds_routes
from gateway.api.operations import imports_routes, looking_routes, tokens_routes
from gateway.api.orders import orders_routes
from gateway.api.tickets import ticket_route
from gateway.lifespan import House
from gateway.openapi import CompleteDocument
from gateway.pages.routes import pages
from gateway.problems import on_defect, on_http_exception, on_imv_error
from gateway.rates import Rates, address_of
from gateway.security import COOKIE, CSRF_COOKIE, csrf_of
from gateway.serving import serving
from gateway.stream.routes import sse_route, websocket_route
from gateway.webhooks import WEBHOOKS, Webhooks

_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
)
_SESSION_S: Final = 12 * 3600


@asynccontextmanager
async def serving_house(house: House, address: socket.socket) -> AsyncIterator[None]:
    """Serve an open house while the context is open; screens hear of its end first."""
    webhooks = webhooks_of(house)
    proxies = house.settings.gateway.trusted_proxies
    async with serving(
        create_app(house, webhooks),
        address,
        house.hub.shutdown,
        trusted_proxies=proxies,
        door=webhooks.door,
    ):
        yield


def create_app(house: House, webhooks: Webhooks) -> ASGIApp:
    """Return the ASGI application over an open house."""
    app = Litestar(
        route_handlers=_routes(house),
        exception_handlers={
            ImvError: on_imv_error,
            HTTPException: on_http_exception,
            Exception: on_defect,
        },
        openapi_config=OpenAPIConfig(
            title="IMV edge gateway",
            version="1",
            path="/schema",
            render_plugins=[CompleteDocument(path="/")],
        ),
        request_max_body_size=BODY_BYTES_MAX,
        logging_config=None,
    )
    return _surrounded(_before(webhooks, app))


def webhooks_of(house: House) -> Webhooks:
    """Return the way in for webhooks."""
    return Webhooks(
        channels=house.channels,
        intake=house.intake,
        clock=house.clock,
        ids=house.ids,
        metrics=house.metrics,
        refusals=house.refusals,
        limited=_limited(house),
        body_bytes_max=house.settings.gateway.body_bytes_max,
    )


def _limited(house: House) -> dict[SourceId, Rates]:
    """Return the buckets of those sources that have a limit."""
    return {
        SourceId(source.id): Rates(source.requests_per_s, house.clock)
        for source in house.settings.sources
        if source.requests_per_s
    }


def _routes(house: House) -> Sequence[Any]:
    asking = Asking(house.intake, house.clock, house.ids)
    tokens, reader = house.tokens, house.reader

    def new_id() -> str:
        return house.ids.new(to_ms(house.clock.now()))

    origins = house.settings.gateway.allowed_origins
    return [
        orders_routes(reader, asking, tokens, house.directory),
        fulfilments_routes(reader, asking, tokens),
        holds_routes(reader, asking, tokens),
        imports_routes(asking, tokens, house.directory),
        tokens_routes(
            house.token_store,
            tokens,
            house.clock,
            new_id=new_id,
            close_sessions=house.hub.close_sessions,
        ),
        looking_routes(reader, house.gate, tokens, house.directory),
        websocket_route(house.hub, tokens, origins),
        sse_route(house.hub, tokens),
        ticket_route(tokens),
        *_session_routes(house),
        *_health_routes(house),
        pages(),
    ]


def _session_routes(house: House) -> Sequence[Any]:
    @post("/session", summary="Sign a browser in with a token", name="session", status_code=204)
    async def sign_in(request: Anything) -> Response[None]:
        token = (await read(request, SignIn)).token
        address = address_of(request.scope.get("client"))
        if await house.tokens.from_address(token, address) is None:
            raise Unauthenticated("this token is not valid")
        secure = request.url.scheme == "https"
        cookies = [
            Cookie(COOKIE, path="/", value=token, httponly=True, samesite="lax", secure=secure),
            Cookie(CSRF_COOKIE, path="/", value=csrf_of(token), samesite="lax", secure=secure),
        ]
        for cookie in cookies:
            cookie.max_age = _SESSION_S
        return Response(content=None, status_code=204, cookies=cookies)

    @delete("/session", summary="Sign this browser out", name="session.end", status_code=204)
    async def sign_out() -> Response[None]:
        gone = [Cookie(name, path="/", value="", max_age=0) for name in (COOKIE, CSRF_COOKIE)]
        return Response(content=None, status_code=204, cookies=gone)

    return [sign_in, sign_out]


def _health_routes(house: House) -> Sequence[Any]:
    @get("/livez", summary="The process works", name="livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @get("/readyz", summary="Webhooks are taken; by dependency", name="readyz")
    async def readyz() -> Response[dict[str, Any]]:
        health = house.health
        body = {
            "status": "ready" if health.ready else "not ready",
            "dependencies": {
                name: {"ok": one.ok, "detail": one.detail}
                for name, one in health.dependencies.items()
            },
        }
        return Response(content=body, status_code=200 if health.ready else 503)

    @get("/metrics", summary="Prometheus metrics", name="metrics")
    async def metrics() -> Response[bytes]:
        content = house.metrics.text()
        return Response(content=content, media_type=metric_text.CONTENT_TYPE)

    described = msgspec.json.encode(asyncapi.document())

    @get("/asyncapi", summary="The events, as AsyncAPI", name="asyncapi")
    async def events() -> Response[bytes]:
        return Response(content=described, media_type="application/json")

    return [livez, readyz, metrics, events]


def _before(webhooks: Webhooks, app: ASGIApp) -> ASGIApp:
    """Give webhooks their own way in, before the framework (decision 0008)."""

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        is_webhook = scope["type"] == ScopeType.HTTP and scope["path"].startswith(WEBHOOKS)
        await (webhooks if is_webhook else app)(scope, receive, send)

    return chosen


def _surrounded(app: ASGIApp) -> ASGIApp:
    """Give every request an id and every answer the id and the security headers."""

    async def surrounded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        added = [(b"x-request-id", request_id.encode()), *_SECURITY_HEADERS]

        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", []))
                names = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(one for one in added if one[0] not in names)]
            await send(message)

        await app(scope, receive, send_with)

    return surrounded
