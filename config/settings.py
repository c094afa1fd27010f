"""Settings, read once from one TOML file and the environment, decoded strictly."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from config.errors import Misconfigured
from config.limits import (
    ANSWER_WITHIN_S,
    BODY_BYTES_MAX,
    PARTITIONS_MAX,
    QUEUE_MESSAGES_MAX,
    REFUSALS_PER_S,
)

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
SourceName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every section shares: strict and immutable."""


class GatewaySettings(_Section, frozen=True, kw_only=True):
    """`[gateway]`: where the edge listens and what it takes."""

    host: str = "127.0.0.1"
    port: Port = 8080
    body_bytes_max: Annotated[int, msgspec.Meta(ge=1024)] = BODY_BYTES_MAX
    queue_messages_max: Annotated[int, msgspec.Meta(ge=1)] = QUEUE_MESSAGES_MAX
    answer_within_s: Annotated[float, msgspec.Meta(gt=0)] = ANSWER_WITHIN_S
    """As many webhooks are taken at once as are answered within this time; the others get 503."""
    allowed_origins: tuple[str, ...] = ()
    """Origins besides our own that may open `/v1/stream`, exactly as the browser sends them."""
    refusals_per_s: Annotated[float, msgspec.Meta(ge=0)] = REFUSALS_PER_S
    """How many requests with a wrong signature or token one address may send, 20 s of them at once;
    beyond it they get 429. 0: any number."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses (or networks) whose `X-Forwarded-For` and `X-Forwarded-Proto` count; none by default."""


class EngineSettings(_Section, frozen=True, kw_only=True):
    """`[engines]`: external engines; an empty one runs embedded."""

    database: str = ""
    redis: str = ""
    nats: tuple[str, ...] = ()


class NetworkSettings(_Section, frozen=True, kw_only=True):
    """`[network]`: the file with markets, locations, costs and calendars."""

    file: str = ""


class RelaySettings(_Section, frozen=True, kw_only=True):
    """`[relay]`: how events leave; the number of partitions never changes on a live database."""

    partitions: Annotated[int, msgspec.Meta(ge=1, le=PARTITIONS_MAX)] | None = None
    """Over so many relays can share the work; None: what the database began with."""


class SourceSettings(_Section, frozen=True, kw_only=True):
    """`[[sources]]`: one channel account; `id` is the path below `/webhooks/`."""

    id: SourceName
    provider: str
    market: str
    secrets: tuple[str, ...] = ()
    requests_per_s: Annotated[float, msgspec.Meta(ge=0)] = 0
    """How many genuine webhooks a worker takes, 20 s of them at once; beyond it 429. 0: any number."""
    options: dict[str, Any] = {}


class Settings(_Section, frozen=True, kw_only=True):
    """Everything that can be configured."""

    gateway: GatewaySettings = GatewaySettings()
    engines: EngineSettings = EngineSettings()
    network: NetworkSettings = NetworkSettings()
    relay: RelaySettings = RelaySettings()
    sources: tuple[SourceSettings, ...] = ()


def environment() -> Mapping[str, str]:
    """Return the process environment; nothing else in the project reads it."""
    return os.environ  # noqa: TID251 - the one place


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the file, lay the environment over it, and decode strictly.

    Raises:
        Misconfigured: the file is missing or not TOML, a key is unknown or a value has the wrong form.
    """
    return decode(_read(path) if path else {}, environ)


def decode(document: dict[str, Any], environ: Mapping[str, str]) -> Settings:
    """Lay `IMV_<SECTION>_<KEY>` over a document and decode it; see `load` for errors."""
    try:
        settings = msgspec.convert(_overlaid(document, environ), Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"configuration: {error}") from error
    ids = [source.id for source in settings.sources]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise Misconfigured(f"configuration: [[sources]] id used twice: {', '.join(sorted(twice))}")
    return settings


def resolve_secret(reference: str, environ: Mapping[str, str]) -> bytes:
    """Turn `env:NAME`, `file:PATH` or `plain:TEXT` into the secret's bytes.

    Raises:
        Misconfigured: an unknown form, nothing there, or an empty secret; never shows the secret.
    """
    kind, _, rest = reference.partition(":")
    match kind:
        case "env":
            value = environ.get(rest, "")
        case "file":
            try:
                value = Path(rest).read_text().rstrip("\n")
            except OSError as error:
                raise Misconfigured(f"secret file {rest}: {error.strerror}") from error
        case "plain":
            value = rest
        case _:
            raise Misconfigured("a secret must begin with env:, file: or plain:")
    if not value:
        raise Misconfigured(f"secret {kind}:{rest if kind != 'plain' else '…'} is empty")
    return value.encode()


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise Misconfigured(f"configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"configuration file {path} is not TOML: {error}") from error


def _overlaid(document: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the document with every `IMV_<SECTION>_<KEY>` that names a setting laid over it."""
    result = dict(document)
    for section in msgspec.structs.fields(Settings):
        if section.name == "sources":
            continue
        for key in msgspec.structs.fields(section.type):
            name = f"IMV_{section.name}_{key.name}".upper()
            if name in environ:
                value: Any = environ[name]
                if key.type not in (str, int, float, bool) and "tuple" in str(key.type):
                    value = [part.strip() for part in value.split(",") if part.strip()]
                table = result.get(section.name, {})
                result[section.name] = {**table, key.name: value}
    return result
