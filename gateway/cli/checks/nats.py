"""Checks of NATS: reachable, durable, the stream as it must be and not about to be full."""

from contextlib import suppress
from typing import Final

import msgspec

from config.errors import ImvError
from gateway.cli.checks.finding import Finding, Subject, fail, judged, ok, warn
from gateway.engines.nats import Identity
from outbox.event import STREAM
from outbox.nats_connection import ApiError, NatsConnection
from outbox.stream import AccountInfo, StreamInfo

_FULL_SHARE: Final = 0.7
_CONFIGURATION: Final = "nats.conf"
_IDENTITY: Final = "nats.json"
_SYNC: Final = "sync_interval: always"
_WANTED: Final = {
    "storage": "file",
    "discard": "new",
    "retention": "limits",
    "allow_atomic": True,
    "deny_delete": True,
    "deny_purge": True,
    "persist_mode": "default",
}


class _Account(msgspec.Struct, frozen=True):
    """What the account keeps, in bytes."""

    storage: int = 0


async def nats(subject: Subject) -> list[Finding]:
    """Ask for the stream and its fill."""
    if not subject.urls.nats:
        return [ok("nats", "embedded, not running")]
    connection = NatsConnection(subject.urls.nats, "imv-doctor")
    try:
        info = await connection.api(f"STREAM.INFO.{STREAM}", None, StreamInfo)
        limits = await connection.api("INFO", None, AccountInfo)
        used = await connection.api("INFO", None, _Account)
        version = await _version(connection)
    except ImvError as error:
        return [fail("nats", error.detail, "start NATS with JetStream, or correct engines.nats")]
    finally:
        await connection.close()
    return [ok("nats", version), _sync(subject), *_stream(info), *_store(subject, limits, used)]


async def _version(connection: NatsConnection) -> str:
    client = await connection.client()
    return str(client.connected_server_version).strip("<>").rpartition(" v")[2]


def _sync(subject: Subject) -> Finding:
    """Look at the file of an embedded server; a client is not told how another one syncs."""
    advice = "see that its file has sync_interval: always in the jetstream section"
    if subject.instance.settings.engines.nats:
        return warn("nats sync", "an external server does not tell its sync_interval", advice)
    file = subject.instance.data / _CONFIGURATION
    good = file.is_file() and _SYNC in file.read_text()
    return judged("nats sync", "" if good else f"{file} lacks it", _SYNC, "restart the instance")


def _stream(info: StreamInfo | ApiError) -> list[Finding]:
    if isinstance(info, ApiError):
        return [fail("stream", info.description, "start the relay; it makes the stream")]
    config = info.config
    wrong = [
        f"{name} is {getattr(config, name)}, not {want}"
        for name, want in _WANTED.items()
        if getattr(config, name) != want
    ]
    right = f"{STREAM}: {info.state.messages} messages, file storage, discard new, no deletes"
    settings = judged("stream", "; ".join(wrong), right, "start the relay; it mends what it can")
    return [settings, _fill("stream fill", info.state.bytes, config.max_bytes)]


def _store(
    subject: Subject, limits: AccountInfo | ApiError, used: _Account | ApiError
) -> list[Finding]:
    """Compare what the account keeps with its limit, or with an embedded server's whole store."""
    if isinstance(limits, ApiError) or isinstance(used, ApiError):
        return []
    most = limits.limits.max_storage
    if most <= 0 and not subject.instance.settings.engines.nats:
        most = _embedded_store(subject)
    return [_fill("store fill", used.storage, most)]


def _embedded_store(subject: Subject) -> int:
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(
            (subject.instance.data / _IDENTITY).read_bytes(), type=Identity
        ).store_bytes
    return 0


def _fill(check: str, used_bytes: int, max_bytes: int) -> Finding:
    if max_bytes <= 0:
        return ok(check, f"{used_bytes >> 20} MiB, without a limit")
    share = used_bytes / max_bytes
    text = f"{used_bytes >> 20} of {max_bytes >> 20} MiB ({share:.0%})"
    advice = "a full stream refuses every event: give it more room, or let events expire sooner"
    return judged(check, text if share >= _FULL_SHARE else "", text, advice, level="warn")
