"""The fixtures of every test: real engines, started once, empty for each test."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from config.settings import environment
from gateway.engines.nats import NatsServer
from store.engine import Database
from store.migrate import migrate
from tests import engines
from tests.engines import TestedRedis

if settings.get_current_profile_name() != "ci":
    # An example of more than 200 ms would be a failure: as on CI, no test of ours is about time.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestedRedis]:
    """One Redis for the whole run; do not stop it: take `own_redis` for that."""
    with engines.needed(), engines.running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: TestedRedis) -> str:
    """The address of an empty Redis for the gate's user, who may do what the gate does."""
    engines.wipe_redis(redis_server.owner_url)
    return redis_server.url


@pytest.fixture
def redis_owner_url(redis_url: str, redis_server: TestedRedis) -> str:
    """The address of the same Redis for a user who may do everything."""
    assert redis_url == redis_server.url
    return redis_server.owner_url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[TestedRedis]:
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
def own_postgres() -> Iterator[engines.PostgresServer]:
    """A server of the test's own, which it may kill."""
    with engines.needed(), engines.running_postgres() as server:
        yield server


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


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with every table, to copy."""
    path = tmp_path_factory.mktemp("migrated") / "imv.sqlite"
    engines.apart(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def migrated_template(postgres_databases: engines.Databases) -> Iterator[str]:
    """The name of a PostgreSQL database with every table, to clone; nobody connects to it."""
    url = postgres_databases.create()
    engines.apart(migrate(url))
    yield engines.name_of(url)
    postgres_databases.drop(url)


@pytest.fixture
def migrated_sqlite_url(sqlite_url: str, tmp_path: Path, migrated_file: Path) -> str:
    """An SQLite database with every table and no rows but its incarnation."""
    shutil.copyfile(migrated_file, tmp_path / "imv.sqlite")
    return sqlite_url


@pytest.fixture
def migrated_postgres_url(
    postgres_databases: engines.Databases, migrated_template: str
) -> Iterator[str]:
    """A PostgreSQL database with every table and no rows but its incarnation."""
    url = postgres_databases.create(migrated_template)
    yield url
    postgres_databases.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """Both databases with every table; a test that takes this runs on each."""
    names = {"sqlite": "migrated_sqlite_url", "postgresql": "migrated_postgres_url"}
    url: str = request.getfixturevalue(names[request.param])
    return url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """Both databases with every table, open; a test that takes this runs on each."""
    database = Database(migrated_url)
    yield database
    await database.close()


@pytest.fixture
async def sqlite_database(migrated_sqlite_url: str) -> AsyncIterator[Database]:
    """SQLite with every table, open."""
    database = Database(migrated_sqlite_url)
    yield database
    await database.close()


@pytest.fixture
async def postgres_database(migrated_postgres_url: str) -> AsyncIterator[Database]:
    """PostgreSQL with every table, open."""
    database = Database(migrated_postgres_url)
    yield database
    await database.close()
