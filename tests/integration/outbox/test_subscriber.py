"""The subscriber reads on without a gap or a repeat, or says that the stream is another one."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from config.errors import EngineDown, Unavailable
from config.ids import IdFactory
from gateway.engines.nats import NatsServer
from outbox.event import STREAM
from outbox.message import Batch, Message
from outbox.nats_connection import NatsConnection
from outbox.nats_consumer import Consumer
from outbox.nats_publisher import NatsPublisher
from outbox.nats_subscriber import NatsSubscriber
from outbox.ports import (
    Connected,
    Delivered,
    Disconnected,
    Restarted,
    Stored,
    StreamPosition,
)
from tests.integration.outbox.relaying import eventually

MakePublisher = Callable[..., NatsPublisher]
MakeSubscriber = Callable[[str], NatsSubscriber]
_IDS = IdFactory()


class Reading:
    """What a reader has been told so far."""

    def __init__(self) -> None:
        self.told: list[Connected | Disconnected | Restarted] = []
        self.ids: list[str] = []
        self.sequences: list[int] = []

    async def run(self, subscriber: NatsSubscriber, after: StreamPosition) -> None:
        async for step in subscriber.read(after):
            if isinstance(step, Delivered):
                self.ids.append(step.id)
                self.sequences.append(step.sequence)
            else:
                self.told.append(step)

    async def until(self, *kinds: type) -> None:
        """Wait until exactly this was told about the connection."""

        async def is_told() -> bool:
            return [type(step) for step in self.told] == list(kinds)

        await eventually(is_told)

    async def until_read(self, count: int) -> None:
        async def is_read() -> bool:
            return len(self.ids) >= count

        await eventually(is_read)


@asynccontextmanager
async def reading(subscriber: NatsSubscriber, after: StreamPosition) -> AsyncIterator[Reading]:
    async with asyncio.TaskGroup() as group:
        result = Reading()
        task = group.create_task(result.run(subscriber, after))
        yield result
        task.cancel()


async def publish(publisher: NatsPublisher, first: int, count: int) -> list[str]:
    """Publish numbered events as one batch; return their ids."""
    ids = [f"e-{number}" for number in range(first, first + count)]
    messages = [Message(f"imv.v1.order.changed.{one}", one, "t", 0, b"{}", "") for one in ids]
    async with asyncio.timeout(20):
        while True:
            try:
                expected = (await publisher.last_marker(0)).sequence
                batch = Batch(_IDS.new(0), 0, 1, expected, (1,))
                assert isinstance(await publisher.publish_batch(batch, messages), Stored)
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                return ids


async def test_it_reads_only_events_and_only_those_after_the_position(
    publisher_of: MakePublisher, subscriber_of: MakeSubscriber, nats_url: str
) -> None:
    publisher, subscriber = publisher_of(nats_url), subscriber_of(nats_url)
    await publish(publisher, 0, 3)
    position = await subscriber.position()
    assert position.last_sequence == 4  # three events and their marker
    async with reading(subscriber, position) as reader:
        ids = await publish(publisher, 10, 3) + await publish(publisher, 20, 3)
        await reader.until_read(6)
        assert reader.ids == ids
        assert reader.sequences == [5, 6, 7, 9, 10, 11]
        assert reader.told == [Connected(position)]


async def test_it_catches_up_from_the_beginning(
    publisher_of: MakePublisher, subscriber_of: MakeSubscriber, nats_url: str
) -> None:
    publisher, subscriber = publisher_of(nats_url), subscriber_of(nats_url)
    ids = [one for start in range(0, 6000, 600) for one in await publish(publisher, start, 600)]
    created = (await subscriber.position()).created
    async with reading(subscriber, StreamPosition(created, 0)) as reader:
        await reader.until_read(6000)
        assert reader.ids == ids


async def test_it_resumes_over_a_restart_without_gap_or_repeat(
    publisher_of: MakePublisher, subscriber_of: MakeSubscriber, own_nats: NatsServer
) -> None:
    publisher, subscriber = publisher_of(own_nats.url), subscriber_of(own_nats.url)
    await publisher.ensure_stream()
    async with reading(subscriber, await subscriber.position()) as reader:
        ids = await publish(publisher, 0, 50)
        await reader.until_read(50)
        own_nats.kill()
        await reader.until(Connected, Disconnected)
        own_nats.start()
        ids += await publish(publisher, 50, 50)
        await reader.until_read(100)
        assert reader.ids == ids
        await reader.until(Connected, Disconnected, Connected)


async def test_it_notices_a_server_that_stands_still(
    publisher_of: MakePublisher, subscriber_of: MakeSubscriber, own_nats: NatsServer
) -> None:
    publisher, subscriber = publisher_of(own_nats.url), subscriber_of(own_nats.url)
    await publisher.ensure_stream()
    async with reading(subscriber, await subscriber.position()) as reader:
        await reader.until(Connected)
        own_nats.pause()
        await reader.until(Connected, Disconnected)
        own_nats.resume()
        ids = await publish(publisher, 0, 5)
        await reader.until_read(5)
        assert reader.ids == ids


async def test_a_server_that_lost_its_data_is_another_stream(
    publisher_of: MakePublisher, subscriber_of: MakeSubscriber, own_nats: NatsServer
) -> None:
    publisher, subscriber = publisher_of(own_nats.url), subscriber_of(own_nats.url)
    await publish(publisher, 0, 5)
    before = await subscriber.position()
    async with reading(subscriber, before) as reader:
        await reader.until(Connected)
        own_nats.kill()
        shutil.rmtree(own_nats._data / "nats")
        own_nats.start()
        await publish(publisher, 100, 2)
        await reader.until(Connected, Disconnected, Restarted)
        restarted = reader.told[-1]
        assert isinstance(restarted, Restarted)
        assert restarted.position.created != before.created
        ids = await publish(publisher, 200, 2)
        await reader.until_read(2)
        assert reader.ids[-2:] == ids


async def test_a_position_of_another_stream_is_told_at_once(
    publisher_of: MakePublisher, subscriber_of: MakeSubscriber, nats_url: str
) -> None:
    publisher, subscriber = publisher_of(nats_url), subscriber_of(nats_url)
    await publish(publisher, 0, 5)
    now = await subscriber.position()
    beyond = StreamPosition(now.created, now.last_sequence + 7)
    for unknown in (StreamPosition("long ago", 2), beyond):
        async with reading(subscriber, unknown) as reader:
            await reader.until(Restarted)
            assert reader.told == [Restarted(now)]


async def test_without_a_server_or_a_stream_there_is_no_position(
    subscriber_of: MakeSubscriber, nats_url: str
) -> None:
    with pytest.raises(EngineDown, match="stream not found"):
        await subscriber_of(nats_url).position()
    with pytest.raises(EngineDown, match="does not answer"):
        await subscriber_of("nats://127.0.0.1:1").position()


async def test_it_leaves_no_consumer_behind(
    publisher_of: MakePublisher, subscriber_of: MakeSubscriber, nats_url: str
) -> None:
    publisher, subscriber = publisher_of(nats_url), subscriber_of(nats_url)
    await publish(publisher, 0, 1)
    steps = subscriber.read(await subscriber.position())
    assert isinstance(await anext(steps), Connected)
    client = await nats.connect(nats_url)
    assert len(await client.jetstream().consumers_info(STREAM)) == 1
    await steps.aclose()

    async def is_gone() -> bool:
        return not await client.jetstream().consumers_info(STREAM)

    await eventually(is_gone)
    await client.close()


def _message(client: Client, number: int) -> Msg:
    reply = f"$JS.ACK.{STREAM}.c.1.{number}.{number}.0.0"
    return Msg(client, "imv.v1.order.changed.1", reply, b"{}", {"ce-id": f"e-{number}"})


def _heartbeat(client: Client, last: int) -> Msg:
    headers = {"Status": "100", "Description": "Idle Heartbeat", "Nats-Last-Consumer": str(last)}
    return Msg(client, "inbox", "", b"", headers)


async def test_a_missing_message_ends_the_consumer_before_the_gap(nats_url: str) -> None:
    connection = NatsConnection([nats_url], "test")
    client = await connection.client()
    for after in (_message(client, 4), _heartbeat(client, 3)):
        consumer = Consumer(connection, client, asyncio.Event())
        for arrival in (_message(client, 1), _message(client, 2), _heartbeat(client, 2), after):
            await consumer._receive(arrival)
        assert [event.id async for event in consumer.events()] == ["e-1", "e-2"]
        assert consumer.lost == ""
    await connection.close()


async def test_newer_servers_acknowledgement_subjects_are_understood(nats_url: str) -> None:
    connection = NatsConnection([nats_url], "test")
    client = await connection.client()
    consumer = Consumer(connection, client, asyncio.Event())
    reply = f"$JS.ACK.hub.hash.{STREAM}.c.1.42.1.0.0.random"
    await consumer._receive(Msg(client, "imv.v1.order.changed.1", reply, b"{}", None))
    assert (await anext(consumer.events())).sequence == 42
    await connection.close()
