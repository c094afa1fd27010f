"""One connection to NATS that opens when it is needed and comes back by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from config.errors import EngineDown, OutcomeUnknown
from config.log import get_log
from outbox.nats_client import ReadyClient

CONNECT_S: Final = 2.0
RECONNECT_S: Final = 0.25
PING_S: Final = 10
FLUSH_S: Final = 1.0
REQUEST_S: Final = 3.0
PENDING_BYTES_MAX: Final = 8 * 1024 * 1024

_UNAVAILABLE: Final = (nats.errors.Error, OSError)
_T = TypeVar("_T")


class ApiError(msgspec.Struct, frozen=True):
    """What JetStream refused, by its own number."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: ApiError | None = None


class NatsConnection:
    """A lazy connection; whoever needs it gets it, or EngineDown."""

    def __init__(
        self, servers: Sequence[str], name: str, *, on_change: Callable[[], None] = lambda: None
    ) -> None:
        """Take the addresses, credentials included; `on_change` hears of losses and returns.

        `changes` counts them.
        """
        self._servers = list(servers)
        self._name = name
        self._on_change = on_change
        self._client: ReadyClient | None = None
        self._opening = asyncio.Lock()
        self.changes = 0
        self._waiting: set[asyncio.Timeout] = set()
        self._log = get_log("outbox")

    @property
    def is_up(self) -> bool:
        """Whether bytes would leave now; a dead peer that still holds its socket is not noticed."""
        return self._client is not None and self._client.is_connected

    async def client(self) -> ReadyClient:
        """Return the connected client; EngineDown when there is none now."""
        async with self._opening:
            if self._client is None or self._client.is_closed:
                self._client = await self._open()
        # A client that reconnects would keep what it is given and send it later, whenever that is.
        if not self._client.is_connected:
            raise EngineDown("NATS does not answer")
        return self._client

    @asynccontextmanager
    async def bounded(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError after some time, and at once when the connection breaks.

        The library would let a request wait for an answer that can no longer come.
        """
        async with asyncio.timeout(seconds) as scope:
            self._waiting.add(scope)
            try:
                yield
            finally:
                self._waiting.discard(scope)

    async def request(
        self, subject: str, body: bytes = b"", *, headers: dict[str, Any] | None = None
    ) -> Msg:
        """Ask and wait.

        Raises:
            EngineDown: nobody was asked; OutcomeUnknown: no answer came in time.
        """
        client = await self.client()
        try:
            async with self.bounded(REQUEST_S + FLUSH_S):
                return await client.request(subject, body, timeout=REQUEST_S, headers=headers)
        except nats.errors.NoRespondersError as error:
            raise EngineDown("NATS answers, but JetStream does not") from error
        except (*_UNAVAILABLE, TimeoutError) as error:
            raise OutcomeUnknown("NATS did not answer in time") from error

    async def api(self, call: str, body: object, answer: type[_T]) -> _T | ApiError:
        """Call the JetStream API; see `request` for errors."""
        message = await self.request(f"$JS.API.{call}", msgspec.json.encode(body) if body else b"")
        if error := msgspec.json.decode(message.data, type=_Answer).error:
            return error
        return msgspec.json.decode(message.data, type=answer)

    async def close(self) -> None:
        """Close for good; safe to call twice."""
        async with self._opening:
            client, self._client = self._client, None
        if client is not None:
            await _close(client)

    async def _open(self) -> ReadyClient:
        client = ReadyClient()
        try:
            # The library tries for ever when it may reconnect for ever; so we end its first try.
            async with asyncio.timeout(CONNECT_S):
                await client.connect(
                    self._servers,
                    name=self._name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_S,  # type: ignore[arg-type]
                    connect_timeout=CONNECT_S,  # type: ignore[arg-type]
                    ping_interval=PING_S,
                    max_outstanding_pings=2,
                    pending_size=PENDING_BYTES_MAX,
                    flush_timeout=FLUSH_S,
                    error_cb=self._failed,
                    disconnected_cb=self._changed,
                    reconnected_cb=self._changed,
                    closed_cb=self._changed,
                )
        except BaseException as error:
            await _close(client)  # also when we are cancelled: it has tasks of its own
            if isinstance(error, (*_UNAVAILABLE, TimeoutError)):
                raise EngineDown("NATS does not answer") from error
            raise
        return client

    async def _changed(self) -> None:
        self.changes += 1
        for scope in self._waiting:
            # One that has expired cannot be told again: the client swallowed its cancellation.
            if not scope.expired():
                scope.reschedule(asyncio.get_running_loop().time())
        self._on_change()

    async def _failed(self, error: Exception) -> None:
        # The text may hold an address with its password; the kind says enough.
        self._log.debug("nats.failed", kind=type(error).__name__)


async def _close(client: Client) -> None:
    """Close within a bounded time, whatever comes of it.

    In a task of its own: a close while the server dies is cancelled by the library itself, which
    would look like a cancellation of ours.
    """
    try:
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(client.close(), name="nats.close")
            await asyncio.wait((closing,), timeout=CONNECT_S)
            closing.cancel()
    except* (*_UNAVAILABLE, TimeoutError):
        pass  # it is gone in any case
