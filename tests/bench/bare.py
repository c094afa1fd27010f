"""The bare side: a Litestar handler that verifies and decodes the same bodies, and nothing more.

`python -m tests.bench.bare`
"""

from typing import Any

from litestar import Litestar, Request, Response, post
from litestar.enums import MediaType

from config.clock import SystemClock
from handlers.sources import channel as channels
from tests.bench.answering import only, serve
from tests.bench.letters import channels as open_channels

_CLOCK = SystemClock()


def create_app() -> Litestar:
    """Return the application; it uses the gateway's own channel adapters."""
    opened = open_channels()

    @post("/webhooks/{source:str}", status_code=200)
    async def webhook(source: str, request: Request[Any, Any, Any]) -> Response[bytes]:
        channel = opened[source]
        asked = channels.Request(
            method="POST",
            headers=dict(request.headers),
            query={},
            body=await request.body(),
            received_at=_CLOCK.now(),
        )
        await channel.verify(asked)
        found = channel.decode(asked)
        body = b'{"outcome":"applied","message_id":"%b"}' % found.key.encode()
        return Response(body, media_type=MediaType.JSON)

    return Litestar([webhook], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    serve(lambda: only(create_app()))
