"""The routing decision: one order in, one plan with its proof and its reasons out."""

from collections.abc import Iterator
from typing import NamedTuple

from config.limits import ROUTE_AT_ONCE_CELLS_MAX, ROUTE_SETS_EXACT, ROUTE_WORK_MAX
from routing.sourcing.board import Board, Members
from routing.sourcing.bounds import Bounds, affordable
from routing.sourcing.exact import Enumeration
from routing.sourcing.explain import place_terms, shares, taken, terms
from routing.sourcing.fill import spread
from routing.sourcing.incumbent import (
    Incumbent,
    best_single,
    floor_of,
    greedy,
    local_search,
)
from routing.sourcing.pairs import best_pair
from routing.sourcing.problem import Assignment, Problem, RoutePlan
from routing.sourcing.sheet import Sheet
from routing.sourcing.sole import Share, sole


class Proof(NamedTuple):
    """What is known about the incumbent: a lower bound of every plan, and how far it was tried."""

    bound: int
    exact_within: int


def solve(
    problem: Problem, *, sets_max: int = ROUTE_SETS_EXACT, work_max: int = ROUTE_WORK_MAX
) -> RoutePlan:
    """Choose the locations that fill the order at the lowest cost.

    The ladder: one location with everything that a crude bound proves best (most orders); else
    the best single and the best pair, or greedy without any, then all sets of up to `sets_max`
    locations, then, where a larger set is not proven dearer, local search and sets of any size.
    Work is counted, not guessed: `work_max` bounds all enumeration (see `exact.Enumeration`;
    pairs have a bound of their own), and what is then unproven is the stated gap. The same inputs
    give the same plan, however locations are ordered; ties go to fewer parcels, fewer metres and
    smaller ids (as far as the work allowed to look). It never fails: what nobody provides is in
    `unfilled`.

    `gap` is (total - bound) / total. After sets of any size were tried, `exact_within` is the
    number of locations that were left to try.

    The plan carries its inputs, so that it can be made again, and explained when somebody asks
    (`explain.explain`): most plans are never looked at.
    """
    sheet = Sheet(problem)
    share = sole(sheet)
    if share is None:
        return search(sheet, sets_max=sets_max, work_max=work_max)
    return _plan_of_one(sheet, share, sets_max)


def solve_at_once(problem: Problem) -> RoutePlan | None:
    """Return the plan of an order whose answer needs no search, which most orders are; else None.

    It takes microseconds, and so never looks at an order of very many cells.
    """
    if len(problem.demands) * len(problem.locations) > ROUTE_AT_ONCE_CELLS_MAX:
        return None
    sheet = Sheet(problem)
    share = sole(sheet)
    return None if share is None else _plan_of_one(sheet, share, ROUTE_SETS_EXACT)


def search(
    sheet: Sheet, *, sets_max: int = ROUTE_SETS_EXACT, work_max: int = ROUTE_WORK_MAX
) -> RoutePlan:
    """Choose as `solve` does, by the complete search."""
    best = Incumbent(Board(sheet))
    return _plan(best, prove(best, sets_max, work_max))


def prove(best: Incumbent, sets_max: int, work_max: int) -> Proof:
    """Improve the incumbent as far as the work allows."""
    floor = floor_of(best.board)
    best_single(best, floor)
    paired = best_pair(best, floor)
    if not best.members:
        greedy(best)
    rivals = affordable(best, paired=paired)
    if not rivals:
        return Proof(best.total, sets_max)
    bounds = Bounds(best, rivals, paired=paired)
    return _enumerate(Enumeration(best, bounds, work_max), bounds, sets_max)


def _enumerate(search: Enumeration, bounds: Bounds, sets_max: int) -> Proof:
    """Enumerate sets of up to `sets_max`, then of any size, within the work."""
    best = search.best
    within = sets_max if search.run(sets_max) else 0
    bound = bounds.beyond(best.board, within + 1)
    if not best.is_beaten_from(bound, within + 1):
        return Proof(best.total, within)
    local_search(best, bounds.order)
    if search.run(len(bounds.order)):
        return Proof(best.total, max(sets_max, len(bounds.order)))
    return Proof(min(best.total, bound), within)


def _plan(best: Incumbent, proof: Proof) -> RoutePlan:
    """Write the decision down."""
    board, sheet = best.board, best.board.sheet
    members: Members = tuple(sorted(best.members))
    units = shares(board, members)
    given, missing = spread(sheet.problem.demands, taken(board, members, units))
    left_out = sum(demand.quantity for demand in missing)
    gap = (best.total - proof.bound) / best.total if best.total > proof.bound else 0.0
    return RoutePlan(
        assignments=given,
        unfilled=missing,
        terms=terms(board, members, units),
        total_minor=best.total,
        bound_minor=proof.bound,
        gap=gap,
        exact_within=proof.exact_within,
        method=sheet.problem.method,
        reasons=tuple(_reasons(sheet.problem, best.total, proof, left_out)),
        inputs=sheet.inputs(),
    )


def _plan_of_one(sheet: Sheet, share: Share, sets_max: int) -> RoutePlan:
    """Write down that one location provides everything, proven best."""
    problem, place = sheet.problem, share.site.location.id
    found = place_terms(sheet, share)
    total = sum([term.amount_minor for term in found])
    return RoutePlan(
        assignments=tuple(
            [
                Assignment(x.line_id, x.sku, place, x.quantity)
                for x in problem.demands
                if x.quantity > 0
            ]
        ),
        unfilled=(),
        terms=tuple(found),
        total_minor=total,
        bound_minor=total,
        gap=0.0,
        exact_within=sets_max,
        method=problem.method,
        reasons=tuple(_reasons(problem, total, Proof(total, sets_max), 0)),
        inputs=sheet.inputs(),
    )


def _reasons(problem: Problem, total: int, proof: Proof, missing: int) -> Iterator[str]:
    """Yield what a person should know about the decision."""
    if problem.destination is None and problem.method == "ship":
        yield "destination unknown: every distance counted as 0"
    if proof.bound == total:
        yield "optimal: no plan costs less"
    elif proof.exact_within:
        yield f"best of all plans with up to {proof.exact_within} locations; more might cost less"
    else:
        yield "the search stopped at its limit; another plan might cost less"
    if missing:
        yield f"{missing} units unfilled: no stock, or dearer than leaving them out"
