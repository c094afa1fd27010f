"""All who write or relay a database's events use the number of partitions that it began with."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
from outbox.beginning import agree
from store.engine import Database
from store.migrate import migrate
from tests.e2e import instance as at


@pytest.mark.parametrize("role", ["serve", "relay"])
async def test_another_number_than_the_database_began_with_is_said_and_nothing_is_written(
    role: str, tmp_path: Path, own_redis: RedisServer, own_nats: NatsServer
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'imv.db'}"
    await migrate(url)
    database = Database(url)
    assert await agree(database, 4) == 4
    await database.close()
    before = _content(tmp_path / "imv.db")
    where = {"database": url, "redis": own_redis.url, "nats": [own_nats.url]}
    config = at.write_config(tmp_path, engines=where, relay={"partitions": 2})
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs in this loop
        (sys.executable, "-m", "gateway", role, "--config", str(config)),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "began with 4; set it to 4, or leave it out" in done.stderr
    assert "Traceback" not in done.stderr
    assert _content(tmp_path / "imv.db") == before


def _content(database: Path) -> list[str]:
    """Return every table with every row, as the statements that make them."""
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())
