"""Deliveries of one order in any order, with duplicates, in any batches, end in the same record.

What hangs on the order in which it comes, and is therefore not permuted here:
two different snapshots of one version; a snapshot without units before one with some; a cancel of
some units that leaves none of an older snapshot, or that has no version; a refund's units on a line
that only a later snapshot has; a refund's units where its first version is newer than the snapshot
that reflects it; what a carrier or a picker does against a cancel (who commits first).
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from handlers.actions import Task
from handlers.message import Message
from store.records import Order
from tests.integration.handlers.asking import (
    PAY,
    SHOP,
    cancel,
    lines,
    message,
    order,
    payment,
    refund,
    refunded,
)
from tests.integration.handlers.world import World

REFUNDED = (refunded("LAMP", 1),)


def facts(ref: str) -> dict[str, Task]:
    """Return all that ever happens to one order, in the order in which it happened."""
    return {
        "created": order(ref, lines(LAMP=3), version=10, total_minor=300),
        "authorised": payment("authorised", 400, 11, ref, f"p{ref}"),
        "failed": payment("failed", 0, 12, ref, f"p{ref}"),
        "captured": payment("captured", 300, 12, ref, f"p{ref}"),
        "edited": order(ref, lines(LAMP=4, RUG=3), version=20, total_minor=500),
        "repaying": refund("pending", 25, ref, REFUNDED, f"p{ref}"),
        "repaid": refund("succeeded", 25, ref, REFUNDED, f"p{ref}"),
        "fewer": cancel(ref, version=27, LAMP=1, RUG=1),
        "reduced": order(ref, lines(LAMP=3, RUG=2), version=30, total_minor=450),
        "disputed": payment("disputed", 300, 40, ref, f"p{ref}"),
        "cancelled": cancel(ref, version=50),
    }


NAMES = tuple(facts("1"))
deliveries = (
    st.sets(st.sampled_from(NAMES[1:]))
    .map(lambda some: ["created", *sorted(some)])
    .flatmap(lambda some: st.tuples(st.permutations(some), st.lists(st.sampled_from(some))))
    .map(lambda both: [*both[0], *both[1]])
    .flatmap(st.permutations)
)
_numbers = iter(range(10**9))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(sent=["created", "repaying", "edited"], cut=1, same_key=False)
@given(sent=deliveries, cut=st.integers(1, 6), same_key=st.booleans())
async def test_any_order_of_deliveries_ends_in_the_same_record(
    sqlite_world: World, sent: Sequence[str], cut: int, *, same_key: bool
) -> None:
    world = sqlite_world
    await world.stock(LAMP_leeds=10**6, RUG_leeds=10**6)
    ref, plain = (str(next(_numbers)) for _ in range(2))
    messages = _messages(ref, sent, same_key=same_key)
    for start in range(0, len(messages), cut):
        await world.ask(*messages[start : start + cut])
    for one in _messages(plain, [name for name in NAMES if name in sent], same_key=True):
        await world.ask(one)
    await world.sweep()
    assert _told(await world.order(ref), ref) == _told(await world.order(plain), plain)
    placed, again = await world.groups(ref), await world.groups(plain)
    assert _units(placed) == _units(again)


def _messages(ref: str, names: Sequence[str], *, same_key: bool) -> list[Message]:
    every = facts(ref)
    money = {"authorised", "failed", "captured", "disputed"}
    return [
        message(
            every[name],
            source=PAY if name in money else SHOP,
            key=f"{ref}-{name}" if same_key else "",
        )
        for name in names
    ]


def _told(order: Order, ref: str) -> dict[str, Any]:
    """Return what must be the same whatever came first: no ids, times or versions."""
    return {
        "state": order.state,
        "total": order.total_minor,
        "units": {x.id: x.ordered - x.cancelled for x in order.lines if x.ordered > x.cancelled},
        "placed": {x.id: x.allocated for x in order.lines if x.allocated},
        "refunded": {x.id: x.refunded for x in order.lines if x.refunded},
        "tenders": [
            (t.payment_ref.removesuffix(ref), t.state, t.authorised_minor, t.captured_minor)
            for t in order.tenders
        ],
        "refunds": [(r.state, r.amount_minor) for r in order.refunds],
    }


def _units(groups: Sequence[Any]) -> int:
    return sum(
        line.quantity for group in groups if group.state == "assigned" for line in group.lines
    )
