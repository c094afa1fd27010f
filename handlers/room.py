"""How many messages may be under way at once, so that each has its answer in time."""

from typing import Final

from config.limits import ROOM_MESSAGES_MIN, ROOM_RECOVERY_S

_SHRINK_MOST: Final = 0.5
_GROWTH_MOST: Final = 1 / 16
_GROWTH_OF_ANSWER: Final = 1 / 8
_PAUSE_MAX_S: Final = 300.0
_INSTANT_S: Final = 0.001


class Room:
    """A bound on what is under way that learns from how long answers took.

    Who came while so many were under way and was answered too late tells how many would have been in
    time (Little's law, 1961); answers in time while somebody was refused make room for a few more. Slow
    up and fast down, as TCP finds its window (Chiu and Jain, 1989): it grows by an eighth at most in the
    time that answers take by now, before which nobody can tell what that did, and shrinks once for all
    who came before it shrank. What a slow minute took away comes back in about as long.
    """

    def __init__(self, most: int, answer_s: float) -> None:
        """Make room for `most` at first, and never for more; answers shall take `answer_s` at most."""
        self._most = most
        self._answer_s = answer_s
        self._bound = float(most)
        self._refused = False
        self._shrank_at = self._learned_at = 0.0

    @property
    def bound(self) -> int:
        """Return how many may be under way at once."""
        return int(self._bound)

    def has(self, under_way: int) -> bool:
        """Tell whether one more may come to those that are under way."""
        if under_way >= self.bound:
            self._refused = True
            return False
        return True

    def learn(self, came: float, answered: float, among: int) -> None:
        """Hear of a batch: when its first message came, when it is answered, and among how many.

        Times are monotonic seconds; the number is of all who were under way when its last message came.
        """
        took_s, since_s = answered - came, answered - self._learned_at
        if took_s <= self._answer_s:
            self._grow(since_s, took_s)
        elif came >= self._shrank_at and among > ROOM_MESSAGES_MIN:
            in_time = among * max(self._answer_s / took_s, _SHRINK_MOST)
            self._bound = max(ROOM_MESSAGES_MIN, min(self._bound, in_time))
            self._shrank_at = answered
        self._learned_at, self._refused = answered, False

    def _grow(self, since_s: float, took_s: float) -> None:
        if self._refused:
            answers = since_s / max(took_s, _INSTANT_S)
            share = min(_GROWTH_MOST, answers * _GROWTH_OF_ANSWER)
            grown = self._bound * (1 + share) + share
        else:
            grown = self._bound * 2 ** (min(since_s, _PAUSE_MAX_S) / ROOM_RECOVERY_S)
        self._bound = min(self._most, grown)
