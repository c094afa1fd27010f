"""Why this plan: its cost terms, and every other candidate with the reason why it lost."""

import hashlib
from typing import Final

import msgspec

from config.ids import LocationId, Sku
from routing.network import MarketNetwork, digest_of
from routing.sourcing.board import Board, Members
from routing.sourcing.costs import rounded
from routing.sourcing.eligibility import may_serve
from routing.sourcing.fill import Taken, units_taken
from routing.sourcing.problem import Explanation, Problem, Rejected, RoutePlan, Term
from routing.sourcing.sheet import Sheet
from routing.sourcing.sole import Share

_canonical = msgspec.json.Encoder()
LOSERS_MAX: Final = 20


def shares(board: Board, members: Members) -> list[list[int]]:
    """Return the units that each member provides, per SKU; the earlier member wins a tie."""
    rows = [board.row(n) for n in members]
    return [units_taken([row[s] for row in rows], wanted) for s, wanted in enumerate(board.wants)]


def taken(board: Board, members: Members, units: list[list[int]]) -> dict[Sku, list[Taken]]:
    """Return who provides how many units of each SKU."""
    ids = [board.ids[n] for n in members]
    return {
        sku: list(zip(ids, part, strict=True)) for sku, part in zip(board.skus, units, strict=True)
    }


def terms(board: Board, members: Members, units: list[list[int]]) -> tuple[Term, ...]:
    """Return every cost of the plan that is not zero; together they are its total exactly."""
    found: list[Term] = []
    for i, n in enumerate(members):
        mine = [part[i] for part in units]
        share = _share(board, n, sum(mine), _scarcity(board, n, mine))
        found += place_terms(board.sheet, share)
    missing = sum(board.wants) - sum(map(sum, units))
    if len(members) > 1 and board.split:
        found.append(Term("split", "", board.split * (len(members) - 1)))
    if missing and board.ceiling:
        found.append(Term("unfilled", "", board.ceiling * missing))
    return tuple(found)


def place_terms(sheet: Sheet, share: Share) -> list[Term]:
    """Return what opening a location and taking its units costs."""
    site, place = share.site, share.site.location
    far = rounded(share.metres * site.metre_price)
    broken = share.fixed - site.opening - site.reject_risk - far
    costs = (
        ("parcel", site.opening),
        ("distance", far),
        (sheet.late(site, share.metres) if broken else "late", broken),
        ("reject_risk", site.reject_risk),
        ("pick", place.pick_cost_minor * share.units),
        ("return_risk", place.return_risk_cost_minor * share.units),
        ("scarcity", share.scarcity),
    )
    return [Term(name, place.id, amount) for name, amount in costs if amount]


def _share(board: Board, n: int, units: int, scarcity: int) -> Share:
    return Share(board.sites[n], board.metres[n], board.fixed[n], units, scarcity)


def _scarcity(board: Board, n: int, units: list[int]) -> int:
    """Return the surcharges for stock that runs low."""
    total, unit = 0, board.sites[n].tariff.unit
    for cell, count in zip(board.row(n), units, strict=True):
        left = count
        for price, step in cell.steps:
            total += (price - unit) * min(left, step)
            left -= min(left, step)
    return total


def explain(plan: RoutePlan, network: MarketNetwork) -> Explanation:
    """Work out why every other location lost, from what was stored with the plan.

    Raises:
        ValueError: the network is not the one that the plan was made on.
    """
    inputs = plan.inputs
    if digest_of(network) != inputs.network:
        raise ValueError("the plan was made on another network")
    board = Board(Sheet(_problem(plan, network)))
    opened = {part.location for part in plan.assignments}
    members = tuple(n for n, place in enumerate(board.ids) if place in opened)
    digest = hashlib.sha256(_canonical.encode((plan.method, inputs))).hexdigest()
    return Explanation(losers(board, members, plan.total_minor), digest)


def _problem(plan: RoutePlan, network: MarketNetwork) -> Problem:
    inputs = plan.inputs
    able = [x.id for x in network.locations if may_serve(x, network.market.id, plan.method)]
    return Problem(
        market=network.market,
        locations=network.locations,
        available={
            sku: dict(zip(able, column, strict=True)) for sku, column in inputs.stock.items()
        },
        demands=inputs.demands,
        method=plan.method,
        destination=inputs.destination,
        only=inputs.only,
        excluded=inputs.excluded,
        hours_left=inputs.hours_left,
        moment=inputs.moment,
    )


def losers(board: Board, members: Members, total: int) -> tuple[Rejected, ...]:
    """Return every other location with the reason why it lost.

    The first 20 candidates (those with stock, the cheapest to open first) come one by one, each with
    the total and the terms of the plan that opens it alone; then the other candidates and the places
    without stock, ruled out or not eligible, together by reason.
    """
    others = [n for n in range(len(board.fixed)) if n not in members]
    listed = [_loser(board, n, total) for n in others[:LOSERS_MAX]]
    groups: dict[str, list[LocationId]] = {}
    for n in others[LOSERS_MAX:]:
        groups.setdefault(_reason(board, n, total), []).append(board.ids[n])
    for place, reason in board.idle():
        groups.setdefault(reason, []).append(place)
    return (*listed, *(Rejected(tuple(ids), reason) for reason, ids in groups.items()))


def _loser(board: Board, n: int, total: int) -> Rejected:
    """Return the plan that opens candidate n alone, and why it lost."""
    row, fixed = board.row(n), board.fixed[n]
    count = sum([cell.units for cell in row])
    alone = fixed + sum([cell.alone for cell in row])
    unfilled = (sum(board.wants) - count) * board.ceiling
    scarcity = alone - fixed - unfilled - count * board.sites[n].tariff.unit
    found = place_terms(board.sheet, _share(board, n, count, scarcity))
    if unfilled:
        found.append(Term("unfilled", "", unfilled))
    return Rejected((board.ids[n],), _reason(board, n, total), alone, tuple(found))


def _reason(board: Board, n: int, total: int) -> str:
    if board.fixed[n] > total:
        return "dearer"
    if not board.covers(n):
        return "partial_stock"
    return "tied" if board.alone(n) == total else "dearer"
