"""Snapshots: one query for everybody who waits for the same topic."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from config import crash
from config.errors import Unavailable
from config.log import get_log
from gateway.stream.channel import Channel
from gateway.stream.ports import Snapshots
from gateway.stream.protocol import Cursor, Snapshot, frame_of

LOADERS: Final = 4


class Loader:
    """Reads the rows of channels that somebody waits for, a few at a time."""

    def __init__(
        self, snapshots: Snapshots, place: Callable[[], Cursor], *, retry_s: float
    ) -> None:
        """Take where rows come from, and how to learn up to where the hub has read."""
        self.lost: Callable[[], None] = lambda: None
        self.done: Callable[[Channel], None] = lambda _: None
        self._snapshots = snapshots
        self._place = place
        self._retry_s = retry_s
        self._queue: asyncio.Queue[Channel] = asyncio.Queue()
        self._log = get_log("gateway.stream")

    def soon(self, channel: Channel) -> None:
        """Load a channel for those who wait, unless that is under way already."""
        if channel.waiting and not channel.loading:
            channel.loading = True
            self._queue.put_nowait(channel)

    async def run(self) -> None:
        """Load until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(LOADERS):
                group.create_task(self._each(), name=f"hub.load-{number}")

    async def _each(self) -> None:
        while True:
            channel = await self._queue.get()
            while channel.waiting:
                await self._load(channel)
            channel.loading = False
            self.done(channel)

    async def _load(self, channel: Channel) -> None:
        """Position first, then the rows from SQL, then the events after the position.

        Rows are committed before their event is published, so what the hub has read up to the
        position is in the rows. Events that come during the query are kept by the channel and sent
        after the snapshot; a row that the query saw already comes again with its version.
        """
        place = self._place()
        crash.here("screen.positioned")
        try:
            rows = await self._snapshots.rows(channel.topic)
        except Unavailable as error:
            self._log.warning("stream.no_snapshot", topic=channel.name, detail=error.detail)
            self.lost()
            await asyncio.sleep(self._retry_s)
            return
        crash.here("screen.read")
        # Race: meanwhile the stream was made anew, or so much happened that the channel no longer
        # holds everything since the position. The caller tries again.
        if place.epoch != self._place().epoch or not channel.covers(place.offset):
            return
        first = frame_of(Snapshot(channel.name, str(place), [msgspec.Raw(row) for row in rows]))
        waiting, channel.waiting = channel.waiting, {}
        channel.start(waiting, first, place.offset)
