"""What of a batch waits for stock, each as a routing problem."""

import msgspec

from config.ids import MarketId, OrderId
from handlers.actions import PlaceHold
from handlers.desk import Desk, HoldWish
from routing.sourcing.problem import Demand, Problem
from store.ports import OrderFile


class Wish(msgspec.Struct, frozen=True):
    """Something that waits for stock: an order (`order_id`) or a hold (`hold`)."""

    id: str
    market: MarketId
    problem: Problem
    order_id: OrderId | None = None
    hold: HoldWish | None = None


def order_wishes(desk: Desk) -> list[Wish]:
    """Return the orders of a batch that have units to place."""
    wishes = []
    for order_id in desk.to_route:
        file = desk.files[order_id]
        if file.order.state == "cancelled" or not _has_market(desk, file):
            continue
        problem = _problem(desk, file)
        if problem.demands:
            wishes.append(Wish(order_id, file.order.market, problem, order_id=order_id))
    return wishes


def stranded(desk: Desk) -> list[OrderId]:
    """Return the orders whose market left the network: they wait for its return."""
    files = [desk.files[one] for one in desk.to_route]
    return [
        file.order.id
        for file in files
        if file.order.state != "cancelled" and not _has_market(desk, file)
    ]


def _has_market(desk: Desk, file: OrderFile) -> bool:
    return file.order.market in desk.facts.directory.markets


def _problem(desk: Desk, file: OrderFile) -> Problem:
    """Return the order's unassigned units as a problem, without the places that said no to it."""
    order, facts = file.order, desk.facts
    demands = tuple(
        Demand(line.id, line.sku, line.unassigned, line.unit_price_minor)
        for line in order.lines
        if line.requires_shipping and line.unassigned > 0 and line.sku
    )
    groups = [group.fulfilment for group in file.fulfilments]
    left = moment = None
    if order.promise_latest is not None:
        left = (order.promise_latest - facts.now).total_seconds() / 3600
        moment = facts.directory.moment_in(order.market, facts.now)
    return Problem(
        market=facts.directory.markets[order.market],
        locations=facts.directory.places_in(order.market),
        available={},
        demands=demands,
        method="pickup" if order.method == "pickup" else "ship",
        destination=order.destination,
        only=(order.location,) if order.location else (),
        excluded=tuple(sorted({g.location for g in groups if g.state == "rejected"})),
        hours_left=left,
        moment=moment,
    )


def hold_wishes(desk: Desk) -> list[Wish]:
    """Return the holds that a batch asks for."""
    directory = desk.facts.directory
    wishes = []
    for message_id, wish in desk.to_hold.items():
        asked = next(task for task in wish.message.tasks if isinstance(task, PlaceHold))
        market = asked.market
        problem = Problem(
            market=directory.markets[market],
            locations=directory.places_in(market),
            available={},
            demands=tuple(
                Demand(str(i), line.sku, line.quantity) for i, line in enumerate(asked.lines)
            ),
            method="pickup" if asked.location else "ship",
            only=(asked.location,) if asked.location else (),
        )
        wishes.append(Wish(message_id, market, problem, hold=wish))
    return wishes
