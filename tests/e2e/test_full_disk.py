"""A disk that fills under a running instance: a clear refusal, nothing lost, back without hands."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from config.errors import Misconfigured
from tests import engines
from tests.e2e import instance as at
from tests.e2e.watching import check_exactly_once, events_until_quiet

_DISK = "160m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory, which only root may mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with engines.needed():
        mount, umount = shutil.which("mount"), shutil.which("umount")
        if os.geteuid() != 0 or mount is None or umount is None:
            raise Misconfigured("a small disk is mounted as root: run this test as root")
        command = [mount, "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(disk)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            raise Misconfigured(f"no small disk can be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run([umount, "--lazy", str(disk)], check=True)


def _fill(ballast: Path) -> None:
    """Write until not even a byte goes in."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            while _goes_in(file.fileno(), bytes(size)):
                pass


def _goes_in(descriptor: int, data: bytes) -> bool:
    try:
        return os.write(descriptor, data) > 0
    except OSError:
        return False


async def test_a_full_disk_refuses_clearly_loses_nothing_and_heals(
    tmp_path: Path, small_disk: Path
) -> None:
    data, ballast = small_disk / "data", small_disk / "ballast"
    with at.running(*at.up_arguments(at.write_config(tmp_path), data)) as up:
        await at.gate_open(up.http)
        await at.stock(up.http, at.credential(data), S_001=50)
        sender = at.Sender(up.http)
        async with httpx.AsyncClient(timeout=20) as client, asyncio.TaskGroup() as group:
            await sender.send(client, 0, at.order(1))
            _fill(ballast)
            await at.until(lambda: _is_refused(client, up.http, 1))
            await at.until(lambda: _status(client, f"{up.http}/readyz", 503))
            assert await _status(client, f"{up.http}/livez", 200)
            waiting = group.create_task(sender.send(client, 1, at.order(2)))
            await asyncio.wait({waiting}, timeout=1.0)
            assert not waiting.done()
            ballast.unlink()
            await asyncio.wait_for(waiting, 30)
            await at.until(lambda: _status(client, f"{up.http}/readyz", 200))
            await at.gate_open(up.http)
            await sender.send(client, 2, at.order(3))
        await at.until(lambda: _is_quiet(data))
        check_exactly_once(await events_until_quiet(up.ready["nats"]))
    with sqlite3.connect(data / "imv.db") as database:
        stored = dict(database.execute("SELECT id, state FROM orders").fetchall())
        (allocated,) = database.execute("SELECT sum(allocated) FROM stock_levels").fetchone()
    assert set(stored) == {answer["order_id"] for answer in sender.answers.values()}
    assert set(stored.values()) == {"routed"}
    assert allocated == len(stored) == 3


async def _is_refused(client: httpx.AsyncClient, http: str, number: int) -> bool:
    """Post until the disk is found full; a first one may still find room in a page."""
    body = at.order(number + 1)
    headers = at.headers(body, f"event-{number}")
    answer = await client.post(f"{http}/webhooks/shop-main", content=body, headers=headers)
    assert answer.status_code == 503, "what has no room is not acknowledged"
    assert answer.headers["retry-after"]
    return bool(answer.json()["type"] == "urn:imv:problem:storage-full")


async def _status(client: httpx.AsyncClient, url: str, status: int) -> bool:
    return (await client.get(url)).status_code == status


async def _is_quiet(data: Path) -> bool:
    question = "SELECT 1 FROM outbox_pending UNION ALL SELECT 1 FROM orders WHERE undecided"
    with sqlite3.connect(data / "imv.db") as database:
        return not database.execute(question).fetchall()
