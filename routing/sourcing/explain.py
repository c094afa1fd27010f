"""Why this plan: its cost terms, and every other candidate with the reason why it lost."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from config.ids import Sku
from routing.sourcing.board import Board, Members
from routing.sourcing.costs import rounded
from routing.sourcing.fill import Taken, units_taken
from routing.sourcing.problem import Rejected, Term

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
        found += _opening(board, n)
        found += _units(board, n, [part[i] for part in units])
    missing = sum(board.wants) - sum(map(sum, units))
    if len(members) > 1 and board.split:
        found.append(Term("split", "", board.split * (len(members) - 1)))
    if missing and board.ceiling:
        found.append(Term("unfilled", "", board.ceiling * missing))
    return tuple(found)


def _opening(board: Board, n: int) -> Iterator[Term]:
    """Yield what opening candidate n costs."""
    site, place = board.sites[n], board.ids[n]
    far = rounded(board.metres[n] * site.metre_price)
    if site.opening:
        yield Term("parcel", place, site.opening)
    if far:
        yield Term("distance", place, far)
    if site.reject_risk:
        yield Term("reject_risk", place, site.reject_risk)
    if rest := board.fixed[n] - site.opening - site.reject_risk - far:
        yield Term(board.late(site, board.metres[n]), place, rest)


def _units(board: Board, n: int, units: list[int]) -> Iterator[Term]:
    """Yield what the units from candidate n cost."""
    location, place, count = board.sites[n].location, board.ids[n], sum(units)
    if count and location.pick_cost_minor:
        yield Term("pick", place, count * location.pick_cost_minor)
    if count and location.return_risk_cost_minor:
        yield Term("return_risk", place, count * location.return_risk_cost_minor)
    if location.scarcity_cost_minor and (scarce := _scarcity(board, n, units)):
        yield Term("scarcity", place, scarce)


def _scarcity(board: Board, n: int, units: list[int]) -> int:
    """Return the surcharges for stock that runs low."""
    total = 0
    for cell, count in zip(board.row(n), units, strict=True):
        left = count
        for price, step in cell.steps:
            total += (price - board.sites[n].tariff.unit) * min(left, step)
            left -= min(left, step)
    return total


def losers(board: Board, members: Members, total: int) -> tuple[tuple[Rejected, ...], str]:
    """Return the first 20 other candidates and a sentence that counts the rest (empty without).

    Candidates with stock come first, the cheapest to open first, each with the total and the terms
    of the plan that opens it alone. Then come the places without stock, ruled out or not eligible.
    """
    others = [n for n in range(len(board.fixed)) if n not in members]
    listed = [_loser(board, n, total) for n in others[:LOSERS_MAX]]
    idle = board.idle()
    room = LOSERS_MAX - len(listed)
    listed += [Rejected((place,), reason) for place, reason in idle[:room]]
    rest = Counter(reason for _, reason in idle[room:])
    if len(others) > LOSERS_MAX:
        rest["dearer to open"] = len(others) - LOSERS_MAX
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(rest.items()))
    return tuple(listed), f"more candidates lost: {counts}" if counts else ""


def _loser(board: Board, n: int, total: int) -> Rejected:
    """Return the plan that opens candidate n alone, and why it lost."""
    row = board.row(n)
    units = [[cell.units] for cell in row]
    alone = board.alone(n)
    if any(cell.units < wanted for cell, wanted in zip(row, board.wants, strict=True)):
        reason = "partial_stock"
    else:
        reason = "tied" if alone == total else "dearer"
    return Rejected((board.ids[n],), reason, alone, terms(board, (n,), units))
