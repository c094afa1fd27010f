"""Ways into a stream on a real instance: one-time tickets, and wrong tokens counted by address."""

import asyncio
from collections.abc import Iterator

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect

from config.errors import Limited
from config.limits import TICKET_S
from store.engine import Database
from store.tickets import TicketStore
from store.tokens import TokenRow, TokenStore
from tests.e2e import instance as at

_TOPIC = "board:S-001"


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[at.Running]:
    folder = tmp_path_factory.mktemp("tickets")
    config = at.write_config(folder)
    config.write_text("[gateway]\nrefusals_per_s = 0.5\n" + config.read_text())
    with at.running(*at.up_arguments(config, folder / "data")) as up:
        yield up


async def _opened(client: httpx.AsyncClient, ticket: str, topic: str = _TOPIC) -> int:
    """Open a stream by a ticket, hear its first line, and return the status."""
    asked = {"topic": topic, "ticket": ticket}
    async with client.stream("GET", "/v1/stream/sse", params=asked) as answer:
        if answer.status_code == httpx.codes.OK:
            assert (await anext(answer.aiter_lines())).startswith("retry:")
        return answer.status_code


async def _ticket(client: httpx.AsyncClient, token: str) -> str:
    made = await client.post("/v1/stream/tickets", headers=at.bearer(token))
    assert made.status_code == 201
    assert made.json()["expires_in_s"] == TICKET_S
    return str(made.json()["ticket"])


async def test_a_ticket_opens_one_stream_with_its_tokens_scopes(instance: at.Running) -> None:
    operator = instance.ready["token"]
    async with httpx.AsyncClient(base_url=instance.http, timeout=10) as client:
        assert (await client.post("/v1/stream/tickets")).status_code == 401
        ticket = await _ticket(client, operator)
        assert await _opened(client, ticket) == 200
        assert await _opened(client, ticket) == 401
        made = await client.post(
            "/v1/tokens", json={"scopes": ["board:S-002"], "note": ""}, headers=at.bearer(operator)
        )
        assert await _opened(client, await _ticket(client, made.json()["token"])) == 403


async def test_wrong_tokens_of_a_websocket_count_for_its_address(instance: at.Running) -> None:
    url = instance.http.replace("http", "ws") + "/v1/stream"
    reasons = [await _refusal(url, f"imv_nobody_{number}") for number in range(15)]
    assert reasons[0] == "unauthenticated"
    assert reasons[-1] == "limited"
    async with httpx.AsyncClient(base_url=instance.http) as client:
        wrong = await client.get("/v1/locations", headers=at.bearer("imv_nobody_else"))
        assert wrong.status_code == 429
        good = await client.get("/v1/locations", headers=at.bearer(instance.ready["token"]))
        assert good.status_code == 200


async def _refusal(url: str, token: str) -> str:
    async with connect(url, proxy=None) as socket, asyncio.timeout(10):
        await socket.send(msgspec.json.encode({"type": "hello", "token": token}).decode())
        await socket.wait_closed()
        return socket.close_reason or ""


async def test_a_token_has_so_many_unspent_tickets_and_no_more(migrated_url: str) -> None:
    database = Database(migrated_url)
    try:
        for name in ("t1", "t2"):
            await TokenStore(database).create(TokenRow(name, ("operator",), "", 1))
        store = TicketStore(database, live_max=2)
        first, _ = await store.issue("t1", 1), await store.issue("t1", 1)
        with pytest.raises(Limited):
            await store.issue("t1", 2)
        await store.issue("t2", 2)
        await store.spend(first, 2)
        await store.issue("t1", 2)
        later = 2 + TICKET_S * 1_000_000
        await store.issue("t1", later)
    finally:
        await database.close()


async def test_of_many_workers_that_spend_a_ticket_one_has_it(migrated_url: str) -> None:
    first, second = Database(migrated_url), Database(migrated_url)
    try:
        tokens = TokenStore(first)
        await tokens.create(TokenRow("t1", ("operator",), "", 1))
        ticket = await TicketStore(first).issue("t1", 1)
        stores = [TicketStore(one) for one in (first, second) for _ in range(4)]
        async with asyncio.TaskGroup() as group:
            spending = [group.create_task(store.spend(ticket, 2)) for store in stores]
        found = [one.result() for one in spending]
        assert [row.id for row in found if row] == ["t1"]
        old = await TicketStore(first).issue("t1", 1)
        assert await TicketStore(second).spend(old, 1 + TICKET_S * 1_000_000) is None
        late = await TicketStore(first).issue("t1", 1)
        await tokens.revoke("t1", 2)
        assert await TicketStore(second).spend(late, 2) is None
    finally:
        await first.close()
        await second.close()
