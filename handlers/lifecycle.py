"""The order's and the fulfilment's state machines, pure: what may follow what, and what it means."""

from typing import Final

import msgspec

from config.errors import InvalidTransition
from config.ids import LineId
from handlers.actions import FulfilmentAction
from store.ports import OrderFile
from store.records import CLOSED_STATES, Fulfilment, FulfilmentState, Method, Order, OrderState

# action: (state it leads to, the event it publishes); reject and short have their own effects.
_EFFECT: Final[dict[FulfilmentAction, tuple[FulfilmentState, str]]] = {
    "acknowledge": ("acknowledged", "acknowledged"),
    "start": ("picking", "picking"),
    "pick": ("picked", "picked"),
    "stage": ("staged", "staged"),
    "ready": ("ready", "ready"),
    "collect": ("collected", "collected"),
    "pack": ("packed", "packed"),
    "hand-off": ("handed_off", "handed_off"),
    "deliver": ("delivered", "delivered"),
    "reject": ("rejected", "rejected"),
}
_BEFORE_HANDOFF: Final = (
    "assigned",
    "acknowledged",
    "picking",
    "picked",
    "packed",
    "staged",
    "ready",
)
_ALLOWED: Final[dict[Method, dict[FulfilmentAction, frozenset[str]]]] = {
    "pickup": {
        "acknowledge": frozenset({"assigned"}),
        "start": frozenset({"acknowledged"}),
        "pick": frozenset({"acknowledged", "picking"}),
        "stage": frozenset({"picked"}),
        "ready": frozenset({"staged"}),
        "collect": frozenset({"ready"}),
        "short": frozenset({"acknowledged", "picking", "picked", "staged"}),
        "reject": frozenset({"assigned", "acknowledged", "picking"}),
    },
    "ship": {
        "acknowledge": frozenset({"assigned"}),
        "start": frozenset({"acknowledged"}),
        "pick": frozenset({"acknowledged", "picking"}),
        "pack": frozenset({"picked"}),
        "hand-off": frozenset({"packed"}),
        "deliver": frozenset({"handed_off", "in_transit"}),
        "short": frozenset({"acknowledged", "picking", "picked"}),
        "reject": frozenset({"assigned", "acknowledged", "picking"}),
    },
    "handed_over": {},
    "digital": {},
}
_UNTOUCHED: Final = frozenset(_BEFORE_HANDOFF[:2])
_WORKING: Final = frozenset(_BEFORE_HANDOFF[2:])
_PICKED: Final = frozenset(_BEFORE_HANDOFF[3:])


def follow(fulfilment: Fulfilment, action: FulfilmentAction) -> tuple[FulfilmentState, str]:
    """Return the state and the event that an action leads to.

    Raises:
        InvalidTransition: this method has no such action, or not from this state; says what may be
            done instead.
    """
    allowed = _ALLOWED[fulfilment.method]
    if fulfilment.state not in allowed.get(action, frozenset()):
        possible = sorted(name for name, states in allowed.items() if fulfilment.state in states)
        raise InvalidTransition(
            f"{action} is not possible for a {fulfilment.method} fulfilment that is "
            f"{fulfilment.state}; possible: {', '.join(possible) or 'nothing'}",
            state=fulfilment.state,
            possible=possible,
        )
    return _EFFECT[action] if action != "short" else (fulfilment.state, "short")


def is_open(fulfilment: Fulfilment) -> bool:
    """Tell whether goods are still with us."""
    return fulfilment.state not in CLOSED_STATES


def cancellable(fulfilment: Fulfilment) -> bool:
    """Tell whether units can still be taken back: anything before the hand-off."""
    return fulfilment.state in _BEFORE_HANDOFF


def progress(fulfilment: Fulfilment) -> int:
    """Return how far the work on a cancellable fulfilment has come, to undo the least of it."""
    return _BEFORE_HANDOFF.index(fulfilment.state)


def untouched(fulfilment: Fulfilment) -> bool:
    """Tell whether nobody has begun to pick."""
    return fulfilment.state in _UNTOUCHED


def is_picked(fulfilment: Fulfilment) -> bool:
    """Tell whether its units are off the shelf, and still with us."""
    return fulfilment.state in _PICKED


def derive_state(file: OrderFile) -> OrderState:  # noqa: PLR0911 - one return for each state
    """Return the header state that lines and fulfilments add up to (design: domain 2.2)."""
    order = file.order
    if order.lines and all(line.cancelled >= line.ordered for line in order.lines):
        return "cancelled"
    handed = sum(line.handed_off for line in order.lines)
    if handed:
        rest = sum(line.open for line in order.lines if line.requires_shipping)
        return "partly_fulfilled" if rest else "fulfilled"
    if any(group.fulfilment.state in _WORKING for group in file.fulfilments):
        return "in_fulfilment"
    if order.hold_reasons:
        return "held"
    if any(is_open(group.fulfilment) for group in file.fulfilments):
        return "routed"
    if any(line.short for line in order.lines):
        return "held"
    return order.state if order.state in {"captured", "held"} else "accepted"


def with_line_changes(order: Order, changes: dict[LineId, dict[str, int]]) -> Order:
    """Return the order with counters of some lines changed by so much."""
    lines = tuple(
        msgspec.structs.replace(
            line, **{name: getattr(line, name) + by for name, by in changes[line.id].items()}
        )
        if line.id in changes
        else line
        for line in order.lines
    )
    return msgspec.structs.replace(order, lines=lines)


def state_event(before: OrderState, after: OrderState) -> str:
    """Return the event of a state that is new; '' where it has none of its own."""
    own = {"cancelled", "fulfilled", "held", "routed"}
    return after if after in own and after != before else ""
