"""The fixtures of every test: real engines, started once, empty for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import environment
from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
from tests import engines


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the whole run; do not stop it: take `own_redis` for that."""
    with engines.needed(), engines.running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty Redis."""
    engines.wipe_redis(redis_server.url)
    return redis_server.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis to kill, pause and start again."""
    with engines.needed(), engines.running_redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One NATS for the whole run; do not stop it: take `own_nats` for that."""
    with engines.needed(), engines.running_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    """The address of a NATS without streams."""
    engines.wipe_nats(nats_server.url)
    return nats_server.url


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS to kill, pause and start again."""
    with engines.needed(), engines.running_nats(tmp_path / "nats") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[engines.Databases]:
    """Where databases are made: the server of IMV_TEST_POSTGRES, else one of our own."""
    if url := environment().get("IMV_TEST_POSTGRES"):
        yield engines.Databases(url)
        return
    with engines.needed(), engines.running_postgres() as server:
        yield engines.Databases(server.url)


@pytest.fixture
def postgres_url(postgres_databases: engines.Databases) -> Iterator[str]:
    """An empty PostgreSQL database, for SQLAlchemy with asyncpg."""
    url = postgres_databases.create()
    yield url
    postgres_databases.drop(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite database file that is not there yet, for SQLAlchemy with aiosqlite."""
    return f"sqlite+aiosqlite:///{tmp_path / 'imv.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Both databases, empty; a test that takes this runs on each."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url
