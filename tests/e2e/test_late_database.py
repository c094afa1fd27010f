"""A gateway that starts before its database does."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
from store.migrate import migrate
from tests import engines
from tests.e2e import instance as at


@pytest.fixture
async def config(
    tmp_path: Path,
    own_redis: RedisServer,
    own_nats: NatsServer,
    own_postgres: engines.PostgresServer,
) -> Path:
    """An instance whose database is there, migrated, but does not run now."""
    url = engines.Databases(own_postgres.url).create()
    await migrate(url)
    own_postgres.kill()
    where = {"database": url, "redis": own_redis.url, "nats": [own_nats.url]}
    return at.write_config(tmp_path, engines=where)


@contextmanager
def _waiting(config: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a gateway that says that it waits."""
    arguments = (sys.executable, "-m", "gateway", "serve", "--port", "0", "--config", str(config))
    with subprocess.Popen(
        arguments, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as serve:
        try:
            assert serve.stderr
            assert "database.awaited" in serve.stderr.readline()
            yield serve
        finally:
            serve.kill()


async def test_serve_waits_for_its_database(
    config: Path, own_postgres: engines.PostgresServer
) -> None:
    with _waiting(config) as serve:
        assert serve.poll() is None
        own_postgres.start()
        assert serve.stdout
        assert '"ready":true' in await asyncio.to_thread(serve.stdout.readline)


async def test_who_waits_ends_at_once_when_told(config: Path) -> None:
    with _waiting(config) as serve:
        serve.terminate()
        assert await asyncio.to_thread(serve.wait, 10) == 0
