"""What all signed channels share: every secret tried, constant time, strict decoding, one clock."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from config.errors import Misconfigured, Unauthenticated
from config.limits import SIGNATURE_AGE_S
from handlers.sources.channel import Account, Request

_STAMP_DIGITS_MAX = 12


def secrets_of(account: Account) -> tuple[bytes, ...]:
    """Return the live secrets; Misconfigured when there are none, since all would then match."""
    if not account.secrets or not all(account.secrets):
        raise Misconfigured(f"source {account.id}: secrets must hold at least one secret")
    return account.secrets


def header(request: Request, *names: str) -> str:
    """Return the first of these headers that is there and not empty; else Unauthenticated."""
    for name in names:
        if value := request.headers.get(name):
            return value
    raise Unauthenticated(f"the header {names[0]} is missing")


def hmac_sha256(secrets: Sequence[bytes], message: bytes) -> list[bytes]:
    """Return one HMAC-SHA256 per secret."""
    return [hmac.digest(secret, message, "sha256") for secret in secrets]


def require_match(expected: Sequence[bytes], offered: Sequence[bytes]) -> None:
    """Compare all pairs, without an early end that would tell which secret or part was right."""
    found = False
    for want in expected:
        for got in offered:
            found |= hmac.compare_digest(want, got)
    if not found:
        raise Unauthenticated


def require_fresh(stamp: str, received_at: datetime) -> None:
    """Refuse a signed time in seconds that is more than SIGNATURE_AGE_S from ours, either way."""
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _STAMP_DIGITS_MAX):
        raise Unauthenticated("the signed time is not a number of seconds")
    if abs(int(received_at.timestamp()) - int(stamp)) > SIGNATURE_AGE_S:
        raise Unauthenticated("the signed time is too far from ours; check the clocks")


def to_base64(raw: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(raw).decode()


def from_base64(text: str) -> bytes:
    """Decode base64 in its one canonical form; Unauthenticated for any other spelling of it."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:
        raise Unauthenticated("the signature is not base64") from error
    # The decoder lets stray bits in the last character pass; a signature has one spelling only.
    if to_base64(raw) != text:
        raise Unauthenticated("the signature is not base64")
    return raw


def from_hex(text: str) -> bytes:
    """Decode lower-case hex without blanks; Unauthenticated for any other spelling of it."""
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise Unauthenticated("the signature is not hex") from error
    if raw.hex() != text:
        raise Unauthenticated("the signature is not hex")
    return raw


def delivery_id(body: bytes, topic: str, now: datetime) -> str:
    """Return an id for a delivery that we sign ourselves: the same for the same call."""
    seed = hashlib.sha256(f"{topic}\n{now.isoformat()}\n".encode() + body).digest()
    return str(UUID(bytes=seed[:16], version=4))
