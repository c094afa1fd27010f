"""What those who run it look at, on a real instance: health, metrics, problems, documents, logs."""

import asyncio
import json
import os
import pty
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import instance as at
from tests.e2e.watching import Screen


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[at.Running]:
    folder = tmp_path_factory.mktemp("operations")
    with at.running(*at.up_arguments(at.write_config(folder), folder / "data")) as up:
        yield up


@pytest.fixture
async def client(instance: at.Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=instance.http) as client:
        yield client


async def _metrics(client: httpx.AsyncClient) -> dict[str, float]:
    text = (await client.get("/metrics")).text
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_each_dependency_is_told_of(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).json() == {"status": "alive"}
    ready = (await client.get("/readyz")).json()
    assert ready["status"] == "ready"
    assert set(ready["dependencies"]) == {"database", "redis", "nats", "relay"}


async def test_metrics_have_a_content_type_that_prometheus_reads(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/metrics")
    # A parameter that stands twice cannot be parsed, and Prometheus 3 then refuses the scrape.
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_count_what_happens_and_a_stranger_makes_no_labels(
    client: httpx.AsyncClient,
) -> None:
    body = at.order(1)
    await client.post("/webhooks/shop-main", content=body, headers=at.headers(body, "m1"))
    await client.post("/webhooks/shop-main", content=body, headers=at.headers(body, "m1"))
    for number in range(5):
        await client.post(f"/webhooks/stranger-{number}", content=b"{}")
    found = await _metrics(client)
    sources = {name.split(",")[2] for name in found if name.startswith("imv_webhooks_total")}
    assert found["imv_webhooks_total,duplicate,shop-main"] == 1
    assert sources == {"shop-main", "unknown"}
    assert found["imv_stream_fill_ratio"] >= 0


async def test_metrics_count_open_screens(client: httpx.AsyncClient, instance: at.Running) -> None:
    assert (await _metrics(client))["imv_screens"] == 0
    screen = Screen(instance.http, instance.ready["token"], "board:S-001")
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(screen.run())
        await at.until(lambda: _has_screens(client, 1))
        watching.cancel()
    await at.until(lambda: _has_screens(client, 0))


async def _has_screens(client: httpx.AsyncClient, count: int) -> bool:
    return (await _metrics(client))["imv_screens"] == count


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/assets/nothing.js", 404),
        ("PUT", "/livez", 405),
        ("PUT", "/webhooks/shop-main", 404),
        ("GET", "/v1/orders", 401),
        ("GET", "/v1/stream/sse?topic=board:S-001", 401),
        ("POST", "/v1/holds", 401),
    ],
)
async def test_whatever_is_refused_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"].startswith("urn:imv:problem:")
    assert "Exception" not in problem["title"]
    assert answer.headers["x-request-id"] == problem["request_id"]


async def _told_of_one_order(folder: Path, stderr: int) -> None:
    """Run an instance that takes one order, with its log going where it is told."""
    arguments = at.up_arguments(at.write_config(folder), folder / "data")
    with at.running(*arguments, stderr=stderr) as up:
        body = at.order(1)
        async with httpx.AsyncClient(base_url=up.http) as client:
            url, head = "/webhooks/shop-main", at.headers(body, "event-1")
            assert (await client.post(url, content=body, headers=head)).is_success


async def test_every_log_line_is_json_and_holds_no_secret(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        await _told_of_one_order(tmp_path, log.fileno())
    text = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    commits = [line for line in lines if line["event"] == "batch.committed" and line["orders"]]
    assert [len(line["messages"]) for line in commits] == [1]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert not [word for word in ("hush", "Baker", "imv_") if word in text]


async def test_on_a_terminal_the_ready_line_is_not_buried_in_the_log(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(theirs, b"begin ")
        await _told_of_one_order(tmp_path, theirs)
        shown = os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert shown.startswith(b"begin")
    assert b"batch.committed" not in shown
