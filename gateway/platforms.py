"""Reading from platforms: orders behind thin notifications, and public keys by id.

Paths: Square `GET /v2/orders/{order_id}` (Orders API, RetrieveOrder); eBay
`GET /sell/fulfillment/v1/order/{orderId}` (Fulfillment API, getOrder) and
`GET /commerce/notification/v1/public_key/{kid}` (Notification API, getPublicKey).
"""

import asyncio
from collections import OrderedDict
from typing import Final
from urllib.parse import quote

import httpx
import msgspec

from config.clock import Clock
from config.errors import Misconfigured, Unavailable
from gateway.outbound import PRIVATE, ForbiddenAddress

ORDER_PATHS: Final = {
    "square": "/v2/orders/{ref}",
    "ebay": "/sell/fulfillment/v1/order/{ref}",
}
KEY_PATHS: Final = {"ebay": "/commerce/notification/v1/public_key/{ref}"}
_TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1024 * 1024
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_KEYS_MAX: Final = 100
_UNKNOWN_KEY_S: Final = 60.0
_LOOKUPS_PER_MINUTE: Final = 30


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[sources.options.api]`: where the platform is read, and with which token (a reference)."""

    base_url: str
    token: str = ""
    private_addresses: bool = False
    """Whether the name may lead to an address that is not public (https only)."""


class PlatformApi:
    """A platform's HTTP interface, for one source."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        token: str,
        path: str,
        *,
        private: bool = False,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Take a client of `open_outbound`, and the path with `{ref}`."""
        _check(base_url)
        self._client = client
        self._timeout_s = timeout_s
        self._extensions = {PRIVATE: private}
        self._url = base_url.rstrip("/") + path
        # What is compressed would be bounded only after it has grown.
        self._headers = {"accept-encoding": "identity"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"

    async def read(self, ref: str) -> bytes | None:
        """Return the document as it came, None when there is none; Unavailable otherwise."""
        url = self._url.format(ref=quote(ref, safe=""))
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(
                    "GET", url, headers=self._headers, extensions=self._extensions
                ) as answer,
            ):
                return await _document(answer)
        except ForbiddenAddress as error:
            raise Unavailable(f"the platform may not be called: {error}") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(f"the platform does not answer: {type(error).__name__}") from error


async def _document(answer: httpx.Response) -> bytes | None:
    """Read an answer's body, and no more of it than we take."""
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    if answer.status_code != httpx.codes.OK:
        raise Unavailable(f"the platform answered {answer.status_code}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Unavailable("the platform's answer has an encoding that we did not ask for")
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > ANSWER_BYTES_MAX:
            raise Unavailable("the platform's answer is too large")
    return bytes(body)


def _check(base_url: str) -> None:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise Misconfigured(f"options.api.base_url: {error}") from error
    clear = url.scheme == "http" and url.host in _LOOPBACK
    if not (url.scheme == "https" or clear) or not url.host or url.userinfo:
        raise Misconfigured(
            "options.api.base_url must be https (http on loopback only), without a user in it"
        )


class _PublicKey(msgspec.Struct, frozen=True):
    key: str


class CachedKeys:
    """A `KeySource` over a platform: keys are cached, unknown ids too, and look-ups are limited.

    A key id stands in a header that nobody has verified yet, so a stranger may not make us ask the
    platform at will.
    """

    def __init__(self, api: PlatformApi, clock: Clock) -> None:
        """Take the platform."""
        self._api = api
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, bytes | None]] = OrderedDict()
        self._window = (0.0, 0)

    async def public_key(self, kid: str) -> bytes | None:
        """Return the key as PEM, None for an unknown id; Unavailable when it cannot be asked now."""
        now = self._clock.monotonic()
        until, key = self._known.get(kid, (0.0, None))
        if until > now:
            return key
        self._count(now)
        document = await self._api.read(kid)
        key = _pem(document) if document else None
        self._known[kid] = (now + (_UNKNOWN_KEY_S if key is None else 86_400.0), key)
        self._known.move_to_end(kid)
        while len(self._known) > _KEYS_MAX:
            self._known.popitem(last=False)
        return key

    def _count(self, now: float) -> None:
        begun, count = self._window
        self._window = (begun, count + 1) if now - begun < _UNKNOWN_KEY_S else (now, 1)
        if self._window[1] > _LOOKUPS_PER_MINUTE:
            raise Unavailable("too many unknown key ids; ask again in a minute")


def _pem(document: bytes) -> bytes | None:
    try:
        return msgspec.json.decode(document, type=_PublicKey).key.encode()
    except msgspec.DecodeError:
        return None
