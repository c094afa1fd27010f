"""The one error tree; the category says what the caller does next.

ImvError
├── Rejected        the sender must change something; a repeat fails again
│   ├── Unauthenticated   who sent this is not proven
│   ├── Forbidden         proven, but not allowed
│   ├── NotFound          no such thing
│   ├── Unreadable        the bytes are not what the contract says
│   ├── TooLarge          over a stated limit
│   ├── HeadTooLarge      the headers of a request are over the limit
│   ├── TooSlow           a request's head did not arrive in time
│   ├── UnsupportedEncoding   a content encoding that we do not read
│   ├── InvalidTransition the thing is in a state that does not allow this
│   ├── StaleVersion      decided on an old version of the row
│   ├── KeyReused         same idempotency key, other content
│   └── Misconfigured     settings or files are wrong; names what to change
├── Unavailable     we are not able now; try later, nothing was applied
│   ├── Overloaded        the queue is full or slow
│   ├── Limited           too many requests of one sender
│   ├── EngineDown        a database, Redis or NATS does not answer
│   └── OutcomeUnknown    the answer was lost; ask again with the same id
└── Conflict        somebody else was first; run again on fresh data

A docstring is the message that a person reads when no better detail is given.
"""

from typing import Any, ClassVar


class ImvError(Exception):
    """Something went wrong in the gateway; the request id finds it in the log."""

    slug: ClassVar[str] = "error"

    def __init__(self, detail: str = "", **facts: Any) -> None:
        """Take a detail for people and facts for machines; neither may hold a secret."""
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.facts = facts
        super().__init__(self.detail)


class Rejected(ImvError):
    """The request cannot be done as it is; change it before sending it again."""

    slug = "rejected"


class Unauthenticated(Rejected):
    """The signature or token does not match; check the secret and send again."""

    slug = "unauthenticated"


class Forbidden(Rejected):
    """This token lacks the scope; ask the operator for one that has it."""

    slug = "forbidden"


class NotFound(Rejected):
    """There is no such thing here; check the id."""

    slug = "not-found"


class Unreadable(Rejected):
    """The body cannot be read; check it against the contract."""

    slug = "unreadable"


class TooLarge(Rejected):
    """The body is over the limit; send less at once."""

    slug = "too-large"


class HeadTooLarge(Rejected):
    """The request's headers are over the limit; send fewer and shorter ones."""

    slug = "head-too-large"


class TooSlow(Rejected):
    """The request's headers did not arrive in time; send them at once."""

    slug = "too-slow"


class UnsupportedEncoding(Rejected):
    """Send the body without a content encoding."""

    slug = "unsupported-encoding"


class InvalidTransition(Rejected):
    """The present state does not allow this; read the row and choose again."""

    slug = "invalid-transition"


class StaleVersion(Rejected):
    """The row has changed since it was read; look at the present row and choose again."""

    slug = "stale-version"


class KeyReused(Rejected):
    """This idempotency key was used with another body; use a new key."""

    slug = "idempotency-key-reused"


class Misconfigured(Rejected):
    """The configuration is wrong; the detail names the value to change."""

    slug = "misconfigured"


class Unavailable(ImvError):
    """Not able now and nothing was applied; send it again later."""

    slug = "unavailable"


class Overloaded(Unavailable):
    """The queue is full or slow; send it again after the time in Retry-After."""

    slug = "overloaded"


class Limited(Unavailable):
    """Too many requests in a short time; send them again after the time in Retry-After."""

    slug = "limited"

    def __init__(self, detail: str = "", *, after_s: int = 1) -> None:
        """Take the seconds after which the next one is taken."""
        super().__init__(detail)
        self.after_s = after_s


class EngineDown(Unavailable):
    """An engine that this needs does not answer; send it again later."""

    slug = "engine-down"


class OutcomeUnknown(Unavailable):
    """The answer was lost, so it may or may not have been done; ask again with the same id."""

    slug = "outcome-unknown"


class Conflict(ImvError):
    """Somebody else changed the same thing first; run again on fresh data."""

    slug = "conflict"
