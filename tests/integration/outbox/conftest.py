"""Fixtures of the relay's tests: publishers that are closed at the end."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from outbox.nats_publisher import NatsPublisher
from outbox.nats_subscriber import NatsSubscriber
from outbox.stream import StreamOptions

MakePublisher = Callable[..., NatsPublisher]


@pytest.fixture
async def publisher_of() -> AsyncIterator[MakePublisher]:
    """Make a publisher on a server, with other options if need be."""
    async with AsyncExitStack() as stack:

        def make(url: str, options: StreamOptions | None = None) -> NatsPublisher:
            publisher = NatsPublisher([url], options=options or StreamOptions())
            stack.push_async_callback(publisher.close)
            return publisher

        yield make


@pytest.fixture
async def publisher(publisher_of: MakePublisher, nats_url: str) -> NatsPublisher:
    """A publisher on an empty NATS."""
    return publisher_of(nats_url)


@pytest.fixture
async def subscriber_of() -> AsyncIterator[Callable[[str], NatsSubscriber]]:
    """Make a subscriber on a server."""
    async with AsyncExitStack() as stack:

        def make(url: str) -> NatsSubscriber:
            subscriber = NatsSubscriber([url])
            stack.push_async_callback(subscriber.close)
            return subscriber

        yield make
