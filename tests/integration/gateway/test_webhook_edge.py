"""The edge of `/webhooks` on a real instance: what is refused, how, and what a stranger can learn."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.e2e import instance as at

_MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[at.Running]:
    folder = tmp_path_factory.mktemp("edge")
    with at.running(*at.up_arguments(at.write_config(folder), folder / "data")) as up:
        yield up


@pytest.fixture
async def client(instance: at.Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=instance.http) as client:
        yield client


def _without_ids(answer: httpx.Response) -> dict[str, object]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


async def test_an_unknown_source_and_a_bad_signature_answer_the_same(
    client: httpx.AsyncClient,
) -> None:
    body = at.order(1)
    wrong = {**at.headers(body, "e1"), "x-shopify-hmac-sha256": "AAAA"}
    bad = await client.post("/webhooks/shop-main", content=body, headers=wrong)
    unknown = await client.post("/webhooks/nobody", content=body, headers=wrong)
    none = await client.post("/webhooks/shop-main", content=body)
    assert bad.status_code == unknown.status_code == none.status_code == 401
    assert _without_ids(bad) == _without_ids(unknown) == _without_ids(none)


@pytest.mark.parametrize(
    ("content", "more", "status"),
    [
        (b"x" * (_MEBIBYTE + 1), {}, 413),
        (b"{}", {"content-encoding": "gzip"}, 415),
        (b"{}", {"x-shopify-topic": "orders/create"}, 401),
    ],
)
async def test_what_cannot_be_taken_is_a_problem_with_its_number(
    client: httpx.AsyncClient, content: bytes, more: dict[str, str], status: int
) -> None:
    answer = await client.post("/webhooks/shop-main", content=content, headers=more)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


@pytest.mark.parametrize("path", ["/session", "/v1/holds", "/v1/orders"])
async def test_a_large_body_is_refused_before_anything_else(
    client: httpx.AsyncClient, instance: at.Running, path: str
) -> None:
    headers = {**at.bearer(instance.ready["token"]), "idempotency-key": "large"}
    answer = await client.post(path, content=b" " * (_MEBIBYTE + 1), headers=headers)
    assert answer.status_code == 413


async def test_one_key_of_two_tokens_places_two_orders(
    client: httpx.AsyncClient, instance: at.Running
) -> None:
    await at.gate_open(instance.http)
    operator = at.bearer(instance.ready["token"])
    other = await client.post("/v1/tokens", json={"scopes": ["orders:write"]}, headers=operator)
    line = {"line_ref": "1", "sku": "SKU-1", "quantity": 1}
    asked = {"market": "uk", "currency": "GBP", "lines": [line]}
    key = {"idempotency-key": "order-1"}
    placed = [
        await client.post("/v1/orders", json=asked, headers={**who, **key})
        for who in (operator, at.bearer(other.json()["token"]))
    ]
    assert [answer.status_code for answer in placed] == [201, 201]
    assert placed[0].json()["order_id"] != placed[1].json()["order_id"]
    named = {**asked, "order_ref": "by-name"}
    first = await client.post(
        "/v1/orders", json=named, headers={**operator, "idempotency-key": "2"}
    )
    again = await client.post(
        "/v1/orders", json=named, headers={**operator, "idempotency-key": "3"}
    )
    assert (first.status_code, again.status_code) == (201, 409)
    twice = {**asked, "lines": [line, line]}
    refused = await client.post(
        "/v1/orders", json=twice, headers={**operator, "idempotency-key": "4"}
    )
    assert refused.status_code == 400


async def test_a_header_sent_twice_is_refused(client: httpx.AsyncClient) -> None:
    body = at.order(2)
    twice = [*at.headers(body, "e2").items(), ("x-shopify-topic", "orders/create")]
    answer = await client.post("/webhooks/shop-main", content=body, headers=twice)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "body", [b"not json", b"[" * 2000 + b"]" * 2000, b'{"id":NaN}', b'{"id":"\\ud800"}', b""]
)
async def test_what_is_genuine_but_not_readable_is_kept_in_quarantine(
    client: httpx.AsyncClient, instance: at.Running, body: bytes
) -> None:
    headers = at.headers(body, f"unreadable {hash(body)}")
    answer = await client.post("/webhooks/shop-main", content=body, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (202, "quarantined")
    client.headers.update(at.bearer(instance.ready["token"]))
    kept = (await client.get("/v1/messages?outcome=quarantined")).json()["messages"]
    assert answer.json()["message_id"] in {message["id"] for message in kept}


async def test_the_same_key_with_another_body_is_quarantined_once(
    client: httpx.AsyncClient,
) -> None:
    first, other = at.order(3), at.order(3, quantity=2)
    one = await client.post("/webhooks/shop-main", content=first, headers=_keyed(first))
    two = await client.post("/webhooks/shop-main", content=other, headers=_keyed(other))
    three = await client.post("/webhooks/shop-main", content=other, headers=_keyed(other))
    assert one.json()["outcome"] in {"applied", "accepted"}
    assert [two.json()["outcome"], three.json()["outcome"]] == ["quarantined", "quarantined"]


def _keyed(body: bytes) -> dict[str, str]:
    """Return headers under one event id; the key also names the record, which must be the same."""
    return at.headers(body, "same")


async def test_scopes_hold_for_each_object(client: httpx.AsyncClient, instance: at.Running) -> None:
    operator = at.bearer(instance.ready["token"])
    made = await client.post(
        "/v1/tokens", json={"scopes": ["board:S-001"], "note": "screen"}, headers=operator
    )
    screen = at.bearer(made.json()["token"])
    assert (await client.get("/v1/orders", headers=screen)).status_code == 403
    assert (await client.get("/v1/messages", headers=screen)).status_code == 403
    places = (await client.get("/v1/locations", headers=screen)).json()["locations"]
    assert [place["id"] for place in places] == ["S-001"]
    assert (await client.get("/v1/orders")).status_code == 401
    gone = await client.delete(f"/v1/tokens/{made.json()['id']}", headers=operator)
    assert gone.status_code == 204
    assert (await client.get("/v1/locations", headers=screen)).status_code == 401


async def test_a_hold_needs_a_key_and_a_repeat_gets_the_first_answer(
    client: httpx.AsyncClient, instance: at.Running
) -> None:
    client.headers.update(at.bearer(instance.ready["token"]))
    await at.gate_open(instance.http)
    await at.stock(instance.http, instance.ready["token"], W_001=500)  # others may be served first
    asked = {"market": "uk", "lines": [{"sku": "SKU-1", "quantity": 2}]}
    assert (await client.post("/v1/holds", json=asked)).status_code == 400
    key = {"idempotency-key": '"hold-1"'}
    first = await client.post("/v1/holds", json=asked, headers=key)
    again = await client.post("/v1/holds", json=asked, headers=key)
    other = await client.post("/v1/holds", json={**asked, "owner": "x"}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"
    hold = first.json()["id"]
    assert (await client.delete(f"/v1/holds/{hold}")).json()["state"] == "released"
