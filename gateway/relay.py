"""The relay's own composition: alone (`imv relay`), inside a command, or as a child of `imv up`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from config.clock import SystemClock
from config.ids import IdFactory
from outbox.nats_publisher import NatsPublisher
from outbox.relay import Relay
from outbox.stream import StreamOptions
from store.engine import Database


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a relay needs to know.

    `partitions` is None for as many as the database began with; `store_bytes` is what the broker may
    store, 0 where we do not know.
    """

    database: str
    nats: tuple[str, ...]
    partitions: int | None = None
    store_bytes: int = 0


@asynccontextmanager
async def open_relay(settings: RelaySettings) -> AsyncIterator[Relay]:
    """Build a relay with connections of its own; its `run` works until it is cancelled."""
    database = Database(settings.database)
    publisher = NatsPublisher(
        settings.nats, options=StreamOptions(store_bytes=settings.store_bytes)
    )
    try:
        yield Relay(
            database, publisher, SystemClock(), ids=IdFactory(), partitions=settings.partitions
        )
    finally:
        await publisher.close()
        await database.close()
