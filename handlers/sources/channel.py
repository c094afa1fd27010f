"""The contract of a channel: one object per configured source, made by its module's `open_channel`.

A module of this folder whose name is a provider's name is a channel; `registry.py` finds it. It has
one public function, `open_channel(account: Account) -> Channel`, which decodes the account's options
strictly (`read_options`) and refuses, as `Misconfigured`, what would never work.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec

from config.errors import Misconfigured, Unreadable
from handlers.commands import Command

Options = TypeVar("Options", bound=msgspec.Struct)


class Request(msgspec.Struct, frozen=True):
    """One HTTP request as it came. Header names are lower case; repeated ones are refused before."""

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    received_at: datetime


class Decoded(msgspec.Struct, frozen=True):
    """What a message is.

    `key` is what identifies the fact at this source, whatever happens to the delivery; `topic` is the
    channel's own word for its kind. Commands apply in this order, together or not at all.
    `fingerprint` is the SHA-256 of what must be the same when the key comes again; None means the
    whole body (some platforms change a counter or a date in each delivery of one fact).
    `version` is that of a fetched order, where its notifications number it alike; else None.
    """

    key: str
    topic: str
    commands: tuple[Command, ...]
    fingerprint: bytes | None = None
    version: int | None = None


class Answer(msgspec.Struct, frozen=True):
    """An answer that the provider demands; a handshake's, or in place of our own outcome."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


class KeySource(Protocol):
    """Public keys by id, from the provider. Implementations cache, and limit unknown ids."""

    async def public_key(self, kid: str) -> bytes | None:
        """Return the key as PEM, None when the provider knows none; Unavailable when it is silent."""
        ...


class OrderSource(Protocol):
    """Reads an order from the platform that owns it. Slow: never called within a batch."""

    async def read(self, order_ref: str) -> bytes | None:
        """Return the platform's document as it came, None when there is no such order there.

        Raises:
            Unavailable: the platform does not answer, or limits us; try again later.
        """
        ...


class Account(msgspec.Struct, frozen=True):
    """One `[[sources]]` entry with its secrets resolved (any one may match) and its ports."""

    id: str
    market: str
    secrets: tuple[bytes, ...]
    options: Mapping[str, Any]
    keys: KeySource | None = None


class Channel(Protocol):
    """Verifies, keys and decodes one source's messages; holds no state but its account."""

    async def verify(self, request: Request) -> None:
        """Check the signature over the raw bytes, in constant time, with every live secret.

        Raises:
            Unauthenticated: no signature, a wrong one, or a signed time that is too far from ours.
        """
        ...

    def decode(self, request: Request) -> Decoded:
        """Translate a verified message; an unknown topic is a `Suspect`, never an error.

        Raises:
            Unreadable: the body is not what this channel sends; says which part.
        """
        ...

    def handshake(self, request: Request) -> Answer | None:
        """Answer the provider's GET, HEAD or OPTIONS; None when this channel has no such thing."""
        ...

    def decode_order(self, document: bytes) -> Decoded:
        """Translate what `OrderSource.read` gave; the key holds the order and its version.

        Raises:
            Unreadable: not the platform's order document, or the channel has no thin notifications.
        """
        ...

    def sign(self, body: bytes, topic: str, now: datetime) -> dict[str, str]:
        """Return the headers with which the channel itself would send this body now."""
        ...


def read_options(account: Account, form: type[Options]) -> Options:
    """Decode an account's options strictly; Misconfigured names the unknown or wrong one."""
    try:
        return msgspec.convert(dict(account.options), form)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"source {account.id}: options: {error}") from error


def read_json(body: bytes, form: type[Options]) -> Options:
    """Decode a sender's JSON body into a tolerant form; Unreadable says which part is wrong."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"body: {str(error)[:200] or 'nested too deeply'}") from error
