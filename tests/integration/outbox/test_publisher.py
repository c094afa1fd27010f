"""The stream is made as it must be, and a batch is stored whole or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig

from config.errors import EngineDown, Misconfigured, OutcomeUnknown
from gateway.engines.nats import NatsServer
from outbox.event import STREAM
from outbox.message import Batch, Marker, Message
from outbox.nats_publisher import UNREAD_BYTES_MAX, NatsPublisher
from outbox.ports import Refused, Stored
from outbox.stream import StreamOptions

MakePublisher = Callable[..., NatsPublisher]


@pytest.fixture
async def streams(nats_url: str) -> AsyncIterator[JetStreamContext]:
    """The plain client's view of the server."""
    client = await nats.connect(nats_url)
    yield client.jetstream()
    await client.close()


def _messages(*ids: str) -> list[Message]:
    return [Message(f"imv.v1.order.changed.{one}", one, "t", 0, b"{}", "") for one in ids]


def _batch(name: str, expected: int) -> Batch:
    return Batch(name, 3, 1, expected, (1,))


async def test_the_stream_has_the_settings_that_durability_needs(
    publisher_of: MakePublisher, nats_url: str, streams: JetStreamContext
) -> None:
    publisher = publisher_of(nats_url, StreamOptions(store_bytes=100_000_000))
    await publisher.ensure_stream()
    await publisher.ensure_stream()
    config = (await streams.stream_info(STREAM)).config
    assert config.subjects == ["imv.v1.>", "imv.relay.>"]
    assert (config.storage, config.discard) == (StorageType.FILE, DiscardPolicy.NEW)
    assert (config.max_bytes, config.max_age) == (80_000_000, 7 * 86_400)
    assert config.duplicate_window == 120
    assert config.allow_atomic
    assert config.deny_delete
    assert config.deny_purge
    assert config.persist_mode is None


async def test_an_older_stream_is_brought_up_to_date(
    publisher_of: MakePublisher, nats_url: str, streams: JetStreamContext
) -> None:
    await streams.add_stream(StreamConfig(name=STREAM, subjects=["imv.v1.>"]))
    await publisher_of(nats_url).ensure_stream()
    config = (await streams.stream_info(STREAM)).config
    assert config.allow_atomic
    assert config.discard == DiscardPolicy.NEW


async def test_a_stream_in_memory_is_refused(
    publisher_of: MakePublisher, nats_url: str, streams: JetStreamContext
) -> None:
    await streams.add_stream(
        StreamConfig(name=STREAM, subjects=["imv.v1.>"], storage=StorageType.MEMORY)
    )
    with pytest.raises(Misconfigured, match="storage"):
        await publisher_of(nats_url).ensure_stream()


async def test_settings_that_the_server_cannot_give_are_refused(
    publisher_of: MakePublisher, nats_url: str
) -> None:
    with pytest.raises(Misconfigured, match="replicas"):
        await publisher_of(nats_url, StreamOptions(replicas=3)).ensure_stream()


async def test_a_batch_is_stored_behind_its_marker_once(publisher: NatsPublisher) -> None:
    await publisher.ensure_stream()
    assert await publisher.last_marker(3) == Marker(0, "")
    assert await publisher.publish_batch(_batch("b-1", 0), _messages("1", "2")) == Stored(3)
    assert await publisher.last_marker(3) == Marker(3, "b-1")
    known = await publisher.publish_batch(_batch("b-1", 0), _messages("1", "2"))
    assert known == Refused("known id")
    fenced = await publisher.publish_batch(_batch("b-2", 0), _messages("3"))
    assert fenced == Refused("wrong last sequence")
    assert await publisher.last_marker(3) == Marker(3, "b-1")
    assert await publisher.last_marker(4) == Marker(0, "")


async def test_what_is_sent_ahead_is_stored_with_its_marker_and_not_before(
    publisher: NatsPublisher, streams: JetStreamContext
) -> None:
    await publisher.ensure_stream()
    messages = _messages("1", "2", "3")
    for _ in range(2):  # nobody follows the first
        name = await publisher.send_ahead(messages)
    assert await publisher.last_marker(3) == Marker(0, "")
    assert await publisher.publish_batch(_batch("b-1", 0), messages, sent=name) == Stored(4)
    assert await publisher.last_marker(3) == Marker(4, "b-1")
    assert (await streams.stream_info(STREAM)).state.messages == 4
    known = await publisher.publish_batch(_batch("b-1", 0), messages)
    assert known == Refused("known id")


