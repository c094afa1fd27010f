"""The forms of answers that are put together from stored JSON; the contract shows them."""

import msgspec

from routing.sourcing.problem import Rejected, RoutePlan
from store.records import ExceptionRecord, Fulfilment, HistoryEntry, Order


class Placed(msgspec.Struct, frozen=True):
    """An order was placed, or had been placed before under the same key."""

    order_id: str


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token that a browser signs in with."""

    token: str


class Ticket(msgspec.Struct, frozen=True):
    """A one-time way into a stream, as `?ticket=`."""

    ticket: str
    expires_in_s: int


class Cancelled(msgspec.Struct, frozen=True):
    """What a cancellation came to; the reason says what was not possible."""

    order_id: str
    reason: str


class OrderWithFulfilments(Order, frozen=True, kw_only=True):
    """An order and where its goods come from."""

    fulfilments: tuple[Fulfilment, ...]


class Timeline(msgspec.Struct, frozen=True):
    """What happened to an order, oldest first."""

    id: str
    timeline: tuple[HistoryEntry, ...]


class Route(msgspec.Struct, frozen=True):
    """Why an order was routed so; no plan while it is undecided.

    `rejected` names every other location with the reason why it lost; it is unknown (null) where the
    network that the plan was made on is not there any more.
    """

    id: str
    plan: RoutePlan | None
    rejected: tuple[Rejected, ...] | None = None
    inputs_hash: str = ""


class Exceptions(msgspec.Struct, frozen=True):
    """Work items, newest first."""

    exceptions: tuple[ExceptionRecord, ...]


class Imported(msgspec.Struct, frozen=True):
    """What an import came to, in words."""

    reason: str
