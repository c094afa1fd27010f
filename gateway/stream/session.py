"""One websocket: hello, who it is, what it watches, and its end."""

import asyncio
from typing import Any

from litestar.connection import WebSocket
from litestar.exceptions import WebSocketDisconnect

from config.errors import Limited, Overloaded, Unavailable, Unreadable
from config.limits import TOPICS_PER_SESSION_MAX
from gateway.rates import address_of
from gateway.stream.hub import Hub
from gateway.stream.mailbox import Mailbox
from gateway.stream.ports import Authenticator, Principal, allowed
from gateway.stream.protocol import (
    Bye,
    Code,
    Cursor,
    Hello,
    Inbound,
    Pong,
    Resync,
    Subscribe,
    Unsubscribe,
    bye,
    frame_of,
    read_frame,
)
from gateway.stream.topics import Topic, parse_topic
from gateway.stream.transport import EXTENSION

Socket = WebSocket[Any, Any, Any]


class Gone(Exception):
    """The client is not there any more."""


class Ended(Exception):
    """The session ends with a code."""

    def __init__(self, code: Code, reason: str) -> None:
        self.bye = bye(code, reason)
        super().__init__(reason)


class Session:
    """Talks to one client until one of the two leaves."""

    def __init__(self, socket: Socket, hub: Hub, authenticator: Authenticator) -> None:
        self._socket = socket
        self._hub = hub
        self._authenticator = authenticator
        self._principal: Principal | None = None
        extensions: Any = socket.scope.get("extensions") or {}
        self._short: dict[str, Any] = extensions.get(EXTENSION, {})
        self._cut = False

    async def run(self) -> None:
        """Accept, greet, converse; every way of going away is an ordinary end."""
        try:
            await self._socket.accept()
            await self._opened()
        except Ended as end:
            await self._part(end.bye)
        except (Gone, OSError, WebSocketDisconnect):
            return

    async def _opened(self) -> None:
        hello, principal = await self._hello()
        topics = [self._topic(name, principal) for name in hello.topics]
        try:
            mailbox = self._hub.join(principal.token_id)
        except Overloaded as error:
            raise Ended(Code.UNAVAILABLE, "full") from error
        self._principal = principal
        try:
            for topic in topics:
                self._hub.subscribe(mailbox, topic, Cursor.parse(hello.since.get(str(topic), "")))
            await self._converse(mailbox)
        finally:
            self._hub.leave(mailbox)

    # Hello

    async def _hello(self) -> tuple[Hello, Principal]:
        try:
            async with asyncio.timeout(self._hub.pace.hello_s):
                hello = _read(await self._receive())
        except TimeoutError as error:
            raise Ended(Code.HELLO_LATE, "no hello") from error
        if not isinstance(hello, Hello):
            raise Ended(Code.PROTOCOL, "the first frame must be hello")
        try:
            principal = await self._authenticated(hello.token)
        except Limited as error:
            raise Ended(Code.UNAVAILABLE, "limited") from error
        except Unavailable as error:
            raise Ended(Code.UNAVAILABLE, "unavailable") from error
        if principal is None:
            raise Ended(Code.UNAUTHENTICATED, "unauthenticated")
        return hello, principal

    async def _authenticated(self, token: str) -> Principal | None:
        headers = self._socket.headers
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if not token and scheme.lower() == "bearer":
            token = bearer.strip()
        address = address_of(self._socket.scope.get("client"))
        if token:
            return await self._authenticator.from_address(token, address)
        # A cookie counts only together with an Origin, which was checked: without one, any program
        # that can make a browser's cookies travel would do.
        if "origin" not in headers:
            return None
        return await self._authenticator.by_cookies(self._socket.cookies, address)

    # Conversation

    async def _converse(self, mailbox: Mailbox) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(mailbox), name="stream.write")
                mailbox.cut = lambda: self._cut_off(writer)
                mailbox.push = self._short.get("push", mailbox.push)
                await self._listen(mailbox)
        except* (Gone, OSError, WebSocketDisconnect):
            pass

    async def _listen(self, mailbox: Mailbox) -> None:
        """Obey frames until the client is gone; raises Gone, which ends the writer as well."""
        while True:
            text = await self._receive()
            if mailbox.bye:
                continue  # race: it wrote before it read our bye
            try:
                self._obey(mailbox, _read(text))
            except Ended as end:
                mailbox.close(end.bye)

    def _obey(self, mailbox: Mailbox, frame: Inbound) -> None:
        match frame:
            case Pong():
                mailbox.unanswered = 0
            case Subscribe(topic=name, since=since):
                if len(mailbox.topics) >= TOPICS_PER_SESSION_MAX:
                    raise Ended(Code.PROTOCOL, "too many topics")
                self._hub.subscribe(mailbox, self._topic(name), Cursor.parse(since))
            case Resync(topic=name) if name in mailbox.topics:
                self._hub.subscribe(mailbox, self._topic(name))
            case Unsubscribe(topic=name):
                self._hub.unsubscribe(mailbox, name)
            case _:
                raise Ended(Code.PROTOCOL, "not now")

    def _topic(self, name: str, principal: Principal | None = None) -> Topic:
        principal = principal or self._principal
        topic = parse_topic(name)
        if topic is None:
            raise Ended(Code.PROTOCOL, "unknown topic")
        if principal is None or not allowed(principal, topic):
            raise Ended(Code.FORBIDDEN, "forbidden")
        return topic

    async def _write(self, mailbox: Mailbox) -> None:
        send = self._socket.send
        try:
            while frame := await mailbox.take():
                await send({"type": "websocket.send", "text": frame.text, "bytes": None})
            if mailbox.bye:
                await self._closed(mailbox.bye)
        except RuntimeError as error:
            # Race: the server closed the socket between our look and our send.
            raise Gone from error
        except asyncio.CancelledError:
            if self._cut:
                raise Gone from None  # which also ends the listener
            raise

    def _cut_off(self, writer: asyncio.Task[None]) -> None:
        """Drop a client that does not even take its bye."""
        self._cut = True
        if self._short:
            self._short["abort"]()
        writer.cancel()

    # The wire

    async def _receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] != "websocket.receive":
            raise Gone
        text = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    async def _part(self, last: Bye) -> None:
        """Say bye to a client that has no mailbox yet."""
        text = frame_of(last).text
        try:
            async with asyncio.timeout(self._hub.pace.grace_s):
                await self._socket.send({"type": "websocket.send", "text": text, "bytes": None})
                await self._closed(last)
        except (OSError, RuntimeError, WebSocketDisconnect):
            return  # race: it went first

    async def _closed(self, last: Bye) -> None:
        await self._socket.close(code=last.code, reason=last.reason)


def _read(text: str | bytes) -> Inbound:
    try:
        return read_frame(text)
    except Unreadable as error:
        raise Ended(Code.PROTOCOL, error.detail) from error
