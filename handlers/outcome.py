"""What applying one command came to."""

from config.ids import OrderId
from handlers.message import OutcomeName

Applied = tuple[OutcomeName, OrderId | None, str]
"""Outcome, the order concerned, and a reason for people."""

_RANK: tuple[OutcomeName, ...] = ("ignored", "applied", "accepted", "parked", "quarantined")


def together(results: list[Applied]) -> Applied:
    """Return what several commands of one message came to: the weightiest outcome, all reasons."""
    names = [result[0] for result in results]
    name: OutcomeName = max(names, key=_RANK.index) if names else "ignored"
    order_id = next((result[1] for result in results if result[1]), None)
    reasons = dict.fromkeys(result[2] for result in results if result[2])
    return name, order_id, "; ".join(reasons)[:500]
