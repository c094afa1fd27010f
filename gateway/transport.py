"""The HTTP transport: uvicorn's httptools, with a bound on a request's head and on its receipt."""

from asyncio import TimerHandle, Transport
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from config.errors import HeadTooLarge, ImvError, TooSlow, Unreadable
from config.limits import HEAD_RECEIPT_S, HEADER_BYTES_MAX, HEADER_COUNT_MAX
from gateway.problems import problem_of

_LINE_BYTES: Final = len(b": \r\n")


class EdgeProtocol(HttpToolsProtocol):
    """Refuses a head that is too large or too slow, which httptools and uvicorn take for ever.

    The deadline runs from the connection, or from a request's first byte, to the end of its head; and
    again when a request was answered before its body was whole: nobody keeps a socket by dripping.
    """

    _deadline: TimerHandle | None = None
    _in_head = True
    _begun = False
    _head_bytes = 0
    _fed_bytes = 0
    _refusal: ImvError | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Expect a head soon."""
        super().connection_made(transport)
        self._expect_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what was fed of an unfinished head: a single header is told of when it is whole."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._fed_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._fed_bytes > HEADER_BYTES_MAX and not self.transport.is_closing():
            self._refuse(HeadTooLarge())

    def on_message_begin(self) -> None:
        """Begin to count; httptools calls this at a request's first byte."""
        super().on_message_begin()
        self._in_head, self._begun, self._head_bytes = True, True, 0
        self._expect_a_head()

    def on_url(self, url: bytes) -> None:
        """Count the address, too."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._count(len(name) + len(value) + _LINE_BYTES)
        super().on_header(name, value)
        if len(self.headers) > HEADER_COUNT_MAX:
            self._stop(HeadTooLarge(f"a request may have at most {HEADER_COUNT_MAX} headers"))

    def on_headers_complete(self) -> None:
        """The head is whole in time."""
        self._in_head, self._begun, self._fed_bytes = False, False, 0
        self._expect_nothing()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Give a body that nobody waits for any more a last moment."""
        super().on_response_complete()
        if self.cycle.more_body and not self.pipeline and not self._in_head:
            self._expect_a_head()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words say less
        """Answer what the parser refused, or what stopped it, as a problem."""
        self._refuse(self._refusal or Unreadable("this is not an HTTP request; check its form"))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEADER_BYTES_MAX:
            self._stop(HeadTooLarge())

    def _stop(self, refusal: ImvError) -> None:
        """End the parsing; httptools turns an error of a callback into one of its own."""
        self._refusal = refusal
        raise refusal

    def _expect_a_head(self) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(HEAD_RECEIPT_S, self._too_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self.transport.is_closing():
            return
        if self._begun:
            self._refuse(TooSlow())
        else:
            self.transport.abort()

    def _refuse(self, refusal: ImvError) -> None:
        """Answer with a problem and close; nothing of the request reaches the application."""
        request_id = uuid4().hex
        status, body, headers = problem_of(refusal, request_id)
        more: dict[str, Any] = {
            **headers,
            "x-request-id": request_id,
            "content-length": len(body),
            "connection": "close",
        }
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in more.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()
