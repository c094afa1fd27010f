"""One topic's recent past, who watches it, and who waits for its snapshot."""

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from config.limits import BACKLOG_EVENTS_MAX
from gateway.stream.mailbox import Mailbox
from gateway.stream.protocol import Frame
from gateway.stream.topics import Topic

BACKLOG_BYTES_MAX: Final = 512 * 1024


class Past(NamedTuple):
    """An event as it was sent."""

    offset: int
    row_id: str
    frame: Frame


class Channel:
    """The topic's events after `floor`, all of them; older ones need a snapshot."""

    def __init__(self, topic: Topic, offset: int) -> None:
        """Begin with no past at an offset."""
        self.topic = topic
        self.name = str(topic)
        self.live: dict[Mailbox, None] = {}
        self.waiting: dict[Mailbox, None] = {}
        self.loading = False
        self.floor = self.head = offset
        self._past: deque[Past] = deque()
        self._bytes = 0

    @property
    def idle(self) -> bool:
        """Return whether nobody watches."""
        return not (self.live or self.waiting or self.loading)

    def publish(self, past: Past) -> None:
        """Keep an event and give it to everybody who is up to date."""
        self.head = past.offset
        self._past.append(past)
        self._bytes += len(past.frame.wire)
        while len(self._past) > BACKLOG_EVENTS_MAX or self._bytes > BACKLOG_BYTES_MAX:
            oldest = self._past.popleft()
            self.floor = oldest.offset
            self._bytes -= len(oldest.frame.wire)
        for mailbox in self.live:
            mailbox.put(self.name, past.row_id, past.frame)

    def covers(self, offset: int) -> bool:
        """Return whether everything after an offset is still here."""
        return offset >= self.floor

    def start(self, mailboxes: Iterable[Mailbox], first: Frame, offset: int) -> None:
        """Send a first frame and all events after its offset, then everything that comes."""
        later = [past for past in self._past if past.offset > offset]
        for mailbox in mailboxes:
            mailbox.begin(self.name, first)
            for past in later:
                mailbox.put(self.name, past.row_id, past.frame)
            self.live[mailbox] = None

    def restart(self, offset: int) -> None:
        """Forget the past; everybody waits for a snapshot."""
        self._past.clear()
        self._bytes = 0
        self.floor = self.head = offset
        self.waiting |= self.live
        self.live.clear()

    def leave(self, mailbox: Mailbox) -> None:
        """Send nothing more to a mailbox."""
        self.live.pop(mailbox, None)
        self.waiting.pop(mailbox, None)
