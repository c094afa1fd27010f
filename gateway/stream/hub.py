"""The hub of a process: reads the stream once; every screen sees its topics without a gap."""

import asyncio
import random
from contextlib import suppress
from datetime import datetime, timedelta
from typing import assert_never

from config.clock import Clock, iso
from config.errors import EngineDown, Overloaded, Unavailable, Unreadable
from config.limits import SESSIONS_MAX
from config.log import get_log
from gateway.stream.channel import Channel, Past
from gateway.stream.channels import Channels
from gateway.stream.freshness import Freshness
from gateway.stream.loader import Loader
from gateway.stream.mailbox import Mailbox
from gateway.stream.pace import Pace
from gateway.stream.ports import Snapshots
from gateway.stream.protocol import (
    RESTART_RETRY_MS_MAX,
    Code,
    Cursor,
    EventFrame,
    Frame,
    Ping,
    Resumed,
    Welcome,
    bye,
    epoch_of,
    frame_of,
)
from gateway.stream.topics import Topic, change_of, topic_of
from outbox.ports import (
    Connected,
    Delivered,
    Disconnected,
    Restarted,
    StreamPosition,
    Subscriber,
)


class Hub:
    """One per process, on one event loop; `run` works, everything else is called by sessions."""

    def __init__(
        self,
        subscriber: Subscriber,
        snapshots: Snapshots,
        incarnation: str,
        clock: Clock,
        *,
        pace: Pace | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Read for ever once `run` is called; `incarnation` names the database."""
        self.pace = pace or Pace()
        self._subscriber = subscriber
        self._snapshots = snapshots
        self._incarnation = incarnation
        self._clock = clock
        self._chance = chance or random.SystemRandom()
        self._log = get_log("gateway.stream")
        self._created: str | None = None
        self._begun = 0
        self._epoch = epoch_of(StreamPosition("", 0), incarnation)
        self._at = 0
        self._freshness = Freshness(clock)
        self._told_stale = True
        self._channels = Channels()
        self._mailboxes: dict[Mailbox, None] = {}
        self._loader = Loader(snapshots, self._place, retry_s=self.pace.retry_s)
        self._loader.lost = self._database_lost
        self._loader.done = self._channels.cool
        self._closing = False
        self._watched = asyncio.Event()
        self._empty = asyncio.Event()

    @property
    def stale_since(self) -> datetime | None:
        """Return since when nothing new can reach a screen; None while it is live."""
        return self._freshness.stale_since

    @property
    def sessions(self) -> int:
        """Return how many clients are connected."""
        return len(self._mailboxes)

    @property
    def token_ids(self) -> set[str]:
        """Return whose sessions are open."""
        return {mailbox.token_id for mailbox in self._mailboxes if not mailbox.bye}

    async def run(self) -> None:
        """Read, load, ping and watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(), name="hub.read")
            group.create_task(self._tick(), name="hub.tick")
            group.create_task(self._watch(), name="hub.watch")
            group.create_task(self._loader.run(), name="hub.load")

    # Sessions

    def check_room(self) -> None:
        """Raise Overloaded when nobody more can join."""
        if self._closing or len(self._mailboxes) >= SESSIONS_MAX:
            raise Overloaded("there is no room for another stream here")

    def join(self, token_id: str, *, pongs: bool = True) -> Mailbox:
        """Open a session and welcome it; Overloaded when there are too many, or while closing."""
        self.check_room()
        mailbox = Mailbox(token_id, self._clock.monotonic, pongs=pongs)
        self._mailboxes[mailbox] = None
        self._watched.set()
        name = f"{self._chance.getrandbits(64):016x}"
        now = iso(self._clock.now())
        mailbox.say(frame_of(Welcome(name, self.pace.ping_s, now)))
        mailbox.ping_due += self.pace.ping_s * self._chance.random()
        if self.stale_since:
            mailbox.say(self._ping(()))
        return mailbox

    def leave(self, mailbox: Mailbox) -> None:
        """End a session; doing it twice is safe."""
        for name in list(mailbox.topics):
            self.unsubscribe(mailbox, name)
        self._mailboxes.pop(mailbox, None)
        if not self._mailboxes:
            self._empty.set()

    def subscribe(self, mailbox: Mailbox, topic: Topic, since: Cursor | None = None) -> None:
        """Resume a topic after a cursor, when that can be done whole, or send its snapshot."""
        channel = self._channels.open(topic, self._at)
        channel.leave(mailbox)
        mailbox.topics[channel.name] = None
        if since and self._resumable(channel, since):
            first = frame_of(Resumed(channel.name, str(since)))
            channel.start([mailbox], first, since.offset)
            return
        mailbox.forget(channel.name)
        channel.waiting[mailbox] = None
        self._loader.soon(channel)

    def unsubscribe(self, mailbox: Mailbox, name: str) -> None:
        """Send nothing more of a topic."""
        mailbox.topics.pop(name, None)
        mailbox.forget(name)
        if channel := self._channels.find(name):
            channel.leave(mailbox)
            self._channels.cool(channel)

    def close_sessions(self, token_id: str) -> int:
        """Close the sessions of a revoked token; return how many there were."""
        mine = [mailbox for mailbox in self._mailboxes if mailbox.token_id == token_id]
        for mailbox in mine:
            mailbox.close(bye(Code.UNAUTHENTICATED, "revoked"))
        return len(mine)

    async def shutdown(self) -> None:
        """Send everybody away, spread over some seconds, and wait a little until they have gone.

        Call it before the server closes its connections; `run` must still be running.
        """
        self._closing = True
        self._empty.clear()
        for mailbox in self._mailboxes:
            retry_ms = int(self._chance.uniform(0, RESTART_RETRY_MS_MAX))
            mailbox.close(bye(Code.RESTART, "restart", retry_ms))
        if self._mailboxes:
            try:
                async with asyncio.timeout(self.pace.grace_s):
                    await self._empty.wait()
            except TimeoutError:
                self._log.warning("stream.left_behind", sessions=len(self._mailboxes))

    def _place(self) -> Cursor:
        """Return up to where the stream was read."""
        return Cursor(self._epoch, self._at)

    def _resumable(self, channel: Channel, since: Cursor) -> bool:
        # A cursor beyond our own place comes from a process that is ahead of us: a snapshot is
        # whole in any case.
        return (
            since.epoch == self._epoch and channel.covers(since.offset) and since.offset <= self._at
        )

    # The stream

    async def _read(self) -> None:
        while True:
            try:
                await self._follow()
                await self._read_on()
            except Unavailable as error:
                self._lost(error.detail)
                await asyncio.sleep(self.pace.retry_s)

    async def _follow(self) -> None:
        """Know the stream's end; read nothing for as long as nobody has ever watched anything."""
        self._found(await self._subscriber.position())
        while not self._watched.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self.pace.retry_s):
                    await self._watched.wait()
            self._skip_to(await self._subscriber.position())

    async def _read_on(self) -> None:
        after = StreamPosition(self._created or "", self._at)
        async for item in self._subscriber.read(after):
            self._take(item)
        raise EngineDown("the stream ended")

    def _skip_to(self, end: StreamPosition) -> None:
        """Pass over events that nobody has watched; who came meanwhile begins with a snapshot here."""
        if end.created == self._created and end.last_sequence < self._at:
            self._begin(end)
            return
        self._found(end)
        if end.last_sequence > self._at:
            self._at = end.last_sequence
            for channel in self._channels:
                self._reload(channel)

    def _take(self, item: Delivered | Disconnected | Restarted | Connected) -> None:
        match item:
            case Delivered():
                self._deliver(item)
            case Disconnected(reason=reason):
                self._lost(reason)
            case Restarted(position=position):
                self._begin(position)
            case Connected(position=position):
                self._found(position)
            case _:
                assert_never(item)

    def _deliver(self, event: Delivered) -> None:
        if event.sequence <= self._at:
            return
        self._at = event.sequence
        topic = topic_of(event.subject)
        channel = self._channels.find(str(topic)) if topic else None
        if not channel:
            return
        try:
            change = change_of(channel.topic, event)
        except Unreadable as error:
            # A defect of ours. Dropping the event would leave a gap: read the rows again.
            self._log.error("stream.unreadable_event", event_id=event.id, detail=error.detail)
            self._reload(channel)
            return
        cursor = str(Cursor(self._epoch, event.sequence))
        frame = frame_of(EventFrame(channel.name, cursor, change.op, change.row))
        channel.publish(Past(event.sequence, change.row_id, frame))

    def _found(self, position: StreamPosition) -> None:
        if position.created != self._created:
            self._begin(position)
        self._freshness.stream_read()
        self._tell()

    def _lost(self, reason: str) -> None:
        self._log.warning("stream.disconnected", reason=reason)
        self._freshness.stream_lost()
        self._tell()

    def _begin(self, position: StreamPosition) -> None:
        """Go on from another stream: nothing from before can be resumed.

        A stream may come back shortened under its old identity; that is another epoch as well.
        """
        self._begun = self._begun + 1 if position.created == self._created else 0
        self._created = position.created
        again = f"\n{self._begun}" if self._begun else ""
        self._epoch = epoch_of(position, self._incarnation + again)
        self._at = position.last_sequence
        for channel in self._channels:
            self._reload(channel)
        self._freshness.stream_read()
        self._tell()

    def _reload(self, channel: Channel) -> None:
        channel.restart(self._at)
        self._loader.soon(channel)

    # Heartbeats

    async def _watch(self) -> None:
        """Find out whether what is committed also leaves: else the screens are old, and say so."""
        while True:
            try:
                since = await self._snapshots.behind_since()
                lag = timedelta(seconds=self.pace.lag_s)
                late = since is not None and self._clock.now() - since > lag
                self._freshness.waiting_since(since if late else None)
                self._tell()
            except Unavailable:
                self._database_lost()
            await asyncio.sleep(self.pace.watch_s)

    def _database_lost(self) -> None:
        self._freshness.database_lost()
        self._tell()

    def _tell(self) -> None:
        """Tell everybody at once when staleness begins or ends."""
        stale = self.stale_since is not None
        if stale != self._told_stale:
            self._told_stale = stale
            self._log.info("stream.stale" if stale else "stream.live")
            self._ping_each(list(self._mailboxes))

    async def _tick(self) -> None:
        while True:
            now = self._clock.monotonic()
            due = [mailbox for mailbox in self._mailboxes if mailbox.attend(now, self.pace)]
            self._ping_each(due)
            await asyncio.sleep(self.pace.tick_s)

    def _ping_each(self, mailboxes: list[Mailbox]) -> None:
        """Send pings, encoded once for all who watch the same topics."""
        frames: dict[tuple[str, ...], Frame] = {}
        for mailbox in mailboxes:
            names = tuple(mailbox.topics)
            if names not in frames:
                frames[names] = self._ping(names)
            mailbox.say(frames[names])

    def _ping(self, names: tuple[str, ...]) -> Frame:
        found = filter(None, map(self._channels.find, names))
        heads = {channel.name: str(Cursor(self._epoch, channel.head)) for channel in found}
        since = self.stale_since
        return frame_of(Ping(iso(self._clock.now()), heads, iso(since) if since else None))
