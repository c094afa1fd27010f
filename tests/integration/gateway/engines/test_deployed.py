"""The files of `deploy/`, with the real servers started on them."""

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml  # type: ignore[import-untyped]
from redis.backoff import ConstantBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.retry import Retry

from gateway.engines.nats import READS, find_nats
from gateway.engines.redis import find_redis
from gateway.engines.redis_access import COMMANDS
from tests.engines import needed
from tests.integration.gateway.engines.roles import check_roles
from tests.tidy.source import ROOT

_LIST = "/tmp/users.acl"  # noqa: S108 - in the container
_NATS = ROOT / "deploy" / "nats.conf"
_PORT = re.compile(rb"Listening for client connections on 127\.0\.0\.1:(\d+)")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """Start a server on the file, moved to a free loopback port and a folder; gives the port."""
    text = _NATS.read_text()
    for there, here in (
        ('"0.0.0.0:4222"', '"127.0.0.1:-1"'),
        ('http: "127.0.0.1:8222"', ""),
        ('"/data"', f'"{tmp_path}/data"'),
        ("10GB", "64MB"),
    ):
        assert there in text
        text = text.replace(there, here)
    file = tmp_path / "nats.conf"
    file.write_text(text)
    environ = {"NATS_PASSWORD": "writing", "NATS_READER_PASSWORD": "reading"}
    command = [find_nats()[0], "-c", str(file)]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) as process:
        assert process.stderr
        for line in process.stderr:
            if found := _PORT.search(line):
                port = int(found[1])
            if b"Server is ready" in line:
                break
        yield port
        process.terminate()
        process.stderr.read()


async def test_of_the_brokers_users_only_one_may_change_the_stream(broker: int) -> None:
    at = f"127.0.0.1:{broker}"
    await check_roles(f"nats://imv:writing@{at}", f"nats://reader:reading@{at}")


def test_the_reader_may_do_what_the_embedded_one_may() -> None:
    granted = _NATS.read_text().partition("user: reader")[2].partition("subscribe:")[0]
    assert tuple(re.findall(r'"([^"]+)"', granted)) == READS


@pytest.fixture
def service() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    found: dict[str, Any] = document["services"]["redis"]
    return found


def test_the_user_of_redis_may_do_what_the_embedded_one_may(service: dict[str, Any]) -> None:
    granted = {word.removeprefix("+") for word in service["environment"]["REDIS_COMMANDS"].split()}
    assert granted - set(COMMANDS) == {
        *("auth", "hello", "ping", "info", "config|get", "client|setinfo")
    }
    assert set(COMMANDS) <= granted


def test_redis_starts_on_the_command_and_lets_its_user_do_what_the_gate_does(
    service: dict[str, Any],
) -> None:
    with needed(), tempfile.TemporaryDirectory(prefix="imv-") as name:
        folder = Path(name)
        (folder / "redis-server").symlink_to(find_redis()[0])
        process = _started(service, folder)
        try:
            _look(folder / "redis.sock")
        finally:
            process.terminate()
            process.wait(10)


def _started(service: dict[str, Any], folder: Path) -> subprocess.Popen[bytes]:
    """Run the service's command, on a socket and files in a folder."""
    shell, option, text = service["command"]
    script = text.replace("$$", "$").replace(_LIST, f"{folder}/users.acl")
    script += f" --port 0 --unixsocket {shlex.quote(str(folder / 'redis.sock'))} --dir {folder}"
    commands = service["environment"]["REDIS_COMMANDS"]
    if find_redis()[1] < (7, 2):
        commands = commands.replace(" +client|setinfo", "")  # the image's server knows it
    environ = {
        "PATH": f"{folder}{os.pathsep}{os.defpath}",
        "REDISCLI_AUTH": "example",
        "REDIS_COMMANDS": commands,
    }
    return subprocess.Popen([shell, option, script], env=environ, stdout=subprocess.DEVNULL)


def _look(socket: Path) -> None:
    """Connect as the user, which works soon; then see what it may do, and that nobody else may."""
    waiting = Retry(ConstantBackoff(0.05), 200)
    errors = [redis.exceptions.ConnectionError, FileNotFoundError]
    url = f"unix://imv:example@{socket}"
    with redis.Redis.from_url(url, retry=waiting, retry_on_error=errors) as client:
        client.set("imv:{market:uk}:epoch", "e1")
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        with pytest.raises(NoPermissionError):
            client.flushall()
    with (
        redis.Redis(unix_socket_path=str(socket)) as nobody,
        pytest.raises(AuthenticationError),
    ):
        nobody.get("imv:{market:uk}:epoch")


def test_the_documented_user_is_the_deployed_one(service: dict[str, Any]) -> None:
    documented = (ROOT / "README.md").read_text().partition("-@all\n")[2].partition("```")[0]
    assert documented.split() == service["environment"]["REDIS_COMMANDS"].split()
