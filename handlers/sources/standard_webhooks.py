"""Standard Webhooks: signed id, time and body; the data are our canonical commands as they are.

Rules: github.com/standard-webhooks/standard-webhooks (spec and libraries) and svix, whose vectors
the tests verify: `v1` HMAC-SHA256 and `v1a` Ed25519, any one of a space-separated list.
"""

import base64
import binascii
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from config.errors import Misconfigured, Unauthenticated, Unreadable
from handlers.commands import (
    CancelOrder,
    Command,
    CountStock,
    PlaceOrder,
    RecordPayment,
    RecordRefund,
    ReportFulfilment,
)
from handlers.sources.channel import Account, Answer, Decoded, Request, read_json, read_options
from handlers.sources.options import ChannelOptions
from handlers.sources.signatures import (
    delivery_id,
    from_base64,
    header,
    hmac_sha256,
    require_fresh,
    require_match,
    secrets_of,
    to_base64,
)
from handlers.sources.translation import decoded, read_members, suspected

_SEED_BYTES = 32
_DATA: dict[str, type[Command]] = {
    "order.placed": PlaceOrder,
    "order.cancelled": CancelOrder,
    "payment.authorised": RecordPayment,
    "payment.captured": RecordPayment,
    "payment.failed": RecordPayment,
    "payment.voided": RecordPayment,
    "payment.disputed": RecordPayment,
    "refund.issued": RecordRefund,
    "stock.counted": CountStock,
    "fulfilment.changed": ReportFulfilment,
}


class StandardOptions(ChannelOptions, frozen=True, kw_only=True):
    """`[sources.options]` of a sender that speaks our own schema."""


class _Event(msgspec.Struct, frozen=True):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Keys(msgspec.Struct, frozen=True):
    """The live secrets by kind; `whsk_` is a sender's own, for demos and tests."""

    symmetric: tuple[bytes, ...]
    public: tuple[Ed25519PublicKey, ...]
    private: tuple[Ed25519PrivateKey, ...]


class StandardChannel:
    """One sender of canonical commands."""

    def __init__(self, account: Account) -> None:
        """Decode the secrets; Misconfigured names the account whose secret is malformed."""
        self._id = account.id
        self._keys = _keys(account)

    async def verify(self, request: Request) -> None:
        """Check `id.timestamp.body` against every live secret; the time at most 300 s from ours."""
        # The same choice as the key's in `decode`: what names the message must be what was signed.
        family = "webhook" if "webhook-id" in request.headers else "svix"
        name, stamp = (header(request, f"{family}-{part}") for part in ("id", "timestamp"))
        # A full stop in the id would let one signature cover another split of id, time and body.
        if "." in name or not name.isascii():
            raise Unauthenticated("the message id holds a character that is not allowed")
        require_fresh(stamp, request.received_at)
        message = f"{name}.{stamp}.".encode() + request.body
        self._match(message, header(request, f"{family}-signature").split(" "))

    def _match(self, message: bytes, parts: list[str]) -> None:
        offered = [*_signatures(parts, "v1")]
        signed = [*_signatures(parts, "v1a")]
        # A sum, and not any(): all keys are tried, whichever was right.
        if sum(_holds(key, part, message) for key in self._keys.public for part in signed):
            return
        require_match(hmac_sha256(self._keys.symmetric, message), offered)

    def decode(self, request: Request) -> Decoded:
        """Decode the data strictly as the command of its type; the key is the signed message id."""
        event = read_json(request.body, _Event)
        key = request.headers.get("webhook-id") or request.headers.get("svix-id")
        if not key:
            raise Unreadable("no message id: the header webhook-id is missing")
        return decoded(key, event.type, self._command(event))

    def _command(self, event: _Event) -> Command:
        form = _DATA.get(event.type)
        if form is None:
            return suspected(f"type {event.type}")
        data = self._filled(event, read_members(bytes(event.data)))
        try:
            command: Command = msgspec.convert(data, form)
        except msgspec.ValidationError as error:
            raise Unreadable(f"data: {str(error)[:200]}") from error
        _require_zones(command)
        return command

    def _filled(self, event: _Event, data: dict[str, Any]) -> dict[str, Any]:
        """Add what the envelope already says: the payment's state, and our id for a bare order."""
        if isinstance(data.get("order"), str):
            data["order"] = {"source": self._id, "ref": data["order"]}
        kind, _, state = event.type.partition(".")
        if kind == "payment" and data.setdefault("state", state) != state:
            raise Unreadable(f"data.state contradicts the type {event.type}")
        return data

    def handshake(self, _request: Request) -> Answer | None:
        """Standard Webhooks have none."""
        return None

    def decode_order(self, _document: bytes) -> Decoded:
        """Refuse: the data are whole."""
        raise Unreadable("standard webhooks carry whole data; there is nothing to fetch")

    def sign(self, body: bytes, topic: str, now: datetime) -> dict[str, str]:
        """Sign now with all secrets that can sign, as a sender does while it rotates them."""
        name = "msg_" + delivery_id(body, topic, now).replace("-", "")
        stamp = str(int(now.timestamp()))
        message = f"{name}.{stamp}.".encode() + body
        parts = [f"v1,{to_base64(mac)}" for mac in hmac_sha256(self._keys.symmetric, message)]
        parts += [f"v1a,{to_base64(key.sign(message))}" for key in self._keys.private]
        if not parts:
            raise Misconfigured(f"source {self._id}: a public key cannot sign")
        return {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(parts),
        }


def open_channel(account: Account) -> StandardChannel:
    """Open a sender; Misconfigured when options or secrets are wrong."""
    read_options(account, StandardOptions)
    return StandardChannel(account)


def _signatures(parts: list[str], version: str) -> Iterator[bytes]:
    """Give the readable signatures of one version; others, and broken ones, hide none of them."""
    for part in parts:
        name, _, text = part.partition(",")
        if name == version:
            with suppress(Unauthenticated):
                yield from_base64(text)


def _holds(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _keys(account: Account) -> _Keys:
    symmetric, public, private = [], [], []
    for secret in secrets_of(account):
        kind, raw = _raw(account.id, secret)
        try:
            if kind == b"whpk_":
                public.append(Ed25519PublicKey.from_public_bytes(raw))
            elif kind == b"whsk_":
                private.append(Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES]))
                public.append(private[-1].public_key())
            else:
                symmetric.append(raw)
        except ValueError as error:
            raise Misconfigured(
                f"source {account.id}: a {kind.decode()} secret: {error}"
            ) from error
    return _Keys(tuple(symmetric), tuple(public), tuple(private))


def _raw(source_id: str, secret: bytes) -> tuple[bytes, bytes]:
    """Split a secret into its prefix and its decoded bytes; without a prefix it is `whsec_`."""
    kind = secret[:6] if secret.startswith(b"whsec_") else secret[:5]
    if kind not in (b"whsec_", b"whpk_", b"whsk_"):
        kind = b""
    try:
        raw = base64.b64decode(secret[len(kind) :], validate=True)
    except binascii.Error as error:
        raise Misconfigured(f"source {source_id}: a secret is not base64 after whsec_") from error
    if not raw:
        raise Misconfigured(f"source {source_id}: a secret is empty after its prefix")
    return kind, raw


def _require_zones(command: Command) -> None:
    """Refuse a time without an offset: read as our own zone it would be a guess."""
    if not isinstance(command, PlaceOrder):
        return
    times = (command.placed_at, command.delivery.latest)
    if any(moment is not None and moment.tzinfo is None for moment in times):
        raise Unreadable("data: a time has no offset from UTC")
