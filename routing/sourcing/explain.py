"""Why this plan: its cost terms, and every other candidate with the reason why it lost."""

from collections import Counter
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
        mine = [part[i] for part in units]
        found += place_terms(board, n, count=sum(mine), scarcity=_scarcity(board, n, mine))
    missing = sum(board.wants) - sum(map(sum, units))
    if len(members) > 1 and board.split:
        found.append(Term("split", "", board.split * (len(members) - 1)))
    if missing and board.ceiling:
        found.append(Term("unfilled", "", board.ceiling * missing))
    return tuple(found)


def place_terms(board: Board, n: int, *, count: int, scarcity: int) -> list[Term]:
    """Return what opening candidate n and taking so many units from it costs."""
    site, place, metres = board.sites[n], board.ids[n], board.metres[n]
    far = rounded(metres * site.metre_price)
    broken = board.fixed[n] - site.opening - site.reject_risk - far
    costs = (
        ("parcel", site.opening),
        ("distance", far),
        (board.late(site, metres) if broken else "late", broken),
        ("reject_risk", site.reject_risk),
        ("pick", site.location.pick_cost_minor * count),
        ("return_risk", site.location.return_risk_cost_minor * count),
        ("scarcity", scarcity),
    )
    return [Term(name, place, amount) for name, amount in costs if amount]


def _scarcity(board: Board, n: int, units: list[int]) -> int:
    """Return the surcharges for stock that runs low."""
    total, unit = 0, board.sites[n].tariff.unit
    for cell, count in zip(board.row(n), units, strict=True):
        left = count
        for price, step in cell.steps:
            total += (price - unit) * min(left, step)
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
    row, fixed = board.row(n), board.fixed[n]
    count = sum([cell.units for cell in row])
    alone = fixed + sum([cell.alone for cell in row])
    unfilled = (sum(board.wants) - count) * board.ceiling
    scarcity = alone - fixed - unfilled - count * board.sites[n].tariff.unit
    found = place_terms(board, n, count=count, scarcity=scarcity)
    if unfilled:
        found.append(Term("unfilled", "", unfilled))
    reason = "partial_stock" if count < sum(board.wants) else _dearer(alone, total)
    return Rejected((board.ids[n],), reason, alone, tuple(found))


def _dearer(alone: int, total: int) -> str:
    return "tied" if alone == total else "dearer"
