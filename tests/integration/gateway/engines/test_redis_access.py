"""What the embedded Redis lets the gate's user do, and everybody else: against the real server."""

import ast
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from config.errors import Misconfigured
from config.ids import MarketId
from gateway.engines.folder import DataFolder
from gateway.engines.redis import RedisServer, find_redis
from gateway.engines.redis_access import COMMANDS, KEYS
from store.gate_keys import MarketKeys
from tests.tidy.source import ROOT

_CALL = re.compile(r"redis\.call\('([A-Z]+)'")
_NO_ENTRY = r"(?i)authenticat|invalid username"
_REFUSED = r"(?i)permission|can't (run|access)"
_DENIED = (
    ("FLUSHALL",),
    ("CONFIG", "SET", "appendfsync", "no"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("SCRIPT", "FLUSH"),
    ("ACL", "LIST"),
    ("DEBUG", "SLEEP", "0"),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "192.0.2.1", "6379"),
    ("SUBSCRIBE", "imv:any"),
    ("GET", "another"),
    ("EVAL", "return redis.call('GET', 'another')", "0"),
    ("EVAL", "return redis.call('FLUSHALL')", "0"),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with DataFolder(tmp_path / "data") as folder:
        server = RedisServer(folder.path, folder.runtime, inherit=(folder.lock,))
        server.start()
        yield server
        server.stop()


def test_the_user_has_what_the_gate_does_and_nothing_else() -> None:
    store = ROOT / "store"
    scripts = [file.read_text() for file in (store / "lua").glob("*.lua")]
    done = {name.lower() for text in scripts for name in _CALL.findall(text)} | {"eval", "evalsha"}
    for file in store.glob("gate*.py"):
        done |= {name.lower() for name in _plain_commands(ast.parse(file.read_text()))}
    assert set(COMMANDS) == done


def _plain_commands(tree: ast.Module) -> Iterator[str]:
    """Yield the first argument of every `….read("GET", …)` and `….write(…)` with a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            first = node.args[0] if node.args else None
            named = node.func.attr in {"read", "write"} and isinstance(first, ast.Constant)
            if named and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def test_every_key_of_the_gate_is_within_reach() -> None:
    keys = MarketKeys(MarketId("uk"))
    assert keys.epoch.startswith(KEYS.removesuffix("*"))
    assert keys.under("e").operations.startswith(KEYS.removesuffix("*"))


def test_nobody_comes_in_without_the_password(server: RedisServer) -> None:
    for name, guessed in ((None, None), ("imv", "guessed"), (None, "guessed")):
        with (
            redis.Redis(
                unix_socket_path=str(server.socket), username=name, password=guessed
            ) as client,
            pytest.raises((AuthenticationError, ResponseError), match=_NO_ENTRY),
        ):
            client.get("imv:any")


@pytest.mark.parametrize("command", _DENIED, ids=lambda command: " ".join(command[:2]))
def test_the_user_may_not(server: RedisServer, command: tuple[str, ...]) -> None:
    with redis.Redis.from_url(server.url) as client:
        with pytest.raises((NoPermissionError, ResponseError), match=_REFUSED):
            client.execute_command(*command)
        assert client.ping()
        assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_the_password_is_private_and_the_list_holds_its_digest_only(server: RedisServer) -> None:
    folder = server.log.parent
    for name in ("redis.json", "redis.acl", "redis.conf"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    for shown in (folder / "redis.acl", folder / "redis.conf", server.log):
        assert server.access.password not in shown.read_text()
    assert server.access.password not in " ".join(psutil.Process(server.pid).cmdline())


def test_the_password_stays_over_restarts(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("imv:kept", "yes")
        server.kill()
        server.start()
        assert client.get("imv:kept") == b"yes"
    assert RedisServer(server.log.parent, server.socket.parent).access == server.access


def test_a_folder_of_before_there_was_a_user_keeps_its_data(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data") as folder:
        _as_it_was(folder.path / "redis")
        server = RedisServer(folder.path, folder.runtime, inherit=(folder.lock,))
        server.start()
        try:
            with redis.Redis.from_url(server.url) as client:
                assert client.get("imv:{market:uk}:epoch") == b"e1"
        finally:
            server.stop()


def _as_it_was(data: Path) -> None:
    """Write what a server without users writes, into a folder of data."""
    data.mkdir(mode=0o700)
    socket = Path(tempfile.mkdtemp(prefix="imv-")) / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--dir", str(data)]
    options += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    process = subprocess.Popen([find_redis()[0], *options], stdout=subprocess.DEVNULL)
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)
    with redis.Redis(
        unix_socket_path=str(socket),
        retry=retry,
        retry_on_error=[redis.exceptions.ConnectionError, FileNotFoundError],
    ) as client:
        client.set("imv:{market:uk}:epoch", "e1")
    process.terminate()
    process.wait(10)
    shutil.rmtree(socket.parent)


def test_a_damaged_password_file_is_named(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data") as folder:
        (folder.path / "redis.json").write_text('{"password": 1}')
        with pytest.raises(Misconfigured, match=r"redis\.json is damaged"):
            RedisServer(folder.path, folder.runtime)
