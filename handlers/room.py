"""How many messages may be under way at once, so that each has its answer in time."""

from typing import Final

LEAST: Final = 32
"""So many are always taken: their number is not what makes them late."""
_SHRINK_MOST: Final = 0.5
_GROWTH: Final = 1 / 16
_RECOVERY_S: Final = 10.0
"""In which time room that nobody was refused for doubles."""
_IDLE_MAX_S: Final = 300.0


class Room:
    """A bound on what is under way that learns from how long answers took.

    Additive increase and multiplicative decrease, as TCP finds its window (Chiu and Jain, 1989): an
    answer that came too late makes room for fewer, in proportion, and once for all who came before
    it shrank; answers in time while somebody was refused make room for a few more. What a slow hour
    took away comes back within a minute. A time and no number is what senders know (RFC 8289 on queues).
    """

    def __init__(self, most: int, answer_s: float) -> None:
        """Make room for `most` at first, and never for more; answers shall take `answer_s` at most."""
        self._most = most
        self._answer_s = answer_s
        self._bound = float(most)
        self._peak = 0
        self._refused = False
        self._shrank_at = self._learned_at = 0.0

    def has(self, under_way: int) -> bool:
        """Tell whether one more may come to those that are under way."""
        if under_way >= int(self._bound):
            self._refused = True
            return False
        self._peak = max(self._peak, under_way + 1)
        return True

    def learn(self, came: float, answered: float, left: int) -> None:
        """Hear of a batch: when its first message came and is answered (seconds), how many are left."""
        took_s = answered - came
        if took_s <= self._answer_s:
            self._grow(answered - self._learned_at)
        elif came >= self._shrank_at and self._peak > LEAST:
            shrink = max(self._answer_s / took_s, _SHRINK_MOST)
            self._bound = max(LEAST, min(self._bound, self._peak) * shrink)
            self._shrank_at = answered
        self._learned_at = answered
        self._peak, self._refused = left, False

    def _grow(self, since_s: float) -> None:
        if self._refused:
            grown = self._bound * (1 + _GROWTH) + 1
        else:
            grown = self._bound * 2 ** (min(since_s, _IDLE_MAX_S) / _RECOVERY_S)
        self._bound = min(self._most, grown)
