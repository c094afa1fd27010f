"""The stock gate on a Redis cluster: every script names its keys, and they share one slot."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from config.errors import EngineDown
from gateway.engines.child import Child
from gateway.engines.redis import find_redis
from store.gate_port import Granted
from tests import engines
from tests.integration.store.gate_world import (
    LAMP,
    LAMP_YORK,
    RUG,
    UK,
    World,
    eventually,
    free,
    operation,
    world,
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node that owns every slot."""
    folder = tmp_path_factory.mktemp("cluster")
    # The cluster bus listens 10,000 above the port.
    port = 20_000 + _free_port() % 10_000
    with engines.needed():
        node = _node(folder, port)
        node.start()
    try:
        with redis.Redis(port=port) as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        yield f"redis+cluster://127.0.0.1:{port}"
    finally:
        node.stop()


def _node(folder: Path, port: int) -> Child:
    program, _ = find_redis()
    options = {
        "port": port,
        "dir": folder,
        "cluster-enabled": "yes",
        "save": "",
        "bind": "127.0.0.1",
    }
    command = [
        program,
        *(part for name, value in options.items() for part in (f"--{name}", f"{value}")),
    ]
    return Child(command, log=folder / "redis.log", ready=lambda: _answers(port))


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
async def uk(sqlite_url: str, cluster_url: str) -> AsyncIterator[World]:
    async with world(sqlite_url, cluster_url) as made:
        await made.stock({LAMP: 10, LAMP_YORK: 3, RUG: 5})
        yield made


async def _opened(uk: World) -> bool:
    with suppress(EngineDown):  # a new cluster says for a moment that it is down
        return await uk.keeper.look(UK)
    return False


async def test_the_whole_life_of_a_gate_runs_on_a_cluster(uk: World) -> None:
    await eventually(lambda: _opened(uk))
    answers = await uk.gate.reserve(
        UK, (operation("a", (LAMP, 4), (RUG, 1)), operation("b", (LAMP_YORK, 3)))
    )
    assert all(isinstance(answer, Granted) for answer in answers)
    await uk.gate.undo(UK, (answers[1].operation,))
    await uk.gate.shift(UK, (operation("c", (RUG, -2)),))
    assert [await free(uk.gate, cell) for cell in (LAMP, LAMP_YORK, RUG)] == [6, 3, 6]
    await uk.keeper.repair(UK, frozenset({RUG}))
    assert await free(uk.gate, RUG) == 4
    uk.clock.advance(11)
    await uk.keeper.tend(UK)
    assert await free(uk.gate, LAMP) == 10
    assert await uk.keeper.rebuild(UK)
    await uk.keeper.tend(UK)
    assert await free(uk.gate, RUG) == 5
