"""The library and what we do beside it: headers as they are sent, a deadline that it swallowed."""

import asyncio

from nats.aio.client import Client

from outbox.nats_client import ReadyClient, encoded_headers
from outbox.nats_connection import NatsConnection

_HEADERS = {"ce-id": "0190-1", "ce-source": "/imv/gateway", "Nats-Batch-Sequence": "1"}


async def _sent(client: Client, headers: object) -> bytes:
    await client._send_publish("imv.v1.order.placed.o-1", "_INBOX.1", b"{}", 2, headers)  # type: ignore[arg-type]
    return b"".join(client._pending)


async def test_ready_headers_leave_as_the_library_would_send_them() -> None:
    expected = await _sent(Client(), _HEADERS)
    assert await _sent(ReadyClient(), encoded_headers(_HEADERS)) == expected
    assert await _sent(ReadyClient(), _HEADERS) == expected


async def test_what_has_no_headers_leaves_without() -> None:
    assert await _sent(ReadyClient(), None) == await _sent(Client(), None)


async def test_a_connection_may_break_after_a_deadline_whose_cancellation_was_swallowed() -> None:
    connection = NatsConnection(["nats://127.0.0.1:1"], "test")
    async with connection.bounded(0):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await connection._changed()  # where it raises, the library never connects again
    assert connection.changes == 1
