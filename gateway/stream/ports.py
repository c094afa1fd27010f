"""What the stream needs from its surroundings: rows of a topic, and who may read it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from gateway.stream.topics import Topic


class Snapshots(Protocol):
    """Reads the present state from SQL."""

    async def rows(self, topic: Topic) -> Sequence[bytes | msgspec.Raw]:
        """Return the JSON of every row that the topic shows now, in any order.

        It must see everything that was committed before the call. An order that does not exist has
        no rows.

        Raises:
            Unavailable: the database does not answer; the hub asks again.
        """
        ...

    async def behind_since(self) -> datetime | None:
        """Return when the oldest event that is not yet published was committed; None: none waits.

        Raises:
            Unavailable: the database does not answer.
        """
        ...


class Principal(Protocol):
    """Who a session belongs to."""

    @property
    def token_id(self) -> str:
        """The id of the token behind it, under which it is revoked; never the token itself."""
        ...

    def may(self, scope: str) -> bool:
        """Return whether the scope, word for word, was granted."""
        ...


class Authenticator(Protocol):
    """Tells who somebody is, and counts who is wrong by address.

    All raise Unavailable when it cannot be found out now, and Limited (which is one) for an unknown
    token from an address that was wrong too often.
    """

    async def from_address(self, token: str, address: str) -> Principal | None:
        """Return who bears the token, None when it is unknown, expired or revoked."""
        ...

    async def by_cookies(self, cookies: Mapping[str, str], address: str) -> Principal | None:
        """Return whose session cookie is among them, None when none is valid."""
        ...

    async def by_ticket(self, ticket: str, address: str) -> Principal | None:
        """Spend a one-time ticket: return whose it is, None when it is unknown, old or spent."""
        ...


def allowed(principal: Principal, topic: Topic) -> bool:
    """Return whether somebody may read a topic; an operator may read everything."""
    return any(principal.may(scope) for scope in ("operator", *topic.scopes))
