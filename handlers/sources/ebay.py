"""eBay: ECDSA over the body under a key that is fetched by its id; orders are thin and fetched.

Rules: developer.ebay.com/api-docs/commerce/notification and eBay's event-notification SDKs (node,
java), whose vectors the tests verify: P-256 with SHA-1, as the header's `digest` says.
"""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, NoReturn

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.errors import Misconfigured, Unauthenticated
from handlers.commands import Command, FetchOrder, OrderKey
from handlers.sources.channel import (
    Account,
    Answer,
    Decoded,
    KeySource,
    Request,
    read_json,
    read_options,
)
from handlers.sources.ebay_order import decode_document
from handlers.sources.options import ChannelOptions
from handlers.sources.signatures import from_base64, header, to_base64
from handlers.sources.translation import decoded, ignored, repeatable, suspected

_IGNORED = {
    "MARKETPLACE_ACCOUNT_DELETION": "privacy request, acknowledged: no profile of a buyer is kept",
    "ITEM_AVAILABILITY": "a listing's state; stock is ours to tell",
    "ITEM_PRICE_REVISION": "the catalogue is imported, not followed",
    "PRIORITY_LISTING_REVISION": "advertising",
    "FEEDBACK_LEFT": "opinions are not kept",
    "FEEDBACK_RECEIVED": "opinions are not kept",
}
_PEM_LINE = 64
_CHALLENGE_MAX = 500


class EbayOptions(ChannelOptions, frozen=True, kw_only=True):
    """`[sources.options]` of an eBay seller; the first two answer the endpoint's challenge."""

    verification_token: str = ""
    endpoint: str = ""
    """The URL exactly as it is registered with eBay."""


class _Header(msgspec.Struct, frozen=True):
    """What `X-EBAY-SIGNATURE` holds, as JSON in base64."""

    alg: str
    kid: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
    signature: str
    digest: str


class _Metadata(msgspec.Struct, frozen=True):
    topic: str


class _Notification(msgspec.Struct, frozen=True, rename="camel"):
    notification_id: Annotated[str, msgspec.Meta(min_length=1)]
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Message(msgspec.Struct, frozen=True):
    metadata: _Metadata
    notification: _Notification


class _OrderNamed(msgspec.Struct, frozen=True, rename="camel"):
    order_id: str


class _Confirmed(msgspec.Struct, frozen=True):
    order: _OrderNamed


class _OwnKey:
    """The key pair of a demo or a test; real accounts hold none, as only eBay can sign."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self.private = private
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public = private.public_key().public_bytes(serialization.Encoding.PEM, form)
        self.kid = "own-" + hashlib.sha256(self.public).hexdigest()[:16]


class EbayChannel:
    """One seller's notifications."""

    def __init__(self, account: Account, options: EbayOptions) -> None:
        """Hold the account; Misconfigured when no public key could ever be found."""
        self._id = account.id
        self._keys: KeySource | None = account.keys
        self._own = _own_key(account)
        self._token = options.verification_token
        self._endpoint = options.endpoint
        if self._keys is None and self._own is None:
            raise Misconfigured(f"source {account.id}: eBay's public keys cannot be read")

    async def verify(self, request: Request) -> None:
        """Check the ECDSA signature under the key that the header names.

        eBay's SDKs sign the re-serialised message; its wire form is the same in all samples, so the
        raw bytes are tried first, and the compact form only where it differs.

        Raises:
            Unauthenticated: as the contract says; also when eBay knows no such key.
            Unavailable: the source of keys is silent.
        """
        claim = _claim(header(request, "x-ebay-signature"))
        signature = from_base64(claim.signature)
        public = _public_key(await self._pem(claim.kid))
        if _holds(public, signature, request.body):
            return
        compact = _compact(request.body)
        if compact == request.body or not _holds(public, signature, compact):
            raise Unauthenticated

    async def _pem(self, kid: str) -> bytes:
        if self._own is not None and kid == self._own.kid:
            return self._own.public
        found = await self._keys.public_key(kid) if self._keys is not None else None
        if found is None:
            raise Unauthenticated("eBay knows no such key")
        return found

    def decode(self, request: Request) -> Decoded:
        """Translate by topic; the key is eBay's notification id, the same over its attempts.

        An attempt changes `publishDate` and `publishAttemptCount`, so these are not part of the fact.
        """
        message = read_json(request.body, _Message)
        topic, notice = message.metadata.topic, message.notification
        found = decoded(notice.notification_id, topic, self._command(topic, notice))
        return repeatable(found, bytes(notice.data))

    def _command(self, topic: str, notice: _Notification) -> Command:
        data = bytes(notice.data)
        # The event's date is not the order's version, which eBay does not tell here.
        if topic == "ORDER_CONFIRMATION":
            return self._fetch(read_json(data, _Confirmed).order.order_id)
        # It tells of one item; the order itself says which of its lines have been sent by now.
        if topic == "ITEM_MARKED_SHIPPED":
            return self._fetch(read_json(data, _OrderNamed).order_id)
        return ignored(_IGNORED[topic]) if topic in _IGNORED else suspected(f"topic {topic}")

    def _fetch(self, ref: str) -> Command:
        return FetchOrder(order=OrderKey(source=self._id, ref=ref))

    def handshake(self, request: Request) -> Answer | None:
        """Answer the endpoint challenge: SHA-256 of code, token and endpoint, in hex."""
        code = request.query.get("challenge_code", "")
        known = self._token and self._endpoint
        if request.method != "GET" or not known or not 0 < len(code) <= _CHALLENGE_MAX:
            return None
        text = f"{code}{self._token}{self._endpoint}".encode(errors="replace")
        answer = {"challengeResponse": hashlib.sha256(text).hexdigest()}
        return Answer(status=200, body=msgspec.json.encode(answer))

    def decode_order(self, document: bytes) -> Decoded:
        """Translate the Fulfillment API's answer."""
        return decode_document(document, self._id)

    def sign(self, body: bytes, topic: str, now: datetime) -> dict[str, str]:
        """Sign as eBay would; only a source whose first secret is a private key can."""
        del topic, now
        if self._own is None:
            raise Misconfigured(f"source {self._id}: only eBay can sign; secrets hold no key")
        signature = self._own.private.sign(body, _algorithm())
        claim = _Header("ECDSA", self._own.kid, to_base64(signature), "SHA1")
        text = to_base64(msgspec.json.encode(claim))
        return {"content-type": "application/json", "x-ebay-signature": text}


