"""A platform of our own on loopback: it answers for the orders and keys that the demo invented."""

import socket
from collections import OrderedDict
from typing import Final, cast

from litestar.types import HTTPScope, Receive, Scope, Send

from gateway.platforms import KEY_PATHS, ORDER_PATHS

_DOCUMENTS_MAX: Final = 2_000
_OK: Final = 200
_NOT_FOUND: Final = 404
_NONE: Final = b'{"errors":[{"code":"NOT_FOUND"}]}'


class FakePlatform:
    """Square's and eBay's read interfaces over documents in memory, as an ASGI application.

    The oldest documents are forgotten: an order is read within moments of its notification.
    """

    def __init__(self, address: socket.socket) -> None:
        """Take the listening socket, so that the address is known before anything is served."""
        self.address = address
        self._documents: OrderedDict[str, bytes] = OrderedDict()

    @property
    def base_url(self) -> str:
        """Return the URL for `options.api.base_url`."""
        host, port = self.address.getsockname()[:2]
        return f"http://{host}:{port}"

    def keep_order(self, provider: str, ref: str, document: bytes) -> None:
        """Answer with this document when the provider's order is read; the newest wins."""
        self._keep(ORDER_PATHS[provider].format(ref=ref), document)

    def keep_key(self, provider: str, kid: str, document: bytes) -> None:
        """Answer with this document when the provider's public key is read."""
        self._keep(KEY_PATHS[provider].format(ref=kid), document)

    def _keep(self, path: str, document: bytes) -> None:
        self._documents[path] = document
        self._documents.move_to_end(path)
        while len(self._documents) > _DOCUMENTS_MAX:
            self._documents.popitem(last=False)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer a GET of a known path; anything else is not found."""
        http = cast("HTTPScope", scope)  # served without a lifespan and without websockets
        found = self._documents.get(http["path"]) if http["method"] == "GET" else None
        status, body = (_NOT_FOUND, _NONE) if found is None else (_OK, found)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def close(self) -> None:
        """Close the socket; safe to repeat, and after it was served."""
        self.address.close()
