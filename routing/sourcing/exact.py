"""Step 3: exact enumeration of location sets with bounds, work counted and limited."""

from typing import NamedTuple

from routing.sourcing.board import Members
from routing.sourcing.bounds import Bounds
from routing.sourcing.incumbent import Incumbent


class Node(NamedTuple):
    """A set to grow: what it lacks, who may join (bit masks), and its two lower bounds.

    `low` is the dual bound, `plain` openings, splits and the floor of unit costs.
    """

    members: Members
    missing: int
    allowed: int
    low: int
    plain: int


class Enumeration:
    """Every set of survivors that could beat the incumbent, by depth-first search.

    A set that still lacks units of a needed SKU grows only by holders of the rarest such SKU (after
    Land and Doig 1960; the branching is the usual one for set covering); locations tried before are
    forbidden later, so each set is met once. Sets are bit masks over `Bounds.order`.

    `work_left` counts down: by one for each set looked at, by more for pricing it in full (members
    and SKUs weigh), so that a unit is a few microseconds everywhere.
    """

    def __init__(self, best: Incumbent, bounds: Bounds, work_left: int) -> None:
        """Prepare the masks: who holds and who covers which needed SKU."""
        board = best.board
        self.best, self._board, self._bounds = best, board, bounds
        self.work_left = work_left
        self._limit = 0
        self._thrift = board.split + min([board.fixed[n] for n in bounds.order], default=0)
        self._need = bounds.need
        self._units = {n: [x.units for x in board.row(n)] for n in bounds.order}
        rows = list(self._units.values())
        self._holders = [
            sum(1 << i for i, row in enumerate(rows) if row[s]) for s in range(len(board.wants))
        ]
        self._covers = [
            sum(1 << s for s, need in enumerate(self._need) if row[s] >= need) for row in rows
        ]
        self._partial = sum(
            1 << s for s, need in enumerate(self._need) if any(0 < row[s] < need for row in rows)
        )

    def run(self, limit: int) -> bool:
        """Look at all sets up to `limit` locations; False when the work ran out first."""
        self._limit = limit
        missing = sum(1 << s for s, need in enumerate(self._need) if need)
        everyone = (1 << len(self._bounds.order)) - 1
        start = self._bounds.floor - self._board.split
        self._grow(Node((), missing, everyone, self._bounds.base, start))
        return self.work_left >= 0

    def _grow(self, node: Node) -> None:
        """Try every allowed location as the next member."""
        members, missing, allowed, low_before, plain_before = node
        best, bounds, fixed = self.best, self._bounds, self._board.fixed
        size, skus = len(members) + 1, len(self._need)
        pool = self._pool(missing, allowed, last=size == self._limit)
        while pool:
            bit = pool & -pool
            pool ^= bit
            allowed ^= bit
            i = bit.bit_length() - 1
            n = bounds.order[i]
            low = low_before + bounds.rho[i]
            self.work_left -= 1 + size // 4
            if (
                self.work_left < 0
                or low > best.total
                or (low == best.total and size > best.parcels)
            ):
                return
            plain = plain_before + fixed[n] + self._board.split
            if plain > best.total or (plain == best.total and size > best.parcels):
                continue
            grown = (*members, n)
            lacking = self._lacking(grown, missing & ~self._covers[i])
            if not lacking:
                self.work_left -= skus * (size + 4) // 8
                best.take(grown)
            if size < self._limit and plain + self._thrift <= best.total:
                self._grow(Node(grown, lacking, allowed, low, plain))

    def _pool(self, missing: int, allowed: int, *, last: bool) -> int:
        """Return who may come next: holders of the rarest missing SKU; of all, for the last one."""
        while missing:
            bit = missing & -missing
            allowed &= self._holders[bit.bit_length() - 1]
            missing = missing ^ bit if last else 0
        return allowed

    def _lacking(self, members: Members, missing: int) -> int:
        """Take out of `missing` the SKUs that the members cover together."""
        together = missing & self._partial
        while together:
            bit = together & -together
            together ^= bit
            s = bit.bit_length() - 1
            if sum([self._units[n][s] for n in members]) >= self._need[s]:
                missing ^= bit
        return missing
