"""Money: integers in minor units with their currency; provider forms are translated exactly."""

from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Final

import msgspec

from config.errors import Unreadable
from config.limits import AMOUNT_MINOR_MAX

# ISO 4217: every currency whose exponent is not 2.
_WHOLE = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"}
    | {"UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_THREE_PLACES = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_EXACT: Final = Context(prec=28, traps=[Inexact, InvalidOperation])
"""Digits that would have to be rounded are an error here, never rounded."""


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An amount in minor units of an ISO 4217 currency; may be negative."""

    amount_minor: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        """Add two amounts of one currency; another currency is a defect."""
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
        return Money(self.amount_minor + other.amount_minor, self.currency)


@lru_cache(maxsize=256)
def exponent_of(currency: str) -> int:
    """Return how many decimal places the currency has: 0, 2 or 3."""
    code = currency.upper()
    return 0 if code in _WHOLE else 3 if code in _THREE_PLACES else 2


def currency_code(text: str) -> str:
    """Return the upper-case ISO 4217 code; Unreadable when it is not three letters."""
    if len(text) != 3 or not text.isascii() or not text.isalpha():  # noqa: PLR2004
        raise Unreadable(f"currency {text[:10]!r} is not an ISO 4217 code")
    return text.upper()


def bounded(amount_minor: int) -> int:
    """Return the amount in minor units; Unreadable when it is beyond any real price."""
    if abs(amount_minor) > AMOUNT_MINOR_MAX:
        raise Unreadable("an amount is out of range")
    return amount_minor


def minor_from_decimal(text: str | Decimal, currency: str) -> int:
    """Translate a major-unit decimal ("199.00") exactly into minor units.

    Raises:
        Unreadable: not a finite number, out of range, or finer than the currency's smallest unit.
    """
    try:
        value = Decimal(text)
        if (
            not -AMOUNT_MINOR_MAX <= value <= AMOUNT_MINOR_MAX
        ):  # first: it may have a million digits
            raise Unreadable("an amount is out of range")
        scaled = _EXACT.scaleb(value, exponent_of(currency))
        whole = int(_EXACT.to_integral_exact(scaled))
    except Inexact as error:
        raise Unreadable(f"an amount is finer than the smallest unit of {currency}") from error
    except (InvalidOperation, ValueError, TypeError) as error:
        raise Unreadable("an amount is not a number") from error
    return bounded(whole)


def split(amount_minor: int, weights: list[int]) -> list[int]:
    """Split an amount by weights so that the parts add up to the whole (largest remainder).

    Weights are not negative; when all are zero, the first part takes everything. A tie goes to the
    earlier part. An empty list of weights is a defect.
    """
    total = sum(weights)
    if total == 0:
        return [amount_minor] + [0] * (len(weights) - 1)
    sign = -1 if amount_minor < 0 else 1
    whole = abs(amount_minor)
    parts = [whole * weight // total for weight in weights]
    rest = whole - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(whole * weights[i] % total), i))
    for index in by_remainder[:rest]:
        parts[index] += 1
    return [sign * part for part in parts]
