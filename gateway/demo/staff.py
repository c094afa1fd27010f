"""Store staff: they look at their boards and move one card after the other on."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final, Protocol

import msgspec

from config.ids import FulfilmentId, LocationId
from gateway.api.fulfilments import Act
from handlers.actions import FulfilmentAction, ShortUnits
from store.records import FulfilmentLine

LOOK_S: Final = 1.0
CROWDED: Final = 13
"""From so many open cards on, a store hurries."""
_HURRY: Final = 3.0
_REJECT: Final = 0.02
_SHORT: Final = 0.005
_NEXT: Final[dict[tuple[str, str], FulfilmentAction]] = {
    ("pickup", "assigned"): "acknowledge",
    ("pickup", "acknowledged"): "start",
    ("pickup", "picking"): "pick",
    ("pickup", "picked"): "stage",
    ("pickup", "staged"): "ready",
    ("pickup", "ready"): "collect",
    ("ship", "assigned"): "acknowledge",
    ("ship", "acknowledged"): "start",
    ("ship", "picking"): "pick",
    ("ship", "picked"): "pack",
    ("ship", "packed"): "hand-off",
}
_DWELL_S: Final = {
    "assigned": 10.0,
    "acknowledged": 9.0,
    "picking": 18.0,
    "picked": 9.0,
    "staged": 10.0,
    "packed": 12.0,
    "ready": 36.0,
}


class Card(msgspec.Struct, frozen=True):
    """What staff read of a fulfilment."""

    id: FulfilmentId
    method: str
    state: str
    version: int
    lines: tuple[FulfilmentLine, ...] = ()


class Mover(Protocol):
    """Where staff press the buttons."""

    async def act(self, fulfilment_id: str, action: FulfilmentAction, act: Act) -> None:
        """Move a fulfilment on."""
        ...


class Staff:
    """Everybody who works at these places."""

    def __init__(
        self,
        places: Sequence[LocationId],
        board: Callable[[LocationId], Awaitable[list[bytes]]],
        mover: Mover,
        chance: Random,
    ) -> None:
        """Take where they work, how they see their board, and what is random."""
        self._places = places
        self._board = board
        self._mover = mover
        self._chance = chance
        self.open: dict[LocationId, int] = {}

    async def look(self) -> float:
        """Go round all places once; return the seconds until the next round."""
        for place in self._places:
            cards = [msgspec.json.decode(row, type=Card) for row in await self._board(place)]
            self.open[place] = len(cards)
            for card in cards:
                if self._is_time(card, crowded=len(cards) > CROWDED):
                    action, act = self._decide(card)
                    await self._mover.act(card.id, action, act)
        return LOOK_S

    def _is_time(self, card: Card, *, crowded: bool) -> bool:
        """Tell whether this card moves in this round: on average after its state's dwell time."""
        if (card.method, card.state) not in _NEXT:
            return False
        dwell_s = _DWELL_S[card.state] / (_HURRY if crowded else 1.0)
        return self._chance.random() < LOOK_S / dwell_s

    def _decide(self, card: Card) -> tuple[FulfilmentAction, Act]:
        """Return the next step; now and then a store cannot fill an order, or finds too little."""
        luck = self._chance.random()
        if card.method == "ship" and card.state == "assigned" and luck < _REJECT:
            return "reject", Act(card.version, reason="too busy to pack")
        if card.state == "picking" and luck < _SHORT and card.lines:
            missing = (ShortUnits(card.lines[0].line_id, 1),)
            return "short", Act(card.version, reason="not on the shelf", lines=missing)
        return _NEXT[card.method, card.state], Act(card.version)
