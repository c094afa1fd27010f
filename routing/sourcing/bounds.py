"""Lower bounds: what no plan can undercut, and what opening each location adds to that at least.

For prices v per unit of each SKU (at most the ceiling) every plan with members S costs at least
  base + sum of rho over S,  base = sum v * units - split,
  rho = opening + split - sum over SKUs of units held * max(0, v - lowest price there),
as long as every rho is at least 0: the dual of the uncapacitated location problem. The prices rise
by dual ascent (Erlenkotter 1978, "A dual-based procedure for uncapacitated facility location").
"""

import sys
from collections.abc import Sequence
from typing import Final

from routing.sourcing.board import Board
from routing.sourcing.fill import cheapest
from routing.sourcing.incumbent import Incumbent, floor_of

Cell = tuple[int, int, int]
ASCENT_SHARES: Final = (3, 2, 1)
"""Which part of the room each round of the ascent takes; small parts first share it fairly."""


class Bounds:
    """The survivors and their bounds; everything else is proven dearer than the incumbent.

    `order` holds the survivors by rising `rho`. `floor` bounds all unit costs, so a plan costs at
    least its openings and splits plus `floor`. `need` are the units per SKU that every plan as good
    as the incumbent fills (0 where leaving one out might pay).
    """

    __slots__ = ("base", "floor", "need", "order", "rho")

    def __init__(self, best: Incumbent, alive: Sequence[int], *, paired: bool) -> None:
        """Bound the plans made of `alive`; plans with others must be proven worse."""
        board = best.board
        self.floor, self.need, lasts = _relaxed(board, alive)
        kept = _within(best, alive, self.floor, paired=paired)
        self.base, rho = _ascend(board, kept, self.need)
        kept = undominated(board, [n for n in kept if self.base + rho[n] <= best.total])
        kept.sort(key=lambda n: (rho[n], n))
        self.order = kept
        self.rho = [rho[n] for n in kept]
        self._soften(best, lasts)

    def _soften(self, best: Incumbent, lasts: list[int]) -> None:
        """Ask for no unit of a SKU where a plan that leaves one out may be as good."""
        board = best.board
        opening = min([board.fixed[n] for n in self.order], default=0)
        self.need = [
            units if opening + self.floor + board.ceiling - last > best.total else 0
            for units, last in zip(self.need, lasts, strict=True)
        ]

    def beyond(self, board: Board, size: int) -> int:
        """Return a lower bound of every plan with at least `size` (1 or more) survivors.

        Without so many survivors nothing is left to bound: the ceiling of all units.
        """
        if size > len(self.order):
            return board.nothing()
        openings = sorted([board.fixed[n] for n in self.order])[:size]
        plain = sum(openings) + board.split * (size - 1) + self.floor
        return max(plain, self.base + sum(self.rho[:size]))


def affordable(best: Incumbent, *, paired: bool) -> list[int]:
    """Return the candidates of plans that may beat an incumbent no worse than any single.

    `paired`: nor than any pair that provides everything.
    """
    return _within(best, range(len(best.board.fixed)), floor_of(best.board), paired=paired)


def _within(best: Incumbent, alive: Sequence[int], floor: int, *, paired: bool) -> list[int]:
    """Leave out locations too dear to open with the cheapest partners they need; `alive` rises."""
    fixed, split, partners = best.board.fixed, best.board.split, 0
    if _needs_partner(best):
        partners = 2 if paired else 1
        if len(alive) <= partners:
            return []
    cheapest_ones = [fixed[n] + split for n in alive[:partners]]
    room = best.total - floor - sum(cheapest_ones)
    if partners and fixed[alive[partners]] > room:
        return []
    return [n for n in alive if fixed[n] <= room]


def _needs_partner(best: Incumbent) -> bool:
    """Tell whether no plan that leaves a unit out is as good: then all singles have been tried."""
    board = best.board
    if not board.fixed:
        return False
    floor = floor_of(board)
    lowest = floor // sum(board.wants)
    return board.fixed[0] + floor - lowest + board.ceiling > best.total


def _relaxed(board: Board, alive: Sequence[int]) -> tuple[int, list[int], list[int]]:
    """Fill every SKU as if all locations were open: (cost, units, price of the last unit)."""
    rows = [board.row(n) for n in alive]
    fills = [
        cheapest([row[s] for row in rows], wanted, board.ceiling)
        for s, wanted in enumerate(board.wants)
    ]
    return sum(x[0] for x in fills), [x[1] for x in fills], [x[2] for x in fills]


def _ascend(board: Board, alive: Sequence[int], units: list[int]) -> tuple[int, dict[int, int]]:
    """Raise the prices as far as no location pays for itself; return (base, rho)."""
    slack = {n: board.fixed[n] + board.split for n in alive}
    cells = [
        [(n, row[s].first, row[s].units) for n in alive if (row := board.row(n))[s].units]
        for s in range(len(board.wants))
    ]
    prices = [min([first for _, first, _ in held], default=board.ceiling) for held in cells]
    for share in ASCENT_SHARES:
        for s, held in enumerate(cells):
            room = _room(prices[s], held, slack)
            raised = prices[s] + (min(room, board.ceiling) - prices[s]) // share
            _charge(slack, held, (prices[s], raised))
            prices[s] = raised
    filled = sum(price * n for price, n in zip(prices, units, strict=True))
    missing = (sum(board.wants) - sum(units)) * board.ceiling
    return filled + missing - board.split, slack


def _room(price: int, held: list[Cell], slack: dict[int, int]) -> int:
    """Return the highest price at which no location that holds the SKU pays for itself."""
    tops = [max(price, first) + slack[n] // units for n, first, units in held]
    return min(tops, default=sys.maxsize)


def _charge(slack: dict[int, int], held: list[Cell], prices: tuple[int, int]) -> None:
    """Take what a price raised (from, to) makes each location worth off its slack."""
    before, after = prices
    for n, first, units in held:
        if after > first:
            slack[n] -= (after - max(before, first)) * units


def undominated(board: Board, alive: Sequence[int]) -> list[int]:
    """Leave out locations that another one can replace in every plan without raising its key.

    A replaces B when it comes first in (opening, metres, id), covers alone the whole wish of every
    SKU that B holds, and asks for its last unit no more than B for its first. `alive` must rise.
    """
    kept: list[int] = []
    covering: list[tuple[int, int]] = []
    for n in alive:
        has, full = _masks(board, n)
        if not _replaceable(board, n, has=has, covering=covering):
            kept.append(n)
            if full:
                covering.append((n, full))
    return kept


def _replaceable(board: Board, n: int, *, has: int, covering: list[tuple[int, int]]) -> bool:
    return any(not has & ~full and _undercuts(board, a, n) for a, full in covering)


def _masks(board: Board, n: int) -> tuple[int, int]:
    """Return as bits of which SKUs candidate n offers any unit, and of which all."""
    has = full = 0
    for s, (cell, wanted) in enumerate(zip(board.row(n), board.wants, strict=True)):
        if cell.units:
            has |= 1 << s
            full |= (cell.units == wanted) << s
    return has, full


def _undercuts(board: Board, a: int, b: int) -> bool:
    for mine, theirs in zip(board.row(a), board.row(b), strict=True):
        if mine.last > theirs.first and theirs.units:
            return False
    return True
