"""A full gateway turns webhooks away before it looks at them, and takes them again at once."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from tests.e2e import instance as at

_WEBHOOK = "/webhooks/shop-main"


@contextmanager
def _nobody_writes(database: Path) -> Iterator[None]:
    """Hold the write lock, so that the batch that runs waits for it."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_while_the_queue_is_full_nobody_is_verified(tmp_path: Path) -> None:
    config = at.write_config(tmp_path, gateway={"queue_messages_max": 1})
    with at.running(*at.up_arguments(config, tmp_path / "data")) as up:
        async with (
            httpx.AsyncClient(base_url=up.http, timeout=20) as client,
            asyncio.TaskGroup() as tasks,
        ):
            await at.gate_open(up.http)
            assert (await client.post(_WEBHOOK, content=b"{}")).status_code == 401
            with _nobody_writes(tmp_path / "data" / "imv.db"):
                taken = []
                for number in (1, 2):
                    body = at.order(number)
                    signed = at.headers(body, f"event-{number}")
                    taken.append(
                        tasks.create_task(client.post(_WEBHOOK, content=body, headers=signed))
                    )
                    await asyncio.sleep(1.5)  # the first is in its batch, the second in the queue
                turned_away = await client.post(_WEBHOOK, content=b"{}")
                assert turned_away.status_code == 503
                assert turned_away.json()["type"] == "urn:imv:problem:overloaded"
                assert "retry-after" in turned_away.headers
            for task in taken:
                assert (await task).json()["outcome"] == "applied"
            assert (await client.post(_WEBHOOK, content=b"{}")).status_code == 401
            assert (
                'outcome="overloaded",source="shop-main"} 1.0'
                in (
                    await client.get(
                        "/metrics", headers=at.bearer(at.credential(tmp_path / "data"))
                    )
                ).text
            )
