"""Step 2: every pair of locations that provides the whole order, as long as it may be the best."""

from collections.abc import Iterator
from operator import mul
from typing import Final

from routing.sourcing.board import Board
from routing.sourcing.incumbent import Incumbent

PAIR_WORK_MAX: Final = 20_000
"""Bounds the pairs that are looked at; a unit is about a microsecond."""
_BITS: Final = 8


class _Crowd:
    """Sets of candidates as numbers: candidate n is bit `8 * n`, for bytes are quick to make.

    `holders[s]` have any unit of a SKU, `coverers[s]` all that are wanted.
    """

    __slots__ = ("coverers", "everyone", "holders", "stock")

    def __init__(self, board: Board) -> None:
        self.stock = board.stock
        columns = list(zip(*board.stock, strict=True))
        self.coverers = [
            _bits(column, wanted) for column, wanted in zip(columns, board.wants, strict=True)
        ]
        self.holders = [
            cover if wanted == 1 else _bits(column, 1)
            for column, wanted, cover in zip(columns, board.wants, self.coverers, strict=True)
        ]
        self.everyone = int.from_bytes(b"\1" * len(board.stock), "little")

    def partners(self, n: int, wants: tuple[int, ...]) -> Iterator[int]:
        """Yield the candidates after n that may have what it lacks, the cheapest to open first."""
        pool = self.everyone >> _BITS * (n + 1) << _BITS * (n + 1)
        for s, (units, wanted) in enumerate(zip(self.stock[n], wants, strict=True)):
            if units < wanted:
                pool &= self.holders[s] if units else self.coverers[s]
        while pool:
            bit = pool & -pool
            pool ^= bit
            yield bit.bit_length() // _BITS


def _bits(column: tuple[int, ...], units: int) -> int:
    return int.from_bytes([held >= units for held in column], "little")


def best_pair(best: Incumbent, floor: int) -> bool:
    """Try the pairs that hold everything; False when there were too many to try them all.

    `floor` bounds all unit costs. A pair is priced in full where its openings and the lowest price of
    each SKU there leave it a chance.
    """
    board, work_left = best.board, PAIR_WORK_MAX
    fixed, wants = board.fixed, board.wants
    if len(fixed) < 2 or fixed[0] + board.split + fixed[1] + floor > best.total:  # noqa: PLR2004
        return True
    units = [site.tariff.unit for site in board.sites]
    crowd, lows = _Crowd(board), _Lows(board)
    for a in range(len(fixed) - 1):
        lacks = sum([w - held for w, held in zip(wants, board.stock[a], strict=True) if held < w])
        rest = sum(wants) - lacks
        opening = fixed[a] + board.split
        if opening + fixed[a + 1] + floor > best.total:
            break
        work_left -= 1 + len(wants) // 4
        for b in crowd.partners(a, wants):
            if opening + fixed[b] + floor > best.total:
                break
            work_left -= 1
            if work_left < 0:
                return False
            room = best.total - opening - fixed[b]
            crude = lacks * units[b] + rest * min(units[a], units[b])
            if crude <= room and lows.of(a, b) <= room:
                best.take((a, b))
    return True


class _Lows:
    """The wish of each SKU at the lowest price of a candidate, worked out when first asked for."""

    __slots__ = ("_board", "_lows")

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lows: list[list[int] | None] = [None] * len(board.fixed)

    def of(self, a: int, b: int) -> int:
        """Return a lower bound of what all units cost from two candidates."""
        return sum(map(min, self._low(a), self._low(b)))

    def _low(self, n: int) -> list[int]:
        low = self._lows[n]
        if low is None:
            firsts = [cell.first for cell in self._board.row(n)]
            low = self._lows[n] = list(map(mul, firsts, self._board.wants))
        return low
