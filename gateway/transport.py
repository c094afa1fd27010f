"""The HTTP transport: uvicorn's httptools, with a bound on a request's head and on its receipt."""

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from config.errors import HeadTooLarge, ImvError, TooSlow, Unreadable
from config.limits import HEAD_RECEIPT_S, HEADER_BYTES_MAX, HEADER_COUNT_MAX, UNREAD_S
from gateway.problems import problem_of

Door = Callable[[bytes, bytes], ImvError | None]
"""Takes a request's method and address; returns why it is turned away, None where it may come in."""

_LINE_BYTES: Final = len(b": \r\n")


class EdgeProtocol(HttpToolsProtocol):
    """Refuses a head that is too large or too slow, which httptools and uvicorn take for ever.

    The deadline runs from the connection, or from a request's first byte, to the end of its head; and
    again after each answer, whatever drips in then: nobody keeps a socket without asking something.
    What comes behind a body (trailers) is bounded as well, and never becomes a header: a proxy that
    takes a header away would not see it there.

    Who is turned away at the door is answered from the head alone: nothing is made for such a request,
    its body is not kept, and the connection stays. Where an answer closes it, nothing that comes behind
    is a request any more (RFC 9112, 9.6).
    """

    head_receipt_s: float = HEAD_RECEIPT_S
    unread_s: float = UNREAD_S

    _deadline: TimerHandle | None = None
    _unread: TimerHandle | None = None
    _in_head = True
    _begun = False
    _head_bytes = 0
    _fed_bytes = 0
    _refusal: ImvError | None = None
    _last_word: ImvError | None = None
    _turned_away = False

    def __init__(self, *arguments: Any, door: Door | None = None, **options: Any) -> None:
        """Take uvicorn's arguments, and who decides about a request before it is read."""
        super().__init__(*arguments, **options)
        self._door = door

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Expect a head soon."""
        super().connection_made(transport)
        self._expect_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what was fed and told us nothing: a single header is told of when it is whole."""
        if self.transport.is_closing() or self._last_word:
            return
        self._fed_bytes += len(data)
        super().data_received(data)
        if self._fed_bytes > HEADER_BYTES_MAX and not self.transport.is_closing():
            self._refuse(HeadTooLarge())

    def on_message_begin(self) -> None:
        """Begin to count; httptools calls this at a request's first byte."""
        if self.transport.is_closing():  # by an answer of ours to a request that did not ask for it
            self._stop(Unreadable("this connection is closed; open another one"))
        super().on_message_begin()
        self._unset_keepalive_if_required()  # a request behind another in one piece keeps it armed
        self._in_head, self._begun, self._head_bytes = True, True, 0
        self._turned_away = False
        self._expect_a_head()

    def on_url(self, url: bytes) -> None:
        """Count the address, too."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, and drop one that stands behind the body."""
        self._head_bytes += len(name) + len(value) + _LINE_BYTES
        if self._head_bytes > HEADER_BYTES_MAX:
            self._stop(HeadTooLarge())
        if not self._in_head:
            return
        super().on_header(name, value)
        if len(self.headers) > HEADER_COUNT_MAX:
            self._stop(HeadTooLarge(f"a request may have at most {HEADER_COUNT_MAX} headers"))

    def on_headers_complete(self) -> None:
        """The head is whole in time, and names one host, as RFC 9112 (3.2) asks."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or not (hosts or self.parser.get_http_version() == "1.0"):
            self._stop(Unreadable("a request names its host once"))
        self._in_head, self._begun, self._fed_bytes = False, False, 0
        self._expect_nothing()
        if refusal := self._refusal_at_the_door():
            self._turn_away(refusal)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Begin to count anew: bodies have bounds of their own."""
        self._fed_bytes = 0
        if not self._turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin to count anew."""
        self._fed_bytes = 0
        if not self._turned_away:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Give what comes next its deadline, the rest of a body that nobody waits for included."""
        super().on_response_complete()
        if self._last_word and self.cycle.response_complete:
            self._refuse(self._last_word)
        elif not self.pipeline and not self._in_head:
            self._expect_a_head()

    def pause_writing(self) -> None:
        """Give a client that does not read its answer a last moment."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again, or is gone."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words say less
        """Answer what the parser refused, or what stopped it, as a problem."""
        self._refuse(self._refusal or Unreadable("this is not an HTTP request; check its form"))

    def _refusal_at_the_door(self) -> ImvError | None:
        """Ask the door, unless an earlier request is to be answered first, or it is no plain one.

        Nor for a client that does not read: it gets its answers as it reads them, in the ordinary way.
        """
        is_first = self.cycle is None or self.cycle.response_complete
        is_plain = not self.parser.should_upgrade()
        if self._door is None or not is_first or not is_plain or self.flow.write_paused:
            return None
        return self._door(self.parser.get_method(), self.url)

    def _turn_away(self, refusal: ImvError) -> None:
        """Answer and forget the request; its body, if one comes, goes by unread."""
        self._turned_away = True
        stays = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        may_send = not self.expect_100_continue  # else a body may come or not (RFC 9110, 10.1.1)
        self._answer(refusal, closes=not (stays and may_send))
        self.on_response_complete()

    def _stop(self, refusal: ImvError) -> None:
        """End the parsing; httptools turns an error of a callback into one of its own."""
        self._refusal = refusal
        raise refusal

    def _expect_a_head(self) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(self.head_receipt_s, self._too_late)

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
        """Answer with a problem and close; nothing of the request reaches the application.

        A request before it, whole and not answered yet, keeps its place: it is answered first. Nor is
        one answered twice that was turned away and goes wrong behind its head; nor anything behind an
        answer that closes.
        """
        if self.transport.is_closing():
            return
        if self._turned_away and not self._in_head:
            self.transport.close()
            return
        if self.cycle and not (self.cycle.response_complete or self.cycle.more_body):
            self._last_word = refusal
            self._expect_nothing()
            return
        self._answer(refusal, closes=True)

    def _answer(self, refusal: ImvError, *, closes: bool) -> None:
        """Write a refusal as a problem."""
        request_id = uuid4().hex
        status, body, headers = problem_of(refusal, request_id)
        more: dict[str, Any] = {
            **headers,
            "x-request-id": request_id,
            "content-length": len(body),
            "connection": "close" if closes else "keep-alive",
        }
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in more.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        if closes:
            self.transport.close()
