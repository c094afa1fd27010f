"""The subscriber on NATS: reads the events in order over every loss of the connection."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from config.errors import EngineDown, Unavailable
from outbox.event import STREAM
from outbox.nats_connection import ApiError, NatsConnection
from outbox.nats_consumer import Consumer
from outbox.ports import Connected, Delivered, Disconnected, Restarted, StreamPosition
from outbox.stream import StreamInfo

RETRY_S: Final = 0.25


class NatsSubscriber:
    """Implements `outbox.ports.Subscriber`; one reading at a time.

    The library's own ordered consumer is not used: after a restart of the server it came back
    late, and after a restart without data never.
    """

    def __init__(self, servers: Sequence[str], *, name: str = "imv-subscriber") -> None:
        """Take the servers' addresses; connects when it is first needed."""
        self._awake = asyncio.Event()
        self._connection = NatsConnection(servers, name, on_change=self._awake.set)

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        await self._connection.close()

    @property
    def is_up(self) -> bool:
        """Whether the connection stands; a dead peer that still holds its socket is not noticed."""
        return self._connection.is_up

    async def fill(self) -> float:
        """Return which share of the stream's room is used, 0 where it has no bound; as `position`."""
        info = await self._info()
        return info.state.bytes / info.config.max_bytes if info.config.max_bytes > 0 else 0.0

    async def position(self) -> StreamPosition:
        """Return the stream's identity and end; EngineDown when NATS or the stream is not there."""
        info = await self._info()
        return StreamPosition(info.created, info.state.last_seq)

    async def read(
        self, after: StreamPosition
    ) -> AsyncGenerator[Delivered | Disconnected | Restarted | Connected]:
        """Yield every event after the position, and what happens to the connection; see the port.

        `Connected` (or `Restarted`) comes before the first event and after each `Disconnected`; its
        position is the one after which the events that follow stand.
        """
        told: bool | None = None  # whether the reader knows that we are connected
        while True:
            try:
                consumer, position = await self._resume(after)
            except Unavailable as error:
                if told is not False:
                    yield Disconnected(str(error))
                    told = False
                await asyncio.sleep(RETRY_S)
                continue
            async with aclosing(consumer):
                if position != after:
                    yield Restarted(position)
                elif not told:
                    yield Connected(position)
                after, told = position, True
                async with aclosing(consumer.events()) as events:
                    async for event in events:
                        after = StreamPosition(after.created, event.sequence)
                        yield event
            # After a mere gap a new consumer reads on from there, and nobody needs to know.
            if consumer.lost:
                yield Disconnected(consumer.lost)
                told = False

    async def _resume(self, after: StreamPosition) -> tuple[Consumer, StreamPosition]:
        """Make a consumer after the position, or else after the end of another stream.

        The stream is asked for its identity after the consumer was made: if it is still the one
        that we know, the consumer is on it; before that, it might be replaced in between.
        """
        consumer, info = await self._consumer(after)
        if _continues(info, after):
            return consumer, after
        await consumer.aclose()
        end = StreamPosition(info.created, info.state.last_seq)
        consumer, info = await self._consumer(end)
        if _continues(info, end):
            return consumer, end
        await consumer.aclose()
        raise EngineDown("the stream is being replaced")

    async def _consumer(self, after: StreamPosition) -> tuple[Consumer, StreamInfo]:
        consumer = await Consumer.open(self._connection, self._awake, after.last_sequence + 1)
        try:
            return consumer, await self._info()
        except BaseException:
            await consumer.aclose()
            raise

    async def _info(self) -> StreamInfo:
        info = await self._connection.api(f"STREAM.INFO.{STREAM}", None, StreamInfo)
        if isinstance(info, ApiError):
            raise EngineDown(f"JetStream: {info.description}")
        return info


def _continues(info: StreamInfo, after: StreamPosition) -> bool:
    """Whether this is the stream that was read, and nothing after the position has expired."""
    next_sequence = after.last_sequence + 1
    return (
        info.created == after.created
        and info.state.first_seq <= next_sequence
        and info.state.last_seq >= after.last_sequence
    )
