"""What a sourcing decision is made from, and what it gives; plain values, nothing else."""

from typing import Literal

import msgspec

from config.ids import LocationId, Sku
from routing.network import Location, Market

Method = Literal["ship", "pickup"]


class Demand(msgspec.Struct, frozen=True, gc=False):
    """So many units of one SKU for one order line; `value_minor` is its price for one unit."""

    line_id: str
    sku: Sku
    quantity: int
    value_minor: int = 0


class Problem(msgspec.Struct, frozen=True):
    """One order to place on locations.

    `available` holds units free per SKU and location (missing means none). `only` restricts the
    choice (a pickup store, a hold's locations); `excluded` are locations that already said no.
    `destination` is latitude and longitude where known. `hours_left` is the time until the promise
    ends, None without a promise; `moment` the local day of the week (0 is Monday) and minute of the
    day, None where every place counts as open.
    """

    market: Market
    locations: tuple[Location, ...]
    available: dict[Sku, dict[LocationId, int]]
    demands: tuple[Demand, ...]
    method: Method = "ship"
    destination: tuple[float, float] | None = None
    only: tuple[LocationId, ...] = ()
    excluded: tuple[LocationId, ...] = ()
    hours_left: float | None = None
    moment: tuple[int, int] | None = None


class Term(msgspec.Struct, frozen=True, gc=False):
    """One cost in minor units with its standard name; an empty location means the whole plan."""

    name: str
    location: str
    amount_minor: int


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """Units of a line that a location shall provide."""

    line_id: str
    sku: Sku
    location: LocationId
    quantity: int


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """Another location (or several), why it lost, and the terms of what it would have cost.

    `reason` is one of: not_eligible (method, market, `only`, capacity 0), excluded, no_stock,
    partial_stock (cannot fill all alone), dearer, tied. `total_minor` is the plan that opens it
    alone, None where it could not fill anything, or for several at once.
    """

    locations: tuple[LocationId, ...]
    reason: str
    total_minor: int | None = None
    terms: tuple[Term, ...] = ()


class Inputs(msgspec.Struct, frozen=True, gc=False):
    """All that a decision was made from, besides the market and its locations.

    `network` is the digest of those (see `routing.network.digest_of`). `stock` holds the units of each
    SKU, place by place: the eligible locations in the order of their ids. The rest is as in `Problem`.
    """

    network: str
    demands: tuple[Demand, ...]
    stock: dict[Sku, list[int]]
    destination: tuple[float, float] | None
    only: tuple[LocationId, ...]
    excluded: tuple[LocationId, ...]
    hours_left: float | None
    moment: tuple[int, int] | None


class RoutePlan(msgspec.Struct, frozen=True):
    """A stored decision.

    `total_minor` is the objective, `bound_minor` a proven lower bound of it, `gap` their relative
    difference (0.0 means proven optimal), `exact_within` the number of locations within which the
    answer was proven by enumeration (0: not enumerated). `unfilled` lists what nobody can provide.
    Why the others lost is worked out from `inputs` when somebody asks (see `explain.explain`).
    """

    assignments: tuple[Assignment, ...]
    unfilled: tuple[Demand, ...]
    terms: tuple[Term, ...]
    total_minor: int
    bound_minor: int
    gap: float
    exact_within: int
    method: Method
    reasons: tuple[str, ...]
    inputs: Inputs


class Explanation(msgspec.Struct, frozen=True):
    """Every other location with the reason why it lost; `inputs_hash` identifies all inputs."""

    rejected: tuple[Rejected, ...]
    inputs_hash: str
