"""Why an order was routed so, asked over HTTP, also after the network has changed."""

from pathlib import Path
from typing import Any

import httpx

from tests.e2e import instance as at

PARCEL = 'id = "W-001"\n'


async def _route(up: at.Running, data: Path, order_id: str) -> dict[str, Any]:
    async with httpx.AsyncClient(headers=at.bearer(at.credential(data))) as client:
        answer = await client.get(f"{up.http}/v1/orders/{order_id}/route")
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found


async def _placed(up: at.Running, number: int) -> str:
    body = at.order(number)
    async with httpx.AsyncClient(base_url=up.http) as client:
        answer = await client.post(
            "/webhooks/shop-main", content=body, headers=at.headers(body, f"event-{number}")
        )
        assert answer.json()["outcome"] == "applied"
        return str(answer.json()["order_id"])


async def test_a_route_names_its_terms_and_the_losers_as_they_were_when_it_was_decided(
    tmp_path: Path,
) -> None:
    config, data = at.write_config(tmp_path), tmp_path / "data"
    with at.running(*at.up_arguments(config, data)) as up:
        await at.stock(up.http, at.credential(data), S_001=5, W_001=5)
        await at.gate_open(up.http)
        first = await _placed(up, 1)
        before = await _route(up, data, first)
    plan = before["plan"]
    assert {part["location"] for part in plan["assignments"]} == {"S-001"}
    assert plan["total_minor"] == sum(term["amount_minor"] for term in plan["terms"])
    (loser,) = before["rejected"]
    assert (loser["locations"], loser["reason"]) == (["W-001"], "tied")
    assert loser["total_minor"] == sum(term["amount_minor"] for term in loser["terms"])
    network = tmp_path / "network.toml"
    network.write_text(network.read_text().replace(PARCEL, f"{PARCEL}parcel_cost_minor = 499\n"))
    with at.running(*at.up_arguments(config, data)) as up:
        await at.gate_open(up.http)
        assert await _route(up, data, first) == before
        now = await _route(up, data, await _placed(up, 2))
        assert {part["location"] for part in now["plan"]["assignments"]} == {"W-001"}
        assert [loser["reason"] for loser in now["rejected"]] == ["dearer"]
        assert now["inputs_hash"] != before["inputs_hash"]
