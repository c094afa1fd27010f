"""The routing decision: one order in, one plan with its proof and its reasons out."""

from collections.abc import Iterator
from typing import NamedTuple

from config.limits import ROUTE_SETS_EXACT, ROUTE_WORK_MAX
from routing.sourcing.board import Board, Members
from routing.sourcing.bounds import Bounds, affordable
from routing.sourcing.exact import Enumeration
from routing.sourcing.explain import shares, taken, terms
from routing.sourcing.fill import spread
from routing.sourcing.incumbent import (
    Incumbent,
    best_single,
    floor_of,
    greedy,
    local_search,
)
from routing.sourcing.problem import Problem, RoutePlan


class Proof(NamedTuple):
    """What is known about the incumbent: a lower bound of every plan, and how far it was tried."""

    bound: int
    exact_within: int


def solve(
    problem: Problem, *, sets_max: int = ROUTE_SETS_EXACT, work_max: int = ROUTE_WORK_MAX
) -> RoutePlan:
    """Choose the locations that fill the order at the lowest cost.

    The ladder: the best single location, proven by a crude bound in most orders; else greedy, then
    all sets of up to `sets_max` locations, then, where a larger set is not proven dearer, local
    search and sets of any size. Work is counted, not guessed: `work_max` bounds all enumeration
    (see `exact.Enumeration`), and what is then unproven is the stated gap. The same inputs give the
    same plan, however locations are ordered; ties go to fewer parcels, fewer metres and smaller ids
    (as far as the work allowed to look). It never fails: what nobody provides is in `unfilled`.

    `gap` is (total - bound) / total. After sets of any size were tried, `exact_within` is the
    number of locations that were left to try.

    The plan carries its inputs, so that it can be made again, and explained when somebody asks
    (`explain.explain`): most plans are never looked at.
    """
    board = Board(problem)
    best = Incumbent(board)
    proof = prove(best, sets_max, work_max)
    return _plan(board, best, proof)


def prove(best: Incumbent, sets_max: int, work_max: int) -> Proof:
    """Improve the incumbent as far as the work allows."""
    best_single(best, floor_of(best.board))
    if not best.members:
        greedy(best)
    rivals = affordable(best)
    if not rivals:
        return Proof(best.total, sets_max)
    bounds = Bounds(best, rivals)
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


def _plan(board: Board, best: Incumbent, proof: Proof) -> RoutePlan:
    """Write the decision down."""
    members: Members = tuple(sorted(best.members))
    units = shares(board, members)
    given, missing = spread(board.problem.demands, taken(board, members, units))
    notes = _reasons(best, proof, sum(demand.quantity for demand in missing))
    gap = (best.total - proof.bound) / best.total if best.total > proof.bound else 0.0
    return RoutePlan(
        assignments=given,
        unfilled=missing,
        terms=terms(board, members, units),
        total_minor=best.total,
        bound_minor=proof.bound,
        gap=gap,
        exact_within=proof.exact_within,
        method=board.problem.method,
        reasons=tuple(notes),
        inputs=board.inputs(),
    )


def _reasons(best: Incumbent, proof: Proof, missing: int) -> Iterator[str]:
    """Yield what a person should know about the decision."""
    problem = best.board.problem
    if problem.destination is None and problem.method == "ship":
        yield "destination unknown: every distance counted as 0"
    if proof.bound == best.total:
        yield "optimal: no plan costs less"
    elif proof.exact_within:
        yield f"best of all plans with up to {proof.exact_within} locations; more might cost less"
    else:
        yield "the search stopped at its limit; another plan might cost less"
    if missing:
        yield f"{missing} units unfilled: no stock, or dearer than leaving them out"
