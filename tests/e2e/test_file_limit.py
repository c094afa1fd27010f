"""An instance without file handles: nobody new is let in, nothing is lost, and it heals."""

import asyncio
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from config.errors import Misconfigured
from tests import engines
from tests.e2e import instance as at

_FILES = 100
_IDLE = 2 * _FILES
_SPARE = 20


@contextmanager
def _crowd(http: str) -> Iterator[None]:
    """Many who connect and say nothing more."""
    host, port = http.removeprefix("http://").split(":")
    with ExitStack() as stack:
        for _ in range(_IDLE):
            idle = stack.enter_context(socket.create_connection((host, int(port)), 5))
            idle.sendall(b"GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n")
        yield


async def test_without_file_handles_old_connections_work_and_new_ones_come_back(
    tmp_path: Path,
) -> None:
    with engines.needed():
        limit = shutil.which("prlimit")
        if limit is None:
            raise Misconfigured("install util-linux for prlimit")
    arguments = at.up_arguments(at.write_config(tmp_path), tmp_path / "data")
    up = at.Running(*arguments, under=(limit, f"--nofile={_FILES}:{_FILES}"))
    try:
        await at.gate_open(up.http)
        await at.stock(up.http, at.credential(tmp_path / "data"), S_001=50)
        sender, files = at.Sender(up.http), psutil.Process(up.pid).num_fds
        before = files()
        async with httpx.AsyncClient(timeout=5) as old, httpx.AsyncClient(timeout=5) as new:
            await sender.send(old, 0, at.order(1))
            async with asyncio.TaskGroup() as group:
                with _crowd(up.http):
                    await at.until(lambda: _is_at_least(files(), _FILES - 2))
                    await sender.send(old, 1, at.order(2))
                    refused = group.create_task(sender.send(new, 2, at.order(3)))
                    await at.until(lambda: _is_at_least(sender.retries, 1))
                    assert set(sender.answers) == {0, 1}
                await asyncio.wait_for(refused, 20)
        assert {answer["outcome"] for answer in sender.answers.values()} == {"applied"}
        await at.until(lambda: _is_at_least(before + _SPARE, files()))
    finally:
        up.close()


async def _is_at_least(value: int, wanted: int) -> bool:
    return value >= wanted
