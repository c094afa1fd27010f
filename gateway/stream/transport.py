"""The websocket transport: uvicorn's, bounded, with a way to drop a client that never reads."""

from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from config.limits import FRAME_BYTES_MAX

ABORT: Final = "imv.abort"


class StreamProtocol(WebSocketsSansIOProtocol):
    """Adds an ASGI extension with the transport's `abort`.

    A close frame waits behind what the client does not read, and so would closing the transport;
    only an abort gives its memory back.
    """

    def handle_connect(self, event: Request) -> None:
        """Put the extension into the scope before the application's task begins."""
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope:  # none when the handshake was refused
            scope["extensions"][ABORT] = {"abort": self.transport.abort}


def websocket_options() -> dict[str, Any]:
    """Return what `uvicorn.Config` needs: bounded frames, no compression, our own heartbeats."""
    return {
        "ws": StreamProtocol,
        "ws_max_size": FRAME_BYTES_MAX,
        "ws_per_message_deflate": False,
        "ws_ping_interval": None,
    }
