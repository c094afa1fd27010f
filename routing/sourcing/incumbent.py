"""Step 2: a good plan quickly; the best single location, else greedy with local search."""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from routing.sourcing.board import Board, Key, Members

LOCAL_WORK_MAX: Final = 60_000
"""Bounds the local search as `ROUTE_WORK_MAX` does the enumeration; a unit is about 2 microseconds."""


class Incumbent:
    """The best plan so far, by the order of `Board.key`; at first the plan that opens nothing."""

    __slots__ = ("board", "key", "members", "parcels", "total")

    def __init__(self, board: Board) -> None:
        """Start with everything unfilled."""
        self.board = board
        self.members: Members = ()
        self.total, self.parcels = board.nothing(), 0
        self.key: Key = board.key((), self.total)

    def is_beaten_from(self, bound: int, parcels: int) -> bool:
        """Tell whether a plan with this bound and at least so many parcels may come first."""
        return (bound, parcels) <= (self.total, self.parcels)

    def take(self, members: Members) -> bool:
        """Keep these members if their plan is better; tell whether it was."""
        total = self.board.total(members)
        if total > self.total:
            return False
        key = self.board.key(members, total)
        if key >= self.key:
            return False
        self.key, self.members = key, members
        self.total, self.parcels = total, len(members)
        return True


def floor_of(board: Board) -> int:
    """Return a crude lower bound of all unit costs: every unit at the lowest price on the board."""
    lowest = min([site.tariff.unit for site in board.sites], default=board.ceiling)
    return sum(board.wants) * min(lowest, board.ceiling)


def best_single(best: Incumbent, floor: int) -> None:
    """Try the candidates that hold everything, until opening the next one alone is too dear."""
    board = best.board
    for n, fixed in enumerate(board.fixed):
        if fixed + floor > best.total:
            break
        if board.covers(n):
            best.take((n,))


def greedy(best: Incumbent) -> None:
    """Open the location with the lowest cost per unit still missing, until nothing is gained.

    This is the greedy of set covering (Chvatal 1979) on stock and plain unit prices. A location's
    cost per unit only rises while others are opened, so an old one bounds it and few are worked out
    anew (Minoux 1978, "Accelerated greedy algorithms").
    """
    board = best.board
    members: Members = ()
    short = list(board.wants)
    wanted = max(1, sum(short))
    queue = [
        (fixed / wanted + board.sites[n].tariff.unit, n) for n, fixed in enumerate(board.fixed)
    ]
    heapify(queue)
    while (n := _next(board, members, short, queue)) is not None:
        members = (*members, n)
        best.take(members)
        short = [max(0, s - units) for s, units in zip(short, board.stock[n], strict=True)]


def _next(
    board: Board, members: Members, short: Sequence[int], queue: list[tuple[float, int]]
) -> int | None:
    """Take out the candidate with the lowest cost per missing unit that it has, None without."""
    split = board.split if members else 0
    while queue and queue[0][0] < board.ceiling:
        _, n = heappop(queue)
        units = sum(map(min, board.stock[n], short))
        if units:
            cost = (board.fixed[n] + split) / units + board.sites[n].tariff.unit
            if cost < board.ceiling and (not queue or (cost, n) < queue[0]):
                return n
            heappush(queue, (cost, n))
    return None


def local_search(best: Incumbent, alive: Sequence[int]) -> None:
    """Drop, swap and add single locations while that improves the plan, within a bounded effort."""
    skus, left, improved = len(best.board.wants), LOCAL_WORK_MAX, True
    while improved and left > 0:
        improved = False
        for members in _neighbours(best.members, alive):
            left -= 1 + skus * (len(members) + 4) // 8
            improved = best.take(members)
            if improved or left <= 0:
                break


def _neighbours(members: Members, alive: Sequence[int]) -> Iterator[Members]:
    """Yield the plans one step away: one location less, one exchanged, one more."""
    fewer = [members[:i] + members[i + 1 :] for i in range(len(members))]
    if len(members) > 1:
        yield from fewer
    others = [n for n in alive if n not in members]
    for rest in fewer:
        yield from ((*rest, n) for n in others)
    yield from ((*members, n) for n in others)
