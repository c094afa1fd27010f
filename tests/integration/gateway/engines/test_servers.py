"""Redis and NATS: where they listen, what they promise, what they say when it cannot work."""

import json
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import psutil
import pytest
import redis
import redis.exceptions
from nats.js.api import StreamConfig

from config.errors import Misconfigured
from config.settings import EngineSettings
from gateway.engines import nats as nats_engine
from gateway.engines.binary import packaged, version_of
from gateway.engines.embedded import Engines, running_engines
from gateway.engines.folder import DataFolder
from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer, find_redis
from tests.engines import apart, on_ci
from tests.integration.gateway.engines.roles import check_roles

STRACE = shutil.which("strace") or ""
needs_strace = pytest.mark.skipif(not STRACE and not on_ci(), reason="strace is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    with DataFolder(tmp_path / "data") as opened:
        yield opened


def listening(pid: int | None) -> list[tuple[str, int]]:
    sockets = psutil.Process(pid).net_connections("inet")
    return [(s.laddr.ip, s.laddr.port) for s in sockets if s.status == psutil.CONN_LISTEN]


def test_redis_listens_on_a_private_socket_and_nowhere_else(own_redis: RedisServer) -> None:
    assert listening(own_redis.pid) == []
    mode = own_redis.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o700


def test_nats_listens_on_loopback_and_nowhere_else(own_nats: NatsServer) -> None:
    assert listening(own_nats.pid) == [("127.0.0.1", own_nats.identity.port)]


def test_the_programs_are_new_enough(own_redis: RedisServer, own_nats: NatsServer) -> None:
    assert own_redis.version >= (6, 2)
    assert own_nats.version >= (2, 15)


def test_nats_lets_nobody_in_without_the_password(own_nats: NatsServer) -> None:
    with socket.create_connection(("127.0.0.1", own_nats.identity.port), 5) as client:
        client.sendall(b"CONNECT {}\r\nPING\r\n")
        answers = client.makefile("rb").read()
    assert b"Authorization Violation" in answers
    assert b"PONG" not in answers


async def test_nats_takes_what_is_over_its_default_payload(own_nats: NatsServer) -> None:
    client = await nats.connect(own_nats.url)
    assert client.max_payload == 8 * 1024 * 1024
    await client.close()


def test_what_holds_the_password_is_private(own_nats: NatsServer) -> None:
    folder = own_nats.log.parent
    for name in ("nats.json", "nats.conf"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert own_nats.identity.password not in own_nats.log.read_text()
    assert own_nats.identity.password not in " ".join(psutil.Process(own_nats.pid).cmdline())


def test_nats_keeps_port_password_and_store_over_restarts(folder: DataFolder) -> None:
    assert NatsServer(folder.path).identity == NatsServer(folder.path).identity


def test_nats_moves_to_another_port_when_its_last_one_is_taken(folder: DataFolder) -> None:
    before = NatsServer(folder.path).identity
    with socket.create_server(("127.0.0.1", before.port)):
        after = NatsServer(folder.path).identity
    assert after.port != before.port
    assert after.password == before.password


def test_a_port_that_was_asked_for_and_is_taken_is_refused(folder: DataFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port} is taken"):
            NatsServer(folder.path, port=port)


def test_a_damaged_identity_is_named(folder: DataFolder) -> None:
    (folder.path / "nats.json").write_text('{"name": 1}')
    with pytest.raises(Misconfigured, match=r"nats\.json is damaged"):
        NatsServer(folder.path)


def test_a_configuration_that_the_server_refuses_is_explained(folder: DataFolder) -> None:
    server = NatsServer(folder.path)
    identity = json.loads((folder.path / "nats.json").read_text()) | {"name": '"unclosed'}
    (folder.path / "nats.json").write_text(json.dumps(identity))
    with pytest.raises(Misconfigured, match="nats-server"):
        NatsServer(folder.path).start()
    assert not server.alive


def test_a_full_disk_is_named_before_nats_is_started(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_engine, "STORE_BYTES_MIN", 2**62)
    with pytest.raises(Misconfigured, match="disk is full"):
        NatsServer(folder.path)


def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="too long"):
        RedisServer(tmp_path, tmp_path / ("x" * 100))


def test_a_damaged_append_only_file_stops_redis_with_its_words(folder: DataFolder) -> None:
    server = RedisServer(folder.path, folder.runtime)
    (folder.path / "redis").mkdir()
    (folder.path / "redis" / "appendonly.aof").write_bytes(b"*1\r\n$3\r\nxxx\r\nnonsense" * 9)
    if server.version >= (7,):
        pytest.skip("from 7 on the append-only files are a folder")
    with pytest.raises(Misconfigured, match="ended while starting"):
        server.start()


@pytest.mark.parametrize("name", ["redis", "imv.db"])
def test_what_stands_in_the_way_of_an_engine_is_named(folder: DataFolder, name: str) -> None:
    path = folder.path / name
    path.mkdir() if name == "imv.db" else path.touch()
    with pytest.raises(Misconfigured, match=f"{name}.*move away"):
        _run_all(folder, EngineSettings())


def test_only_engines_that_the_settings_do_not_name_are_started(folder: DataFolder) -> None:
    named = EngineSettings(
        database="postgresql+asyncpg://there/imv", redis="redis://there", nats=("nats://there",)
    )
    everything = _run_all(folder, named)
    assert everything.children == ()
    assert (everything.urls.database, everything.urls.redis) == (named.database, named.redis)
    assert everything.urls.nats == named.nats
    some = _run_all(folder, EngineSettings(nats=("nats://there",)))
    assert [child.name for child in some.children] == [
        RedisServer(folder.path, folder.runtime).name
    ]
    assert some.urls.database.endswith("/imv.db")


def _run_all(folder: DataFolder, settings: EngineSettings) -> Engines:
    """Start what is ours, stop it again, and return what there was."""
    with running_engines(settings, folder) as engines:
        assert all(child.alive for child in engines.children)
    assert not any(child.alive for child in engines.children)
    return engines


def test_a_folder_name_with_spaces_and_quotes_works(tmp_path: Path) -> None:
    with DataFolder(tmp_path / 'my "data" \\ folder') as folder:
        for server in (RedisServer(folder.path, folder.runtime), NatsServer(folder.path)):
            server.start()
            server.stop()
        assert (folder.path / "redis").is_dir()
        assert (folder.path / "nats").is_dir()


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("gateway.engines.redis.packaged", lambda *_: [])
    monkeypatch.setattr("gateway.engines.nats.packaged", lambda *_: [])
    with pytest.raises(Misconfigured, match="no redis-server: install"):
        find_redis()
    with pytest.raises(Misconfigured, match=r"no nats-server 2\.15 or later: install"):
        nats_engine.find_nats()


@pytest.mark.parametrize(("words", "chosen"), [("Redis server v=7.4.1", True), ("v=6.2.0", False)])
def test_a_system_redis_is_taken_from_7_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, *, chosen: bool
) -> None:
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\necho '{words}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (find_redis()[0] == str(program)) is chosen


