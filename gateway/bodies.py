"""Raw request bodies: read with a bound, counted while they stream, checked before anything parses."""

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from litestar.types import Receive, Scope

from config.errors import TooLarge, Unavailable, Unreadable, UnsupportedEncoding
from config.limits import BODY_RECEIPT_S, JSON_DEPTH_MAX

# Headers that proxies and browsers rightly send more than once; any other repeat is ambiguous.
_LISTS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "cookie",
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
    }
)
_TRACE: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers with lower-case names; Unreadable when one is repeated ambiguously."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in headers:
            if name not in _LISTS:
                raise Unreadable(f"header {name[:60]} is sent twice; send it once")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def trace_of(headers: Mapping[str, str]) -> str:
    """Return the W3C trace context, empty when there is none or it is malformed."""
    found = headers.get("traceparent", "")
    return found if _TRACE.fullmatch(found) else ""


async def read_body(receive: Receive, headers: Mapping[str, str], bytes_max: int) -> bytes:
    """Return the whole body.

    Raises:
        UnsupportedEncoding: it is compressed. TooLarge: over the limit, by its length or as counted.
        Unreadable: it did not arrive whole in time.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedEncoding
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > bytes_max:
        raise TooLarge(f"the body may have at most {bytes_max} bytes")
    try:
        async with asyncio.timeout(BODY_RECEIPT_S):
            return await _receive(receive, bytes_max)
    except TimeoutError as error:
        raise Unreadable("the body did not arrive in time") from error


async def _receive(receive: Receive, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Unavailable("the sender hung up before the body was whole")
        if event["type"] != "http.request":
            raise Unreadable("this is not an HTTP request")
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            raise TooLarge(f"the body may have at most {bytes_max} bytes")
        chunks.append(chunk)
        if not event.get("more_body", False):
            return b"".join(chunks)


def check_depth(body: bytes) -> None:
    """Raise Unreadable when JSON nests deeper than the limit.

    Brackets collapse pairwise at C speed; only a body that does not collapse within the limit (too
    deep, or with brackets inside its strings) is walked token by token.
    """
    brackets = body.translate(None, _NOT_BRACKETS)
    for _ in range(JSON_DEPTH_MAX):
        if not brackets:
            return
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    if not brackets:
        return
    depth = 0
    for match in _TOKENS.finditer(body):
        first = match[0][:1]
        depth += 1 if first in b"[{" else -1 if first in b"]}" else 0
        if depth > JSON_DEPTH_MAX:
            raise Unreadable(f"the body nests deeper than {JSON_DEPTH_MAX}")
