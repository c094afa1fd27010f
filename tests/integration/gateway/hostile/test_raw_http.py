"""Raw bytes: requests that two readers could understand differently are refused, and end."""

import pytest

from config.limits import HEADER_COUNT_MAX
from tests.e2e import instance as at
from tests.integration.gateway.hostile.target import (
    connected,
    raw,
    statuses,
)

_POST = b"POST /webhooks/shop-main HTTP/1.1\r\nhost: imv\r\n"
_GET = b"GET /livez HTTP/1.1\r\nhost: imv\r\n"
_CHUNKED = _POST + b"transfer-encoding: chunked\r\n\r\n"

AMBIGUOUS = {
    "length and chunked": _POST
    + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": _POST
    + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": _POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}}",
    "a list of lengths": _POST + b"content-length: 2, 2\r\n\r\n{}",
    "a negative length": _POST + b"content-length: -2\r\n\r\n{}",
    "a signed length": _POST + b"content-length: +2\r\n\r\n{}",
    "a hexadecimal length": _POST + b"content-length: 0x2\r\n\r\n{}",
    "a length of 30 digits": _POST + b"content-length: " + b"9" * 30 + b"\r\n\r\n{}",
    "chunked not last": _POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "an unknown coding": _POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk size of 17 digits": _CHUNKED + b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk size that is none": _CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than said": _CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "bare line feeds": b"POST /webhooks/shop-main HTTP/1.1\nhost: imv\ncontent-length: 2\n\n{}",
    "a bare line feed among headers": _GET + b"x-a: 1\nx-b: 2\r\n\r\n",
    "a carriage return in a value": _GET + b"x-a: 1\rx-b: 2\r\n\r\n",
    "a blank before the colon": _POST + b"content-length : 2\r\n\r\n{}",
    "a folded header": _GET + b"x-a: 1\r\n 2\r\n\r\n",
    "a header without a name": _GET + b": 1\r\n\r\n",
    "a NUL in a value": _GET + b"x-a: \x00\r\n\r\n",
    "two hosts": _GET + b"host: other\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "another version": b"GET /livez HTTP/9.9\r\nhost: imv\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a control character in the path": b"GET /liv\x01ez HTTP/1.1\r\nhost: imv\r\n\r\n",
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_what_has_two_meanings_is_refused(instance: at.Running, sent: bytes) -> None:
    answer = await raw(instance.http, sent)
    assert statuses(answer) == [400]
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "path",
    ["/webhooks/%00", "/webhooks/%ff%fe", "/webhooks/..%2f..%2fv1", "/webhooks/" + "a" * 9000],
)
async def test_a_strange_source_is_nobodys(instance: at.Running, path: str) -> None:
    sent = f"POST {path} HTTP/1.1\r\nhost: imv\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    assert statuses(await raw(instance.http, sent)) == [401]


@pytest.mark.parametrize(
    "target",
    ["/v1/orders/%00", "/v1/orders/%ff", "/v1/orders/..%2f..", "/pickup/%00", "/assets/..%2f..%2fx",
     "/assets/%00", "//", "/?" + "a=1&" * 2000, "/v1/orders?after=%00&state=%ff", "*",
     "http://other/livez", "/v1/stream/sse?topic=board:%00", "/v1/availability/%00"],
)  # fmt: skip
async def test_a_strange_target_is_no_defect(instance: at.Running, target: str) -> None:
    token = instance.ready["token"]
    head = f"GET {target} HTTP/1.1\r\nhost: imv\r\nauthorization: Bearer {token}\r\n\r\n"
    (status,) = statuses(await raw(instance.http, head.encode()))
    assert status < 500


async def test_junk_after_a_whole_body_is_another_request_and_refused(
    instance: at.Running,
) -> None:
    sent = _CHUNKED + b"2\r\n{}\r\n0\r\n\r\n" + b"junk and more\r\n\r\n"
    assert statuses(await raw(instance.http, sent)) == [401, 400]


async def test_trailers_are_no_headers(instance: at.Running) -> None:
    """A proxy that strips a header would not see it behind the body."""
    token = instance.ready["token"].encode()
    head = b"POST /v1/tokens HTTP/1.1\r\nhost: imv\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b'{"scopes":["orders:read"]}'
    chunk = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    trailer = b"authorization: Bearer " + token + b"\r\n\r\n"
    assert statuses(await raw(instance.http, head + chunk + trailer)) == [401]


async def test_endless_trailers_are_refused(instance: at.Running) -> None:
    lines = b"".join(b"x-%d: %s\r\n" % (n, b"a" * 400) for n in range(HEADER_COUNT_MAX))
    found = statuses(await raw(instance.http, _CHUNKED + b"0\r\n" + lines + lines + b"\r\n"))
    assert found in ([431], [401], [401, 431])


async def test_pipelined_requests_are_answered_in_order(instance: at.Running) -> None:
    bad = _POST + b"content-length: 2\r\n\r\n{}"
    answer = await raw(instance.http, (_GET + b"\r\n" + bad) * 100)
    assert statuses(answer) == [200, 401] * 100


async def test_a_body_that_ends_early_has_no_effect(instance: at.Running) -> None:
    async with connected(instance.http) as (_, writer):
        writer.write(_POST + b"content-length: 1000\r\n\r\n{")
        await writer.drain()


async def test_a_body_over_the_limit_is_refused_while_it_streams(instance: at.Running) -> None:
    """Also when its length was not told; the sender need not finish to hear of it."""
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = await raw(instance.http, _CHUNKED + piece * 17)
    assert statuses(answer)[0] == 413


@pytest.mark.parametrize(
    "more",
    [
        b"",
        b"sec-websocket-version: 13\r\n",
        b"sec-websocket-version: 13\r\nsec-websocket-key: no\r\n",
        b"sec-websocket-version: 7\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ],
)
async def test_half_a_handshake_is_refused(instance: at.Running, more: bytes) -> None:
    head = b"GET /v1/stream HTTP/1.1\r\nhost: imv\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    (status,) = statuses(await raw(instance.http, head + more + b"\r\n"))
    assert 400 <= status < 500
