"""One push consumer of ours on the stream, from a sequence on until something is amiss."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final, Self

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from config.errors import EngineDown, OutcomeUnknown
from outbox.event import STREAM, SUBJECTS
from outbox.message import decoded
from outbox.nats_connection import ApiError, NatsConnection
from outbox.ports import Delivered
from outbox.trouble import happens

HEARTBEAT_S: Final = 1.0
SILENCE_S: Final = 3.0
INACTIVE_S: Final = 30.0
PENDING_BYTES_MAX: Final = 64 * 1024 * 1024
_NANOSECONDS: Final = 1_000_000_000
_CONTROL: Final = "100"
# `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.…`, in newer
# servers with a domain and an account's hash before the stream.
_TOKENS_SHORT: Final = 9


class _Made(msgspec.Struct, frozen=True):
    name: str


class Consumer:
    """Reads in order; ends when a message is missing, or with `lost` set when nothing comes.

    What waits here is bounded by the server's flow control: it sends on when we answer, and we
    answer when we have read that far.
    """

    def __init__(self, connection: NatsConnection, client: Client, awake: asyncio.Event) -> None:
        """Take the event that arrivals, and changes of the connection, set."""
        self.lost = ""
        self._connection = connection
        self._changes = connection.changes
        self._client = client
        self._awake = awake
        self._waiting: deque[Msg] = deque()
        self._sequence = 0
        self._name = client.new_inbox().rpartition(".")[2]
        self._subscription: Subscription | None = None

    @classmethod
    async def open(cls, connection: NatsConnection, awake: asyncio.Event, first: int) -> Self:
        """Make a consumer that begins at a sequence of the stream.

        Raises:
            Unavailable: NATS, or the stream, is not there.
        """
        consumer = cls(connection, await connection.client(), awake)
        try:
            await consumer._make(first)
        except BaseException:
            await consumer.aclose()
            raise
        return consumer

    async def aclose(self) -> None:
        """Give the consumer back; what we cannot tell the server it finds out by itself."""
        subscription, self._subscription = self._subscription, None
        if subscription is None or not self._connection.is_up:
            return
        with suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()
            # No answer is asked for: a reader who waits to hear of a silent server shall not wait.
            await self._client.publish(f"$JS.API.CONSUMER.DELETE.{STREAM}.{self._name}")

    async def events(self) -> AsyncGenerator[Delivered]:
        """Yield events in order, without a gap; return when that is not possible any more."""
        while True:
            while self._waiting:
                message = self._waiting.popleft()
                if _is_control(message):
                    if not await self._control(message):
                        return
                    continue
                sequence, number = _sequences(message.reply)
                if number != self._sequence + 1:
                    return
                self._sequence = number
                yield _delivered(message, sequence)
            self._awake.clear()
            if self._connection.changes != self._changes:
                self.lost = "the connection to NATS broke"
                return
            # No race: nothing is awaited between the look at the queue, the clear and this wait.
            if not await happens(self._awake, SILENCE_S):
                self.lost = "NATS is silent"
                return

    async def _make(self, first: int) -> None:
        inbox = self._client.new_inbox()
        try:
            self._subscription = await self._client.subscribe(
                inbox, cb=self._receive, pending_bytes_limit=PENDING_BYTES_MAX
            )
        except (nats.errors.Error, OSError) as error:
            raise OutcomeUnknown("NATS did not take the subscription") from error
        made = await self._connection.api(
            f"CONSUMER.CREATE.{STREAM}.{self._name}.{SUBJECTS}",
            {"stream_name": STREAM, "action": "create", "config": self._config(inbox, first)},
            _Made,
        )
        if isinstance(made, ApiError):
            raise EngineDown(f"JetStream: {made.description}")

    def _config(self, inbox: str, first: int) -> dict[str, object]:
        return {
            "name": self._name,
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": first,
            "ack_policy": "none",
            "max_deliver": 1,
            "filter_subject": SUBJECTS,
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_S * _NANOSECONDS),
            "inactive_threshold": int(INACTIVE_S * _NANOSECONDS),
            "mem_storage": True,
            "num_replicas": 1,
        }

    async def _receive(self, message: Msg) -> None:
        self._waiting.append(message)
        self._awake.set()

    async def _control(self, message: Msg) -> bool:
        """Answer flow control; False when a heartbeat tells of a message that did not come."""
        headers = message.headers or {}
        answer_to = message.reply or headers.get("Nats-Consumer-Stalled", "")
        if answer_to:
            with suppress(nats.errors.Error, OSError):
                await self._client.publish(answer_to)
        return int(headers.get("Nats-Last-Consumer", 0)) <= self._sequence


def _is_control(message: Msg) -> bool:
    return not message.data and (message.headers or {}).get("Status") == _CONTROL


def _sequences(reply: str) -> tuple[int, int]:
    """Return the stream's and the consumer's sequence of a message."""
    tokens = reply.split(".")
    at = 5 if len(tokens) == _TOKENS_SHORT else 7
    return int(tokens[at]), int(tokens[at + 1])


def _delivered(message: Msg, sequence: int) -> Delivered:
    headers = message.headers or {}
    return Delivered(
        sequence,
        message.subject,
        decoded(headers.get("ce-id", "")),
        decoded(headers.get("ce-type", "")),
        message.data,
    )
