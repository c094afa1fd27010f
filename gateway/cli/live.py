"""A running instance as commands see it: found by its data folder, asked over HTTP."""

import fcntl
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from config.errors import EngineDown, Misconfigured, Rejected, Unavailable
from gateway.cli.instance import Instance
from gateway.running import Running, read_running
from gateway.urls import url_at

REQUEST_S: Final = 30.0
_UNAVAILABLE: Final = 503


class _Problem(msgspec.Struct, frozen=True):
    """The part of a problem detail that people read."""

    detail: str = ""


def find_running(instance: Instance) -> Running | None:
    """Return the note of the instance on the data folder, None when none runs there.

    A killed instance leaves its note but not its lock, so the lock decides.

    Raises:
        Misconfigured: the note is damaged.
    """
    running = read_running(instance.data)
    return running if running and is_locked(instance.data) else None


def is_locked(folder: Path) -> bool:
    """Tell whether an instance, or a command that stands in for one, has the data folder open."""
    try:
        file = (folder / "lock").open("rb")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def http_of(instance: Instance) -> str:
    """Return where the instance serves; one of `imv serve` is where its settings say.

    Raises:
        Misconfigured: nothing runs on the data folder.
    """
    if running := find_running(instance):
        return running.http
    if instance.embedded:
        raise Misconfigured(
            f"no instance runs on {instance.data}; start it with `imv up`, "
            "or name its folder with --data"
        )
    gateway = instance.settings.gateway
    return url_at(gateway.host, gateway.port)


def nats_of(instance: Instance) -> tuple[str, ...]:
    """Return the addresses of the instance's NATS, credentials included; errors as `http_of`."""
    if instance.settings.engines.nats:
        return instance.settings.engines.nats
    if running := find_running(instance):
        return (running.nats,)
    raise Misconfigured(f"no instance runs on {instance.data}; start it with `imv up`")


def client(http: str, token: str = "") -> httpx.Client:
    """Return a client for one instance; the caller closes it."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=http, headers=headers, timeout=REQUEST_S, trust_env=False)


def ask(
    http: httpx.Client,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Send a request and return whatever is answered; EngineDown when nobody answers."""
    try:
        return http.request(method, path, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise EngineDown(
            f"{http.base_url} does not answer ({type(error).__name__}); see `imv doctor`"
        ) from error


def told(answer: httpx.Response) -> Any:
    """Return the JSON of a good answer.

    Raises:
        Unavailable: the instance is not able now. Rejected: it refused, with its own words.
    """
    if answer.is_success:
        return msgspec.json.decode(answer.content) if answer.content else None
    try:
        detail = msgspec.json.decode(answer.content, type=_Problem).detail
    except msgspec.DecodeError:
        detail = ""
    kind = Unavailable if answer.status_code == _UNAVAILABLE else Rejected
    raise kind(detail or f"the instance answered {answer.status_code}")
