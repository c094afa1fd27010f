"""What `imv send` sends: a file's body and topic, and copies of it that are messages of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from config.errors import Misconfigured, Rejected, Unreadable

KEY_IN_BODY: Final[Mapping[str, tuple[str, ...]]] = {
    "ebay": ("notification", "notificationId"),
    "square": ("event_id",),
    "stripe": ("id",),
}
"""Where a provider's idempotency key stands in the body."""
KEY_IN_HEADER: Final = frozenset({"shopify", "standard_webhooks"})
"""Whose key is a header, which signing renews each time."""
_TOPIC_HEADERS: Final = ("x-shopify-topic", "shopify-topic")


class Payload(msgspec.Struct, frozen=True):
    """A body, and the channel's word for its kind where that is not in the body."""

    body: bytes
    topic: str = ""


class _Captured(msgspec.Struct, frozen=True):
    headers: dict[str, Any]
    body: msgspec.Raw
    topic: str = ""


def read_payload(path: Path) -> Payload:
    """Read a bare body as it is, or the body and topic of a captured `{headers, body, topic}`.

    Raises:
        Misconfigured: no such file.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}; name a file with a body") from error
    try:
        captured = msgspec.json.decode(raw, type=_Captured)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Payload(raw)
    return Payload(_body_of(captured), captured.topic or _topic_of(captured.headers))


def with_new_key(provider: str, body: bytes) -> bytes:
    """Return the body as another message of its provider.

    Raises:
        Rejected: we do not know how this provider tells its messages apart, or the body has no key.
    """
    if provider in KEY_IN_HEADER:
        return body
    path = KEY_IN_BODY.get(provider)
    if path is None:
        raise Rejected(
            f"--times is not possible for {provider}: where its message id stands is not known"
        )
    try:
        return _renewed(body, path)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
        raise Unreadable(
            f"--times gives each message a new {'.'.join(path)}, which this body does not have"
        ) from error


def _renewed(document: bytes, path: tuple[str, ...]) -> bytes:
    """Replace the text at a path and leave every other member's bytes as they are."""
    members = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    inner = bytes(members[path[0]])
    if path[1:]:
        members[path[0]] = msgspec.Raw(_renewed(inner, path[1:]))
    else:
        old = msgspec.json.decode(inner, type=str)
        members[path[0]] = msgspec.Raw(msgspec.json.encode(f"{old[:40]}-{uuid4().hex}"))
    return msgspec.json.encode(members)


def _body_of(captured: _Captured) -> bytes:
    """Return the body compactly, or the text that it is where it was captured as text."""
    body = bytes(captured.body)
    if body.startswith(b'"'):
        return msgspec.json.decode(body, type=str).encode()
    return msgspec.json.format(body, indent=-1)


def _topic_of(headers: Mapping[str, Any]) -> str:
    lower = {name.lower(): str(value) for name, value in headers.items()}
    return next((lower[name] for name in _TOPIC_HEADERS if name in lower), "")