def test_a_program_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert version_of(str(tmp_path / "nothing")) == ()
    assert list(packaged("no-such-distribution", "x")) == []


def test_a_paused_redis_answers_nothing_until_it_goes_on(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url, socket_timeout=0.2, retry=None) as client:
        own_redis.pause()
        with pytest.raises(redis.exceptions.TimeoutError):
            client.ping()
        own_redis.resume()
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.ping()


def syncs_of(pid: int | None, path: Path, act: Callable[[], None]) -> int:
    """Count the fsyncs of a process while something is done."""
    tracer = subprocess.Popen(
        [STRACE, "-f", "-e", "trace=fsync,fdatasync", "-o", str(path), "-p", str(pid)],
        stderr=subprocess.PIPE,
    )
    assert tracer.stderr is not None
    tracer.stderr.readline()  # "attached"
    act()
    tracer.terminate()
    tracer.communicate()
    return len(re.findall(r"\bf(?:data)?sync\(", path.read_text()))


@needs_strace
def test_redis_syncs_every_write_before_it_answers(own_redis: RedisServer, tmp_path: Path) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.ping()

        def act() -> None:
            for number in range(20):
                client.set(f"imv:{number}", "1")

        assert syncs_of(own_redis.pid, tmp_path / "trace", act) >= 20


async def _publish(url: str) -> None:
    client = await nats.connect(url)
    streams = client.jetstream()
    await streams.add_stream(StreamConfig(name="X", subjects=["imv.v1.>"]))
    for number in range(20):
        await streams.publish(f"imv.v1.x.{number}", b"")
    await client.close()


@needs_strace
def test_nats_syncs_every_event_before_it_answers(own_nats: NatsServer, tmp_path: Path) -> None:
    syncs = syncs_of(own_nats.pid, tmp_path / "trace", lambda: apart(_publish(own_nats.url)))
    assert syncs >= 20


async def test_who_reads_the_stream_may_not_write_or_delete_it(own_nats: NatsServer) -> None:
    await check_roles(own_nats.url, own_nats.reader_url)
