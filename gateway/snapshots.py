"""What a screen sees first: the rows of a topic, read from SQL."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from config.clock import from_us
from config.ids import LocationId, OrderId
from gateway.stream.topics import Topic
from store.readers import Reader


class SqlSnapshots:
    """Implements `gateway.stream.ports.Snapshots`."""

    def __init__(self, reader: Reader) -> None:
        """Take where the rows are read."""
        self._reader = reader

    async def rows(self, topic: Topic) -> Sequence[bytes | msgspec.Raw]:
        """Return the JSON of every row that the topic shows now."""
        if topic.kind == "board":
            return await self._reader.board(LocationId(topic.key))
        document = await self._reader.order_document(OrderId(topic.key))
        return [document] if document else []

    async def behind_since(self) -> datetime | None:
        """Return when the oldest event that still waits for the relay was committed."""
        oldest = (await self._reader.backlog()).oldest_us
        return from_us(oldest) if oldest is not None else None
