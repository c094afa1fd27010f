"""The routes of the stream: `/v1/stream` for websockets, `/v1/stream/sse` for one topic."""

from collections.abc import Collection
from typing import Annotated, Any

from litestar import Request, get, websocket
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler
from litestar.params import FromQuery, HeaderParameter
from litestar.response import Stream

from config.errors import Forbidden, NotFound, Unauthenticated
from gateway.rates import address_of
from gateway.stream.hub import Hub
from gateway.stream.origin import origin_allowed
from gateway.stream.ports import Authenticator, Principal, allowed
from gateway.stream.protocol import Cursor
from gateway.stream.session import Session, Socket
from gateway.stream.sse import server_sent_events
from gateway.stream.topics import parse_topic


def websocket_route(
    hub: Hub, authenticator: Authenticator, allowed_origins: Collection[str] = ()
) -> WebsocketRouteHandler:
    """Return the handler of `GET /v1/stream`; a foreign Origin is refused with 403."""

    @websocket("/v1/stream", name="stream")
    async def stream(socket: Socket) -> None:
        headers = socket.headers
        if not origin_allowed(headers.get("origin"), headers.get("host"), allowed_origins):
            await socket.close()
            return
        await Session(socket, hub, authenticator).run()

    return stream


def sse_route(hub: Hub, authenticator: Authenticator) -> HTTPRouteHandler:
    """Return the handler of `GET /v1/stream/sse?topic=&ticket=`, which honours `Last-Event-ID`.

    A ticket is for who can send no header (EventSource); it counts before a bearer and the cookie.

    It raises Unauthenticated, Forbidden, NotFound (no such topic) and Overloaded.
    """

    @get("/v1/stream/sse", name="stream.sse")
    async def stream_sse(
        request: Request[Any, Any, Any],
        topic: FromQuery[str],
        ticket: FromQuery[str] = "",
        last_event_id: Annotated[str, HeaderParameter(name="Last-Event-ID", required=False)] = "",
    ) -> Stream:
        principal = await _authenticated(request, authenticator, ticket)
        wanted = parse_topic(topic)
        if wanted is None:
            raise NotFound("there is no such topic")
        if not allowed(principal, wanted):
            raise Forbidden
        hub.check_room()
        events = server_sent_events(hub, principal, wanted, Cursor.parse(last_event_id))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Stream(events, media_type="text/event-stream", headers=headers)

    return stream_sse


async def _authenticated(
    request: Request[Any, Any, Any], authenticator: Authenticator, ticket: str
) -> Principal:
    address = address_of(request.scope.get("client"))
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if ticket:
        principal = await authenticator.by_ticket(ticket, address)
    elif scheme.lower() == "bearer":
        principal = await authenticator.from_address(token.strip(), address)
    else:
        principal = await authenticator.by_cookies(request.cookies, address)
    if principal is None:
        raise Unauthenticated
    return principal
