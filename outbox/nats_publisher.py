"""The publisher on NATS: one JetStream atomic batch per stamped batch, fenced by its marker."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
import nats.errors

from config import crash
from config.errors import EngineDown, Misconfigured, OutcomeUnknown
from config.limits import EVENT_BYTES_MAX, PUBLISH_S
from config.log import get_log
from outbox.event import STREAM
from outbox.message import Batch, Marker, Message, headers_of, marker_subject
from outbox.nats_client import ReadyClient, encoded_headers
from outbox.nats_connection import ApiError, NatsConnection
from outbox.ports import Extent, Refused, Stored
from outbox.stream import AccountInfo, StreamInfo, StreamOptions, fixed_difference, wanted

SENT_AT_ONCE_MAX: Final = 32
UNREAD_BYTES_MAX: Final = 1024 * 1024
"""With more than that still to leave, nothing is sent ahead."""

_NO_MESSAGE: Final = 10037
_NO_STREAM: Final = 10059
_WRONG_LAST_SEQUENCE: Final = 10071
_KNOWN_ID: Final = 10201
_REFUSED: Final = {_WRONG_LAST_SEQUENCE: "wrong last sequence", _KNOWN_ID: "known id"}
_HEADERS_BYTES_MAX: Final = 64 * 1024
_SERVER_FAULT: Final = 500
# The server calls these its own faults, but they stay: too little store, replicas without peers.
_LASTING: Final = frozenset({10047, 10074})
_DEFAULTS: Final = StreamOptions()


class _PubAck(msgspec.Struct, frozen=True):
    seq: int = 0
    error: ApiError | None = None


class _Stored(msgspec.Struct, frozen=True):
    seq: int
    hdrs: str = ""


class _Found(msgspec.Struct, frozen=True):
    message: _Stored


class NatsPublisher:
    """Implements `outbox.ports.Publisher`."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        options: StreamOptions = _DEFAULTS,
        source: str = "/imv/gateway",
        name: str = "imv-relay",
    ) -> None:
        """Take the servers' addresses; connects when it is first needed."""
        self._connection = NatsConnection(servers, name)
        self._options = options
        self._source = source
        self._ensuring = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._log = get_log("outbox")

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        await self._connection.close()

    async def extent(self) -> Extent:
        """Return which stream it is and where it begins; see the port."""
        info = await self._connection.api(f"STREAM.INFO.{STREAM}", None, StreamInfo)
        if isinstance(info, StreamInfo):
            return Extent(info.created, info.state.first_seq)
        if info.err_code != _NO_STREAM:
            raise EngineDown(f"JetStream: {info.description}")
        await self.ensure_stream()
        return await self.extent()

    async def ensure_stream(self) -> None:
        """Make the stream, or bring its settings up to date; see the port for errors."""
        async with self._ensuring:
            await self._check_payload()
            config = wanted(self._options, await self._store_bytes())
            there = await self._connection.api(f"STREAM.INFO.{STREAM}", None, StreamInfo)
            if isinstance(there, ApiError):
                if there.err_code != _NO_STREAM:
                    raise EngineDown(f"JetStream: {there.description}")
                await self._change("CREATE", config)
                self._log.warning("stream.created", stream=STREAM)
            elif wrong := fixed_difference(there.config, config):
                raise Misconfigured(
                    f"stream {STREAM} has another {wrong} than it must have and cannot be changed; "
                    "move it away or use another account"
                )
            elif there.config != config:
                await self._change("UPDATE", config)
                self._log.info("stream.updated", stream=STREAM)

    async def last_marker(self, partition: int) -> Marker:
        """Return the partition's last marker; see the port."""
        found = await self._connection.api(
            f"STREAM.MSG.GET.{STREAM}", {"last_by_subj": marker_subject(partition)}, _Found
        )
        match found:
            case _Found(_Stored(sequence, headers)):
                return Marker(sequence, _message_id(headers))
            case ApiError(err_code=number) if number == _NO_MESSAGE:
                return Marker(0, "")
            case ApiError(err_code=number) if number == _NO_STREAM:
                await self.ensure_stream()
                return Marker(0, "")
            case ApiError():
                raise EngineDown(f"JetStream: {found.description}")

    async def send_ahead(self, messages: Sequence[Message]) -> str:
        """Send messages without their marker; see the port."""
        client = await self._connection.client()
        if client.pending_data_size > UNREAD_BYTES_MAX:
            raise EngineDown("NATS does not read what it was given")
        name = str(uuid4())
        try:
            async with self._connection.bounded(PUBLISH_S):
                await self._send(client, name, messages)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise EngineDown("NATS took no messages ahead") from error
        return name

    async def publish_batch(
        self, batch: Batch, messages: Sequence[Message], *, sent: str = ""
    ) -> Stored | Refused:
        """Append the messages and the batch's marker in one atomic batch; see the port."""
        client = await self._connection.client()
        try:
            async with self._connection.bounded(PUBLISH_S):
                if not sent and (refusal := await self._begin(client, batch, messages)):
                    return refusal
                return await self._commit(client, batch, len(messages), sent or batch.id)
        except nats.errors.NoRespondersError as error:
            raise EngineDown(f"the stream {STREAM} does not listen") from error
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise OutcomeUnknown("NATS did not answer in time") from error

    async def _begin(
        self, client: ReadyClient, batch: Batch, messages: Sequence[Message]
    ) -> Stored | Refused | None:
        """Send the messages, the first as a request, which proves that batches work."""
        for message in messages[:1]:
            headers = self._headers(batch.id, 1, message)
            begun = await client.request(
                message.subject, message.data, timeout=PUBLISH_S, headers=headers
            )
            if begun.data:
                return _outcome(begun.data)
        await self._send(client, batch.id, messages, first=1)
        crash.here("relay.half_published")
        return None

    async def _commit(
        self, client: ReadyClient, batch: Batch, messages: int, name: str
    ) -> Stored | Refused:
        """Send the marker, which stores the messages that were sent under a name, and itself."""
        committed = await client.request(
            marker_subject(batch.partition),
            timeout=PUBLISH_S,
            headers=_marker_headers(batch, name, messages + 1),
        )
        return _outcome(committed.data)

    async def _send(
        self, client: ReadyClient, name: str, messages: Sequence[Message], *, first: int = 0
    ) -> None:
        """Send without waiting for answers, one batch at a time, so that the loop stays free."""
        clock = asyncio.get_running_loop().time
        async with self._sending:
            deadline = clock() + PUBLISH_S
            for number, message in enumerate(messages[first:], first + 1):
                headers = self._headers(name, number, message)
                await client.publish(message.subject, message.data, headers=headers)
                # The client swallows a cancellation while its peer does not read.
                if clock() > deadline:
                    raise TimeoutError
                if number % SENT_AT_ONCE_MAX == 0:
                    await asyncio.sleep(0)

    def _headers(self, name: str, number: int, message: Message) -> Any:
        headers = headers_of(message, self._source)
        headers["Nats-Batch-Id"] = name
        headers["Nats-Batch-Sequence"] = str(number)
        return encoded_headers(headers)

    async def _change(self, verb: str, config: object) -> None:
        changed = await self._connection.api(f"STREAM.{verb}.{STREAM}", config, StreamInfo)
        if not isinstance(changed, ApiError):
            return
        if changed.code >= _SERVER_FAULT and changed.err_code not in _LASTING:
            raise EngineDown(f"JetStream: {changed.description}")
        raise Misconfigured(f"stream {STREAM}: {changed.description}")

    async def _store_bytes(self) -> int:
        if self._options.store_bytes:
            return self._options.store_bytes
        account = await self._connection.api("INFO", None, AccountInfo)
        return -1 if isinstance(account, ApiError) else account.limits.max_storage

    async def _check_payload(self) -> None:
        payload = (await self._connection.client()).max_payload
        if payload < EVENT_BYTES_MAX + _HEADERS_BYTES_MAX:
            raise Misconfigured(
                f"NATS takes messages up to {payload} bytes; set max_payload to 8MB on the server"
            )


def _marker_headers(batch: Batch, name: str, number: int) -> Any:
    return encoded_headers(
        {
            "Nats-Batch-Id": name,
            "Nats-Batch-Sequence": str(number),
            "Nats-Batch-Commit": "1",
            "Nats-Msg-Id": batch.id,
            "Nats-Expected-Last-Subject-Sequence": str(batch.expected),
        }
    )


def _outcome(data: bytes) -> Stored | Refused:
    answer = msgspec.json.decode(data, type=_PubAck)
    if answer.error is None:
        return Stored(answer.seq)
    if reason := _REFUSED.get(answer.error.err_code):
        return Refused(reason)
    # A full stream, a lost leader, a batch that was cut off: nothing is stored, and later may do.
    raise EngineDown(f"JetStream: {answer.error.description}")


def _message_id(encoded_headers: str) -> str:
    for line in base64.b64decode(encoded_headers).decode(errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name == "Nats-Msg-Id":
            return value.strip()
    return ""
