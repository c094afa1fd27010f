"""Who asks, and what they may: tokens with scopes, cookies for pages, CSRF for what pages post."""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection

from config.clock import Clock, to_us
from config.errors import Forbidden, Unauthenticated
from gateway.rates import Rates, address_of
from store.tickets import TicketStore
from store.tokens import TokenRow, TokenStore, digest_of

COOKIE: Final = "imv_session"
CSRF_COOKIE: Final = "imv_csrf"
CSRF_HEADER: Final = "x-csrf-token"
_CACHED_MAX: Final = 1024
_CACHED_S: Final = 5.0
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPERATOR: Final = "operator"


class Principal(msgspec.Struct, frozen=True):
    """Somebody whose token was found; an operator may do everything."""

    token_id: str
    scopes: frozenset[str]
    note: str = ""

    def may(self, scope: str) -> bool:
        """Tell whether this scope is among the token's, as it is or by its wildcard."""
        kind, colon, _ = scope.partition(":")
        wildcard = f"{kind}:*" if colon else scope
        return bool(self.scopes & {scope, wildcard, OPERATOR})

    def must(self, scope: str) -> None:
        """Raise Forbidden, naming the scope that is missing."""
        if not self.may(scope):
            raise Forbidden(f"this token lacks the scope {scope}", scope=scope)

    @property
    def name(self) -> str:
        """Return what timelines show for this principal."""
        return self.note or f"token {self.token_id[:8]}"


class Tokens:
    """Finds principals; a found one is trusted for a few seconds, so that revoking works soon."""

    def __init__(
        self, store: TokenStore, tickets: TicketStore, clock: Clock, refusals: Rates
    ) -> None:
        """Take where tokens and tickets are kept, and how often one address may be wrong."""
        self._store = store
        self._tickets = tickets
        self._refusals = refusals
        self._clock = clock
        self._cached: OrderedDict[bytes, tuple[float, Principal | None]] = OrderedDict()

    async def by_token(self, token: str) -> Principal | None:
        """Return whose token this is, None for nobody's; Unavailable without the database."""
        digest, now = digest_of(token), self._clock.monotonic()
        until, principal = self._cached.get(digest, (0.0, None))
        if until > now:
            return principal
        row = await self._store.find(token)
        principal = _principal(row) if row else None
        self._cached[digest] = (now + _CACHED_S, principal)
        self._cached.move_to_end(digest)
        while len(self._cached) > _CACHED_MAX:
            self._cached.popitem(last=False)
        return principal

    async def from_address(self, token: str, address: str) -> Principal | None:
        """Return whose token this is; Limited for one we do not know from who was wrong too often.

        Each unknown token is a look-up in the database, so a flood of them may not go there.
        """
        known = self._cached.get(digest_of(token), (0.0, None))[1] is not None
        if not known and self._refusals.spent(address):
            self._refusals.take(address)
        return self._counted(await self.by_token(token), address)

    async def by_cookies(self, cookies: Mapping[str, str], address: str) -> Principal | None:
        """Return who signed in on this browser; Limited as `from_address`."""
        token = cookies.get(COOKIE, "")
        return await self.from_address(token, address) if token else None

    async def by_ticket(self, ticket: str, address: str) -> Principal | None:
        """Spend a one-time ticket; Limited for anybody who was wrong too often."""
        if self._refusals.spent(address):
            self._refusals.take(address)
        row = await self._tickets.spend(ticket, to_us(self._clock.now()))
        return self._counted(_principal(row) if row else None, address)

    async def ticket_for(self, principal: Principal) -> str:
        """Make a ticket that opens one stream with this principal's scopes, within TICKET_S."""
        return await self._tickets.issue(principal.token_id, to_us(self._clock.now()))

    def _counted(self, principal: Principal | None, address: str) -> Principal | None:
        if principal is None:
            self._refusals.take(address)
        return principal

    async def of(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
        """Return who asks.

        Raises:
            Unauthenticated: nobody we know. Forbidden: a page's request without its CSRF token.
        """
        header = connection.headers.get("authorization", "")
        kind, _, token = header.partition(" ")
        if not header:
            token = connection.cookies.get(COOKIE, "")
        elif kind.lower() != "bearer":
            token = ""
        address = address_of(connection.scope.get("client"))
        principal = await self.from_address(token.strip(), address) if token else None
        writes = connection.scope.get("method", "GET") not in _SAFE_METHODS
        if principal and writes and not header:
            _check_csrf(connection)
        if principal is None:
            raise Unauthenticated("send a valid token as Authorization: Bearer, or sign in")
        return principal

    def forget(self) -> None:
        """Look every token up again (one was revoked)."""
        self._cached.clear()


def csrf_of(token: str) -> str:
    """Return the CSRF token of a session; only who has the session's secret can make it."""
    return hmac.new(token.encode(), b"imv csrf", hashlib.sha256).hexdigest()


def _check_csrf(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    sent = connection.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode(), csrf_of(connection.cookies[COOKIE]).encode()):
        raise Forbidden(f"a page's request needs its {CSRF_HEADER} header; reload the page")


def _principal(row: TokenRow) -> Principal:
    return Principal(token_id=row.id, scopes=frozenset(row.scopes), note=row.note)
