"""Many websocket screens in one process: `python -m tests.bench.sockets`.

Only what a measurement needs of RFC 6455: the handshake, one masked hello, unmasked frames in, pongs
out. A websocket library would spend more on a frame than the server under test does.
"""

import asyncio
import base64
import os
from collections import defaultdict
from time import perf_counter
from typing import Final, cast

import msgspec
import uvloop

from tests.bench.process import reply, requests

_UPGRADE: Final = (
    "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    "sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n"
)
_EVENT: Final = b'{"type":"event"'
_PING: Final = b'{"type":"ping"'
_ROW_ID: Final = b'"id":"'
_TEXT: Final = 0x81
_OPENED_AT_ONCE: Final = 50


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Open screens; each watches one of the topics, in turn. Without topics they just listen."""

    port: int
    screens: int
    path: str = "/v1/stream"
    token: str = ""
    topics: tuple[str, ...] = ()


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Frames that arrived; `first` and `last` are monotonic seconds of this machine."""

    frames: int
    open: int
    first: float
    last: float
    rows: dict[str, list[float]]
    """For each row, when each screen first got it."""


class Wall:
    """All screens of this process."""

    def __init__(self) -> None:
        """Begin without any."""
        self.screens: list[Screen] = []
        self.welcomed = 0
        self.clear()

    def clear(self) -> None:
        """Forget what was seen."""
        self.frames = 0
        self.first = self.last = 0.0
        self.rows: dict[str, list[float]] = defaultdict(list)

    def event(self, seen: set[bytes], payload: bytes, now: float) -> None:
        """Count one frame, and note when this screen got a row for the first time."""
        self.frames += 1
        self.first = self.first or now
        self.last = now
        start = payload.find(_ROW_ID) + len(_ROW_ID)
        row = payload[start : payload.find(b'"', start)]
        if row not in seen:
            seen.add(row)
            self.rows[row.decode()].append(now)

    def seen(self) -> Seen:
        """Return what was seen since `clear`."""
        alive = sum(screen.is_open for screen in self.screens)
        return Seen(
            frames=self.frames, open=alive, first=self.first, last=self.last, rows=dict(self.rows)
        )


class Screen(asyncio.Protocol):
    """One websocket."""

    def __init__(self, wall: Wall, upgrade: bytes, hello: bytes) -> None:
        """Take what to send at first."""
        self._wall = wall
        self._upgrade = upgrade
        self._hello = hello
        self._buffer = b""
        self._upgraded = False
        self._seen: set[bytes] = set()
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed it."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._upgrade)

    def data_received(self, data: bytes) -> None:
        """Take whole frames."""
        now = perf_counter()
        buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = buffer
                return
            buffer = buffer[end + 4 :]
            self._open()
        at = 0
        while (frame := _frame(buffer, at)) is not None:
            start, at = frame
            self._take(buffer[start:at], now)
        self._buffer = buffer[at:]

    def _open(self) -> None:
        assert self._transport
        self._upgraded = True
        if self._hello:
            self._transport.write(_masked(self._hello))
        else:
            self._wall.welcomed += 1

    def _take(self, payload: bytes, now: float) -> None:
        if payload.startswith(_EVENT):
            self._wall.event(self._seen, payload, now)
        elif payload.startswith(_PING) and self._transport:
            self._transport.write(_masked(b'{"type":"pong"}'))
        elif payload.startswith(b'{"type":"snapshot"'):
            self._wall.welcomed += 1


def _frame(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Return where the payload of a server's frame begins and ends; None while it is not whole."""
    if len(buffer) < at + 2:
        return None
    size, start = buffer[at + 1] & 0x7F, at + 2
    if size >= 126:
        width = 2 if size == 126 else 8
        size, start = int.from_bytes(buffer[start : start + width], "big"), start + width
    return (start, start + size) if len(buffer) >= start + size else None


def _masked(payload: bytes) -> bytes:
    """Return a client's text frame; a mask of zeros changes nothing and is as good as any here."""
    size = len(payload)
    head = (
        bytes((_TEXT, 0x80 | size))
        if size < 126
        else bytes((_TEXT, 0xFE)) + size.to_bytes(2, "big")
    )
    return head + bytes(4) + payload


async def open_screens(wall: Wall, watch: Watch) -> None:
    """Open all screens, some at once, and wait until each is greeted."""
    loop = asyncio.get_running_loop()
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = _UPGRADE.format(path=watch.path, key=key).encode()
    before = wall.welcomed
    for number in range(watch.screens):
        hello = _hello(watch, number)
        _, screen = await loop.create_connection(
            lambda hello=hello: Screen(wall, upgrade, hello),  # type: ignore[misc]  # bound now
            "127.0.0.1",
            watch.port,
        )
        wall.screens.append(screen)
        while number + 1 - (wall.welcomed - before) > _OPENED_AT_ONCE:  # noqa: ASYNC110 - counted
            await asyncio.sleep(0.001)
    async with asyncio.timeout(60):
        while wall.welcomed - before < watch.screens:  # noqa: ASYNC110 - counted, nothing tells it
            await asyncio.sleep(0.005)


def _hello(watch: Watch, number: int) -> bytes:
    if not watch.topics:
        return b""
    topic = watch.topics[number % len(watch.topics)]
    return msgspec.json.encode({"type": "hello", "token": watch.token, "topics": [topic]})


async def _obey() -> None:
    """Do what our parent says: open screens, forget, wait for so many frames, tell what was seen."""
    loop, wall, asked = asyncio.get_running_loop(), Wall(), requests()
    while (request := await loop.run_in_executor(None, lambda: next(asked, None))) is not None:
        if "screens" in request:
            await open_screens(wall, msgspec.convert(request, Watch))
            reply({"open": len(wall.screens)})
        elif "clear" in request:
            wall.clear()
            reply({"cleared": True})
        else:
            await _wait(wall, int(request["frames"]), float(request["within_s"]))
            reply(wall.seen())


async def _wait(wall: Wall, frames: int, within_s: float) -> None:
    deadline = perf_counter() + within_s
    while wall.frames < frames and perf_counter() < deadline:  # noqa: ASYNC110 - it is counted
        await asyncio.sleep(0.002)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_obey())
