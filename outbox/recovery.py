"""After a disaster of the broker: what the stream has lost is published again."""

import asyncio
from collections.abc import Callable
from typing import Final

from config import crash
from config.clock import Clock
from config.errors import Conflict, Unavailable
from config.log import get_log
from outbox.lease_statements import Lease
from outbox.message import Marker
from outbox.partitions import Partitions
from outbox.ports import Publisher
from outbox.trouble import Trouble, happens

LOOK_S: Final = 2.0


class Recovery:
    """Looks whether the stream still holds the marker that we know of each of our partitions.

    The stream deletes nothing but what is too old. So where it begins before a marker of ours and
    does not hold it, it is a new stream, or an old state of it: all rows that the outbox keeps of
    that partition go out once more, in order and under their own ids.
    """

    def __init__(
        self, partitions: Partitions, publisher: Publisher, clock: Clock, *, stopping: asyncio.Event
    ) -> None:
        """Take `stopping`, which ends `run`."""
        self._partitions = partitions
        self._publisher = publisher
        self._stopping = stopping
        self._created = ""
        self._sound: set[tuple[int, int]] = set()
        self._trouble = Trouble(clock, "stream.unknown")
        self._log = get_log("outbox")

    async def run(self, notify: Callable[[], None]) -> None:
        """Look again and again, so that it is found out also while nothing is to be published."""
        while not self._stopping.is_set():
            try:
                if await self._look():
                    notify()
            except (Unavailable, Conflict) as error:
                self._trouble.tell(error)
            else:
                self._trouble.over()
            await happens(self._stopping, LOOK_S)

    async def settles(self, lease: Lease, marker: Marker) -> bool:
        """Send a partition again if the stream has lost it, given its last marker there.

        Raises:
            Unavailable: NATS or the database does not answer; nothing is changed.
        """
        if marker.sequence >= lease.marker:
            return False
        extent = await self._publisher.extent()
        if extent.first_sequence > lease.marker:
            return False  # it was too old to be kept
        rows = await self._partitions.send_again(lease, marker.sequence)
        crash.here("relay.put_back")
        if rows is not None:
            self._log.error("stream.lost", partition=lease.partition, rows_sent_again=rows)
        return True

    async def _look(self) -> bool:
        """Return whether anything has to be sent again; each partition is asked for once a stream.

        Where a batch stands stamped, its delivery finds out.
        """
        extent = await self._publisher.extent()
        if extent.created != self._created:
            self._created = extent.created
            self._sound.clear()
        found = False
        for lease in await self._partitions.idle():
            if (lease.partition, lease.epoch) not in self._sound:
                marker = await self._publisher.last_marker(lease.partition)
                found |= await self.settles(lease, marker)
                self._sound.add((lease.partition, lease.epoch))
        return found