async def test_what_was_sent_ahead_is_stored_whole_or_not_at_all(
    publisher: NatsPublisher, streams: JetStreamContext
) -> None:
    await publisher.ensure_stream()
    few = await publisher.send_ahead(_messages("1", "2"))
    for name in (few, "nobody-sent-this"):
        with pytest.raises(EngineDown, match="incomplete"):
            await publisher.publish_batch(_batch("b-1", 0), _messages("1", "2", "3"), sent=name)
    fenced = await publisher.send_ahead(_messages("1"))
    wrong = await publisher.publish_batch(_batch("b-2", 9), _messages("1"), sent=fenced)
    assert wrong == Refused("wrong last sequence")
    assert (await streams.stream_info(STREAM)).state.messages == 0
    assert await publisher.publish_batch(_batch("b-1", 0), _messages("1", "2", "3")) == Stored(4)


async def test_nothing_is_sent_ahead_to_a_server_that_does_not_read(
    publisher: NatsPublisher,
) -> None:
    await publisher.ensure_stream()
    client = await publisher._connection.client()
    client._pending_data_size = UNREAD_BYTES_MAX + 1
    with pytest.raises(EngineDown, match="does not read"):
        await publisher.send_ahead(_messages("1"))
    client._pending_data_size = 0
    assert await publisher.send_ahead(_messages("1"))


async def test_a_server_that_stops_reading_in_the_middle_is_given_up_in_time(
    publisher_of: MakePublisher, own_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = publisher_of(own_nats.url)
    await publisher.ensure_stream()
    monkeypatch.setattr("outbox.nats_publisher.PUBLISH_S", 0.2)
    messages = _messages(*map(str, range(16)))
    large = [msgspec.structs.replace(one, data=bytes(2**20)) for one in messages]
    own_nats.pause()
    try:
        # The client swallows the deadline, and would go on, a second for each message.
        client = await publisher._connection.client()
        before = client.stats["out_msgs"]
        with pytest.raises(EngineDown, match="took no messages"):
            await publisher.send_ahead(large)
        assert client.stats["out_msgs"] - before < len(large)
    finally:
        own_nats.resume()


async def test_a_missing_stream_takes_nothing_and_is_made_by_the_next_question(
    publisher: NatsPublisher,
) -> None:
    with pytest.raises(EngineDown):
        await publisher.publish_batch(_batch("b-1", 0), _messages("1", "2"))
    assert await publisher.last_marker(3) == Marker(0, "")
    assert await publisher.publish_batch(_batch("b-1", 0), _messages("1", "2")) == Stored(3)


async def test_a_full_stream_takes_nothing_for_now(
    publisher_of: MakePublisher, nats_url: str
) -> None:
    publisher = publisher_of(nats_url, StreamOptions(store_bytes=1000))
    await publisher.ensure_stream()
    with pytest.raises(EngineDown, match="maximum bytes"):
        await publisher.publish_batch(_batch("b-1", 0), _messages(*map(str, range(20))))


async def test_without_a_server_nothing_is_published_and_closing_is_safe(
    publisher_of: MakePublisher, own_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.nats_connection.REQUEST_S", 60.0)
    publisher = publisher_of(own_nats.url)
    await publisher.ensure_stream()
    own_nats.kill()
    async with asyncio.timeout(20):  # an answer that cannot come is not waited for
        with pytest.raises(OutcomeUnknown):
            await publisher.last_marker(3)
    with pytest.raises(EngineDown):
        await publisher.last_marker(3)
    await publisher.close()
    await publisher.close()


async def test_closing_is_quiet_at_the_moment_when_the_server_dies(
    publisher_of: MakePublisher, own_nats: NatsServer
) -> None:
    publishers = [publisher_of(own_nats.url) for _ in range(12)]
    for publisher in publishers:
        await publisher.ensure_stream()
    own_nats.kill()
    for steps, publisher in enumerate(publishers):
        for _ in range(steps):
            await asyncio.sleep(0)  # so far has the client come with noticing it
        await publisher.close()
