"""The channels of all topics that are watched, or were a moment ago."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from gateway.stream.channel import Channel
from gateway.stream.topics import Topic

CHANNELS_COLD_MAX: Final = 64


class Channels:
    """Keeps the past of what nobody watches for a while, so that a reconnect can resume."""

    def __init__(self) -> None:
        """Begin with none."""
        self._all: dict[str, Channel] = {}
        self._cold: OrderedDict[str, None] = OrderedDict()

    def __iter__(self) -> Iterator[Channel]:
        """Go through all of them."""
        return iter(self._all.values())

    def find(self, name: str) -> Channel | None:
        """Return a topic's channel, if it has one."""
        return self._all.get(name)

    def open(self, topic: Topic, offset: int) -> Channel:
        """Return a topic's channel to somebody who comes; a new one begins at the offset."""
        name = str(topic)
        self._cold.pop(name, None)
        if name not in self._all:
            self._all[name] = Channel(topic, offset)
        return self._all[name]

    def cool(self, channel: Channel) -> None:
        """Look whether anybody still watches; of the unwatched, the oldest go."""
        if not channel.idle or channel.name in self._cold:
            return
        self._cold[channel.name] = None
        if len(self._cold) > CHANNELS_COLD_MAX:
            del self._all[self._cold.popitem(last=False)[0]]
