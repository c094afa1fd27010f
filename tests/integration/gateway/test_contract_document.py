"""The OpenAPI document says what the program does: every route, every body, and nothing dangling."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.cli.contracts import openapi


@pytest.fixture
async def document() -> dict[str, Any]:
    return await openapi()


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(found := part.get("$ref"), str):
            yield found
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) <= known


async def test_every_write_says_what_its_body_is(document: dict[str, Any]) -> None:
    without = {"/session": {"delete"}, "/v1/holds/{hold_id}": {"delete"}}
    without["/v1/stream/tickets"] = {"post"}  # it only says who asks
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in {"post", "put", "patch"} and method not in without.get(path, set()):
                assert operation["requestBody"]["content"]["application/json"], (path, method)


async def test_every_v1_route_needs_a_token_and_names_its_problems(
    document: dict[str, Any],
) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            if path.startswith("/v1/"):
                ticket: list[dict[str, list[str]]] = (
                    [{"ticket": []}] if path == "/v1/stream/sse" else []
                )
                assert operation["security"] == [{"token": []}, *ticket]
                assert "application/problem+json" in operation["responses"]["default"]["content"]


async def test_creating_needs_an_idempotency_key(document: dict[str, Any]) -> None:
    for path in ("/v1/orders", "/v1/holds", "/v1/orders/{order_id}/cancel"):
        parameters = document["paths"][path]["post"]["parameters"]
        assert "Idempotency-Key" in {one["name"] for one in parameters}
