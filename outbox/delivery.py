"""One stamped batch on its way: published, found in the stream, or lost to another relay."""

import asyncio
from collections.abc import Sequence

from config import crash
from config.clock import Clock
from config.errors import Conflict, Unavailable
from config.log import get_log
from outbox.lease_statements import Lease
from outbox.lookahead import Lookahead
from outbox.message import Batch, Marker, Message, Published
from outbox.partitions import Partitions
from outbox.ports import Publisher, Refused, Stored
from outbox.recovery import Recovery
from outbox.trouble import Trouble, delays, happens


class Delivery:
    """Carries batches over; many may be under way, one of each partition."""

    def __init__(
        self,
        partitions: Partitions,
        publisher: Publisher,
        recovery: Recovery,
        lookahead: Lookahead,
        clock: Clock,
        *,
        stopping: asyncio.Event,
    ) -> None:
        """Take `stopping`, after which a failed attempt is the last one."""
        self._partitions = partitions
        self._publisher = publisher
        self._recovery = recovery
        self._lookahead = lookahead
        self._stopping = stopping
        self._trouble = Trouble(clock, "batch.delayed")
        self._log = get_log("outbox")

    async def deliver(
        self, batch: Batch, messages: Sequence[Message], *, doubt: bool, sent: str = ""
    ) -> Published | None:
        """Try until the stream has the batch; None when it is another relay's, or we stop.

        `doubt`: an earlier attempt may have reached the stream. `sent`: the name under which the
        messages were sent ahead; a second attempt sends them itself.
        """
        for delay in delays():
            if delay and await happens(self._stopping, delay):
                return None
            try:
                outcome = await self._attempt(batch, messages, doubt=doubt, sent=sent)
            except (Unavailable, Conflict) as error:
                if sent:
                    self._lookahead.failed(error)
                else:
                    self._trouble.tell(error)
                doubt, sent = True, ""
                continue
            if not isinstance(outcome, Batch):
                self._trouble.over()
                if sent:
                    self._lookahead.succeeded()
                return outcome
            batch, doubt, sent = outcome, True, ""
        raise AssertionError("delays never end")

    async def _attempt(
        self, batch: Batch, messages: Sequence[Message], *, doubt: bool, sent: str
    ) -> Published | Batch | None:
        """Return a batch, the same or stamped anew, when it has to be tried again."""
        if doubt:
            verdict = await self._judge(batch)
            if not isinstance(verdict, Batch):
                return verdict
            batch = verdict
        match await self._publisher.publish_batch(batch, messages, sent=sent):
            case Stored(sequence):
                crash.here("relay.published")
                return Published(batch, sequence)
            case Refused():
                return await self._judge(batch)

    async def _judge(self, batch: Batch) -> Published | Batch | None:
        """Let the partition's last marker in the stream decide what became of a batch.

        It is ours: published. It is the one we expected: nothing was stored, publish (again); an
        attempt that is still on its way somewhere is then refused, or ours is. It is another one:
        the lease says whether a newer owner wrote it.
        """
        marker = await self._publisher.last_marker(batch.partition)
        crash.here("relay.judged")
        if marker.batch_id == batch.id:
            return Published(batch, marker.sequence)
        if marker.sequence == batch.expected:
            return batch
        return await self._follow(batch, marker)

    async def _follow(self, batch: Batch, marker: Marker) -> Batch | None:
        """Stamp the batch anew behind a marker that we did not expect, if it is still ours.

        While the stamp stands under our epoch no relay of this database can have written that
        marker: whoever takes the lease settles the stamp before it publishes anything else. So the
        stream was made anew (then more than this batch is missing there), its markers have
        expired, or the database is older than the stream (a restored backup). The batch is not
        behind the marker as far as we can know: at least once.
        """
        lease = Lease(batch.partition, batch.epoch, batch.expected, batch)
        if await self._recovery.settles(lease, marker):
            return None
        sequence = marker.sequence
        if not await self._partitions.expect(batch, sequence):
            self._log.warning("lease.lost", partition=batch.partition, batch=batch.id)
            return None
        crash.here("relay.restamped")
        self._log.warning(
            "batch.restamped",
            partition=batch.partition,
            batch=batch.id,
            expected=batch.expected,
            found=sequence,
        )
        return Batch(batch.id, batch.partition, batch.epoch, sequence, batch.positions)
