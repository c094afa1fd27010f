"""Which role owns the next step of an exception, by its code (design: domain section 4)."""

from typing import Final

_OWNERS: Final = {
    "UNFILLABLE": "merchandising",
    "UNMAPPED_ITEM": "integration",
    "UNMAPPED_PLACE": "integration",
    "OVERSOLD": "inventory",
    "NEGATIVE_ON_HAND": "inventory",
    "STOCK_DIFFERENCE": "inventory",
    "SHORT_PICK": "store lead",
    "REJECTED": "oms",
    "CANCEL_RACE": "support",
    "PAID_AFTER_EXPIRY": "oms",
    "OUT_OF_ORDER": "integration",
    "FETCH_FAILED": "integration",
    "POISON_MESSAGE": "integration",
    "CAPTURE_FAILED": "payments",
    "PAYMENT_DISPUTED": "finance",
}


def owner_of(code: str) -> str:
    """Return the role that owns an exception; a code without an entry is a defect."""
    return _OWNERS[code]
