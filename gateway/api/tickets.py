"""The route of tickets: a one-time way into a stream for who can send no header."""

from litestar import post
from litestar.handlers import HTTPRouteHandler

from config.limits import TICKET_S
from gateway.api.asking import Anything
from gateway.api.bodies import Ticket
from gateway.security import Tokens


def ticket_route(tokens: Tokens) -> HTTPRouteHandler:
    """Return the handler of `POST /v1/stream/tickets`; any live token may have one."""

    @post(
        "/v1/stream/tickets",
        summary="Make a one-time ticket for /v1/stream/sse?ticket=",
        name="stream.tickets",
        status_code=201,
    )
    async def make(request: Anything) -> Ticket:
        principal = await tokens.of(request)
        return Ticket(ticket=await tokens.ticket_for(principal), expires_in_s=TICKET_S)

    return make
