"""Websockets that break the rules: ended with a code, within a deadline, and nobody else notices."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.limits import FRAME_BYTES_MAX, TOPICS_PER_SESSION_MAX
from tests.e2e import instance as at
from tests.integration.gateway.hostile.target import ANSWER_S, connected, memory_bytes

_HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nhost: imv\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_PROTOCOL, _UNAUTHENTICATED = 4509, 4501


def frame(opcode: int, payload: bytes, *, masked: bool = True, last: bool = True) -> bytes:
    """Return one frame as it travels, whether the rules allow it or not."""
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if last else 0) | opcode])
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([mask_bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", len(payload))
    return head + (bytes(4) if masked else b"") + payload


BROKEN = {
    "not masked": frame(1, b"{}", masked=False),
    "a reserved bit": b"\xf1\x82" + bytes(4) + b"{}",
    "an unknown opcode": frame(3, b"{}"),
    "a ping of 126 bytes": frame(9, b"x" * 126),
    "a ping in parts": frame(9, b"x", last=False),
    "a continuation of nothing": frame(0, b"{}"),
    "no text": frame(1, b"\xff\xfe"),
    "a length of 63 bits": b"\x81\xff" + struct.pack("!Q", 2**63 - 1) + bytes(4) + b"{",
    "more than a frame may have": frame(1, b" " * (FRAME_BYTES_MAX + 1)),
    "parts without an end": frame(1, b" " * 40_000, last=False)
    + frame(0, b" " * 40_000, last=False),
    "a close with one byte": frame(8, b"x"),
    "a close with a reserved code": frame(8, struct.pack("!H", 1005)),
    "HTTP": b"GET / HTTP/1.1\r\nhost: imv\r\n\r\n",
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_frame_ends_the_connection(instance: at.Running, sent: bytes) -> None:
    async with connected(instance.http) as (reader, writer):
        writer.write(_HANDSHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(sent)
        try:
            while await reader.read(1024):
                pass
        except ConnectionResetError:
            return


@asynccontextmanager
async def opened(instance: at.Running, **options: Any) -> AsyncIterator[ClientConnection]:
    url = instance.http.replace("http", "ws", 1) + "/v1/stream"
    async with (
        asyncio.timeout(ANSWER_S * 3),
        connect(url, compression=None, proxy=None, **options) as client,
    ):
        yield client


async def end_of(client: ClientConnection) -> int:
    """Return the close code; what comes before it does not matter."""
    try:
        while True:
            await client.recv()
    except ConnectionClosed:
        return client.close_code or 0


GARBAGE = {
    "no JSON": "hello?",
    "an array": "[]",
    "another type": '{"type":"pong"}',
    "an unknown field": '{"type":"hello","token":"x","topics":[],"more":1}',
    "no strings": '{"type":"hello","token":1,"topics":{}}',
    "depth": '{"type":"hello","token":' + "[" * 30_000,
    "many topics": '{"type":"hello","token":"x","topics":['
    + ",".join(['"order:1"'] * (TOPICS_PER_SESSION_MAX + 1))
    + "]}",
    "a lone surrogate": '{"type":"hello","token":"\\ud800","topics":[]}',
    "bytes": b"\x00\xff",
    "NaN": '{"type":"hello","token":NaN}',
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_before_hello_is_final(instance: at.Running, text: str | bytes) -> None:
    async with opened(instance) as client:
        await client.send(text)
        assert await end_of(client) in {_PROTOCOL, _UNAUTHENTICATED}


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://imv.evil.example", ""])
async def test_a_foreign_page_opens_nothing(instance: at.Running, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(instance, additional_headers={"Origin": origin}):
            pass
    assert refused.value.response.status_code == 403


async def _greeted(instance: at.Running, client: ClientConnection, *topics: str) -> None:
    hello = {"type": "hello", "token": instance.ready["token"], "topics": topics}
    await client.send(msgspec.json.encode(hello).decode())
    assert '"welcome"' in str(await client.recv())


async def test_a_flood_of_subscribes_is_bounded(instance: at.Running) -> None:
    before = memory_bytes(instance.pid)
    async with opened(instance) as client:
        await _greeted(instance, client)
        for number in range(TOPICS_PER_SESSION_MAX + 1):
            await client.send(f'{{"type":"subscribe","topic":"order:{number}"}}')
        assert await end_of(client) == _PROTOCOL
    assert memory_bytes(instance.pid) - before < 32 * 1024 * 1024


async def test_thousands_of_resyncs_are_answered_or_ended(instance: at.Running) -> None:
    """Each would be a snapshot; a client that asks for all of them gets the newest only."""
    before = memory_bytes(instance.pid)
    async with opened(instance) as client, opened(instance) as other:
        await _greeted(instance, client, "board:S-001")
        await _greeted(instance, other, "board:S-001")
        for _ in range(3000):
            await client.send('{"type":"resync","topic":"board:S-001"}')
        await other.send('{"type":"resync","topic":"board:S-001"}')
        while '"snapshot"' not in str(await other.recv()):
            pass
    assert memory_bytes(instance.pid) - before < 32 * 1024 * 1024


async def test_a_forged_cursor_gets_a_snapshot(instance: at.Running) -> None:
    for cursor in ("x:1", ":1", "x:" + "9" * 20, "x:-1", "\u0660:\u0661", "a" * 60):
        hello = {
            "type": "hello",
            "token": instance.ready["token"],
            "topics": ["board:S-001"],
            "since": {"board:S-001": cursor},
        }
        async with opened(instance) as client:
            await client.send(msgspec.json.encode(hello).decode())
            while '"snapshot"' not in (frame_text := str(await client.recv())):
                assert '"resumed"' not in frame_text
