"""Raw sockets against the edge: heads that are too large, too slow or no HTTP are ended with a word."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from config.limits import HEAD_RECEIPT_S, HEADER_BYTES_MAX, HEADER_COUNT_MAX
from tests.e2e import instance as at

_START = b"GET /livez HTTP/1.1\r\nhost: imv\r\n"
_END_S = HEAD_RECEIPT_S * 3


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[at.Running]:
    folder = tmp_path_factory.mktemp("heads")
    with at.running(*at.up_arguments(at.write_config(folder), folder / "data")) as up:
        yield up


@asynccontextmanager
async def _connected(
    instance: at.Running,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = httpx.URL(instance.http)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        async with asyncio.timeout(_END_S):
            yield reader, writer
    finally:
        writer.close()


async def _answer(instance: at.Running, sent: bytes) -> bytes:
    """Send bytes and return everything until the other side closes."""
    async with _connected(instance) as (reader, writer):
        writer.write(sent)
        return await reader.read()


def _is_problem(answer: bytes, status: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b'"request_id"' in body
    return answer.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "head",
    [
        b"x-long: " + b"a" * (HEADER_BYTES_MAX + 1) + b"\r\n\r\n",
        b"x-endless: " + b"a" * (HEADER_BYTES_MAX + 1),
        b"".join(b"x-%d: 1\r\n" % n for n in range(HEADER_COUNT_MAX + 1)) + b"\r\n",
    ],
    ids=["a long header", "a header without an end", "many headers"],
)
async def test_a_head_over_the_limit_is_refused(instance: at.Running, head: bytes) -> None:
    assert _is_problem(await _answer(instance, _START + head), b"431 ")


async def test_an_address_over_the_limit_is_refused(instance: at.Running) -> None:
    sent = b"GET /" + b"a" * (HEADER_BYTES_MAX + 1) + b" HTTP/1.1\r\nhost: imv\r\n\r\n"
    assert _is_problem(await _answer(instance, sent), b"431 ")


async def test_a_head_within_the_limit_is_taken(instance: at.Running) -> None:
    headers = {f"x-{n}": "a" * 300 for n in range(HEADER_COUNT_MAX - 10)}
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{instance.http}/livez", headers=headers)).status_code == 200


async def test_what_is_no_http_is_a_problem_too(instance: at.Running) -> None:
    assert _is_problem(await _answer(instance, b"\x16\x03\x01 no http\r\n\r\n"), b"400 ")


async def test_a_half_sent_head_is_ended_in_time(instance: at.Running) -> None:
    assert _is_problem(await _answer(instance, _START), b"408 ")


async def test_a_second_head_on_a_kept_connection_has_its_deadline_too(
    instance: at.Running,
) -> None:
    async with _connected(instance) as (reader, writer):
        writer.write(_START + b"\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        writer.write(_START)
        assert _is_problem(await reader.read(), b"408 ")


async def test_a_connection_that_says_nothing_is_closed(instance: at.Running) -> None:
    assert await _answer(instance, b"") == b""


async def test_who_drips_a_body_after_the_answer_loses_the_connection(
    instance: at.Running,
) -> None:
    async with _connected(instance) as (reader, writer):
        writer.write(_START + b"content-length: 1000\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(ConnectionError):
            await _drip(writer)


async def _drip(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then until the other side is gone."""
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.2)
