"""What all translations share: exact money, clipped words, one last check of the commands."""

import hashlib
import re
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from config.errors import Unreadable
from config.limits import QUANTITY_MAX
from config.money import minor_from_decimal, split
from handlers.commands import Command, Ignore, Suspect
from handlers.sources.channel import Decoded

WholeId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A platform's numeric id; bounded, so that turning it into text is always cheap."""

_TEXT_MAX = 500
_KEY_MAX = 200
_LABEL_MAX = 40
_WHOLE = re.compile(r"(-?[0-9]{1,18})(?:\.0{0,10})?")
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(tuple[Command, ...])


def decoded(key: str, topic: str, *commands: Command) -> Decoded:
    """Build the result after holding the commands to their own schema.

    Struct constructors check nothing, so what senders wrote passes the schema once here, as JSON.

    Raises:
        Unreadable: a value breaks the canonical bounds; the path says which.
    """
    try:
        raw = _ENCODER.encode(commands)
        checked = _DECODER.decode(raw)
        key.encode()
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError) as error:
        raise Unreadable(f"commands: {str(error)[:200]}") from error
    # PostgreSQL keeps no NUL in a text; refused here, it names the message and not the database.
    if b"\\u0000" in raw or "\0" in key:
        raise Unreadable("a text holds a NUL character")
    if len(key) > _KEY_MAX:
        key = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    return Decoded(key=key, topic=clipped(topic, _KEY_MAX), commands=checked)


def repeatable(message: Decoded, *content: bytes) -> Decoded:
    """Return the message recognised again by this content; the rest differs in each delivery."""
    fingerprint = hashlib.sha256(b"\x00".join((message.topic.encode(), *content))).digest()
    return msgspec.structs.replace(message, fingerprint=fingerprint)


def read_members(body: bytes) -> dict[str, Any]:
    """Decode a JSON object whose members are not known beforehand; else Unreadable."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"body: {str(error)[:200] or 'nested too deeply'}") from error


def digest_key(topic: str, body: bytes) -> str:
    """Return the key of last resort, for senders that name no event: the content itself."""
    return "sha256:" + hashlib.sha256(topic.encode(errors="replace") + b"\n" + body).hexdigest()


def clipped(text: str | None, limit: int = _TEXT_MAX) -> str:
    """Return a text for people without control characters, cut to the canonical length."""
    if not text:
        return ""
    if len(text) > limit or not text.isprintable():
        return "".join(c for c in text[: 2 * limit] if c.isprintable())[:limit]
    return text


def ignored(reason: str) -> Ignore:
    """Say that a message was understood and holds nothing for us."""
    return Ignore(reason=clipped(reason))


def suspected(reason: str) -> Suspect:
    """Say that a genuine message was not understood."""
    return Suspect(reason=clipped(reason))


def label(first: str | None, last: str | None) -> str:
    """Return a first name and an initial at most: all of a customer that staff screens need."""
    given, family = clipped(first).strip(), clipped(last).strip()
    initial = f" {family[0]}." if family else ""
    return (given[: _LABEL_MAX - len(initial)] + initial).strip()


def label_of(name: str | None) -> str:
    """Return the same from a whole name: its first word and the initial of its last."""
    words = clipped(name).split()
    return label(words[0], words[-1] if len(words) > 1 else "") if words else ""


def minor(value: Decimal | None, currency: str) -> int:
    """Translate a decimal into minor units exactly; None is nothing. Errors as `minor_from_decimal`."""
    return 0 if value is None else minor_from_decimal(value, currency)


def whole(text: str) -> int:
    """Translate a decimal text into whole units; we keep no goods that are sold by weight."""
    match = _WHOLE.fullmatch(text)
    if not match:
        raise Unreadable(f"quantity {text[:20]!r} is not whole; goods sold by weight are not kept")
    return int(match[1])


def per_unit(cost: int, quantity: int) -> tuple[int, int]:
    """Split a line's cost into a unit price and a discount, with unit x quantity - discount = cost.

    Where the cost does not divide, the unit price is rounded up and the few units that are then too
    much become a discount, so that the line's total stays the channel's to the smallest unit.
    """
    if not 0 < quantity <= QUANTITY_MAX:
        return 0, 0
    unit = -(-cost // quantity)
    return unit, unit * quantity - cost


def share(amount: int, part: int, total: int) -> int:
    """Return the part's share of an amount that was given for the total, by largest remainder."""
    if part >= total or total <= 0:
        return amount
    return split(amount, [max(part, 0), total - max(part, 0)])[0]
