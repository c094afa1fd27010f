"""How many messages may be under way at once, so that each has its answer in time."""

from typing import Final

LEAST: Final = 16
"""Below so many a batch costs more than its messages do: nobody would be answered sooner."""
_SHRINK_MOST: Final = 0.5
_GROWTH: Final = 1 / 16


class Room:
    """A bound on what is under way that learns from how long answers took.

    Additive increase and multiplicative decrease, as TCP finds its window (Chiu and Jain, 1989): an
    answer that came too late makes room for fewer, in proportion, and once for all who came before
    it shrank; answers in time while somebody was refused make room for a few more. A time and no
    number is what senders know (RFC 8289 on queues).
    """

    def __init__(self, most: int, answer_s: float) -> None:
        """Make room for `most` at first, and never for more; answers shall take `answer_s` at most."""
        self._most = most
        self._answer_s = answer_s
        self._bound = float(most)
        self._peak = 0
        self._refused = False
        self._shrank_at = 0.0

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
            if self._refused:
                self._bound = min(self._most, self._bound * (1 + _GROWTH) + 1)
        elif came >= self._shrank_at:
            shrink = max(self._answer_s / took_s, _SHRINK_MOST)
            self._bound = max(LEAST, min(self._bound, self._peak) * shrink)
            self._shrank_at = answered
        self._peak, self._refused = left, False