def open_channel(account: Account) -> EbayChannel:
    """Open a seller; Misconfigured when options are wrong or no key can be found.

    Secrets play no part in verifying eBay. For demos and tests the first may be a private key in
    PEM: messages signed with it are then taken too.
    """
    return EbayChannel(account, read_options(account, EbayOptions))


def _claim(text: str) -> _Header:
    """Read the signature header; whatever is wrong with it, nobody has proven anything."""
    try:
        claim = msgspec.json.decode(from_base64(text), type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unauthenticated("the header x-ebay-signature cannot be read") from error
    # The SDKs follow the header; we hold to what was verified, so a sender cannot choose for us.
    if claim.alg.lower() != "ecdsa" or claim.digest.upper().replace("-", "") != "SHA1":
        raise Unauthenticated("the signature is not ECDSA with SHA1")
    return claim


def _algorithm() -> ec.ECDSA:
    return ec.ECDSA(hashes.SHA1())  # noqa: S303 - eBay's choice; SHA-256 does not verify


def _holds(public: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        public.verify(signature, message, _algorithm())
    except InvalidSignature:
        return False
    return True


def _public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(_with_line_breaks(pem))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unauthenticated("eBay's key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Unauthenticated("eBay's key is not on P-256")
    return key


def _with_line_breaks(pem: bytes) -> bytes:
    """Lay out a PEM as RFC 7468 wants it; eBay sends it in one line."""
    parts = pem.decode("ascii", errors="replace").split("-----")
    try:
        _, begin, text, end, _ = parts
    except ValueError:
        return pem
    joined = "".join(text.split())
    lines = [joined[i : i + _PEM_LINE] for i in range(0, len(joined), _PEM_LINE)]
    return "\n".join((f"-----{begin}-----", *lines, f"-----{end}-----", "")).encode()


def _own_key(account: Account) -> _OwnKey | None:
    if not account.secrets or b"PRIVATE KEY" not in account.secrets[0]:
        return None
    try:
        key = serialization.load_pem_private_key(_with_line_breaks(account.secrets[0]), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Misconfigured(f"source {account.id}: the private key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Misconfigured(f"source {account.id}: the private key is not on P-256")
    return _OwnKey(key)


def _compact(body: bytes) -> bytes:
    """Return the body as `JSON.stringify(JSON.parse(body))` writes it, for the forms eBay sends.

    JavaScript would also write 1.0 as 1 and move integer-like names to the front; eBay's messages
    have neither. A body that is no JSON was signed by nobody.
    """
    try:
        parsed: Any = json.loads(body, parse_constant=_refuse)
        return json.dumps(parsed, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Unauthenticated from error


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("JSON has no NaN")
