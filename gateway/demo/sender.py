"""Sends sample webhooks as their providers would: signed, and sometimes again."""

from collections.abc import Mapping
from typing import Protocol

import httpx
import msgspec

from config.clock import Clock
from config.ids import SourceId
from gateway.demo.bodies.sample import Sample
from gateway.demo.platform import FakePlatform
from handlers.sources.channel import Channel


class Sent(msgspec.Struct, frozen=True):
    """A delivery as it went out; a repeat is the same bytes under the same signature."""

    source: SourceId
    headers: dict[str, str]
    body: bytes


class Sender(Protocol):
    """Where deliveries go."""

    def sign(self, sample: Sample) -> Sent:
        """Return the webhook as its provider would send it now."""
        ...

    async def deliver(self, sent: Sent) -> None:
        """Deliver it, also again, as senders do; httpx.HTTPError when it is not taken."""
        ...


class WebhookSender:
    """Delivers through the front door, and lets the platform know what it will be asked for."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        channels: Mapping[SourceId, Channel],
        platform: FakePlatform,
        clock: Clock,
    ) -> None:
        """Take a client of the gateway's address, and the channels whose secrets sign."""
        self._client = client
        self._channels = channels
        self._platform = platform
        self._clock = clock

    def sign(self, sample: Sample) -> Sent:
        """Return the webhook as its provider would send it now; its order can be read from now on."""
        if sample.document:
            document = sample.document
            self._platform.keep_order(document.provider, document.ref, document.content)
        channel = self._channels[sample.source]
        headers = channel.sign(sample.body, sample.topic, self._clock.now())
        return Sent(sample.source, headers, sample.body)

    async def deliver(self, sent: Sent) -> None:
        """Deliver it, also again, as senders do; httpx.HTTPError when it is not taken."""
        path = f"/webhooks/{sent.source}"
        answer = await self._client.post(path, content=sent.body, headers=sent.headers)
        answer.raise_for_status()
