"""Events of a realistic size for the relay's benchmark, committed as one transaction does it."""

import itertools
from typing import Final

import msgspec

from config.clock import SystemClock, to_ms, to_us
from config.ids import EventId, IdFactory
from config.limits import PARTITIONS
from outbox.event import Event
from outbox.statements import insert_events
from store.engine import Database

_IDS, _CLOCK = IdFactory(), SystemClock()
_KEYS: Final = 500
_LINES: Final = [
    {
        "id": f"line-{number}",
        "sku": f"SKU-{number:04d}",
        "title": f"Article {number}, as it stands on the shelf",
        "quantity": 1,
        "allocated": 1,
        "unit_price_minor": 1999,
        "location": "W-001",
    }
    for number in range(9)
]
_versions = itertools.count(1)


def sample_events(count: int) -> list[Event]:
    """Return events of 500 orders in turn, 1.5 KB each."""
    now = _CLOCK.now()
    return [_event(number % _KEYS, to_ms(now), to_us(now)) for number in range(count)]


def _event(key: int, at_ms: int, at_us: int) -> Event:
    name, version = f"order-{key:04d}", next(_versions)
    row = {"id": name, "version": version, "state": "routed", "lines": _LINES}
    return Event(
        id=EventId(_IDS.new(at_ms)),
        entity="order",
        name="changed",
        key=name,
        ordering_key=name,
        version=version,
        at_us=at_us,
        data=msgspec.json.encode(row),
    )


async def commit(url: str, events: list[Event]) -> None:
    """Write events in one transaction, and checkpoint as a gateway does."""
    database = Database(url, checkpoints=True)
    try:
        async with database.write() as connection:
            await insert_events(connection, events, PARTITIONS)
    finally:
        await database.close()
