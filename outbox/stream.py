"""The stream as it must be, and what JetStream tells of it."""

from typing import Final

import msgspec

from outbox.event import MARKERS, STREAM, SUBJECTS

_NANOSECONDS: Final = 1_000_000_000
STORE_SHARE: Final = 0.8


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between installations.

    `store_bytes` is what the server may keep on disk; 0 asks the server for its account's limit.
    """

    replicas: int = 1
    max_age_s: float = 7 * 86_400
    duplicate_window_s: float = 120
    store_bytes: int = 0


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A stream's settings in JetStream's own words; times in nanoseconds."""

    name: str
    subjects: tuple[str, ...]
    retention: str = "limits"
    storage: str = "file"
    discard: str = "new"
    max_age: int
    max_bytes: int
    duplicate_window: int
    num_replicas: int
    allow_atomic: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    allow_rollup_hdrs: bool = False
    sealed: bool = False
    persist_mode: str = "default"


class StreamState(msgspec.Struct, frozen=True):
    """Where the stream begins and ends."""

    messages: int
    first_seq: int
    last_seq: int
    bytes: int


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream's settings, identity and state."""

    config: StreamConfig
    created: str
    state: StreamState


class StoreLimits(msgspec.Struct, frozen=True):
    """The account's limits, in bytes; -1 is none."""

    max_storage: int


class AccountInfo(msgspec.Struct, frozen=True):
    """What the account may use."""

    limits: StoreLimits


def wanted(options: StreamOptions, store_bytes: int) -> StreamConfig:
    """Return the stream's settings; a store of unknown size gets no bound."""
    return StreamConfig(
        name=STREAM,
        subjects=(SUBJECTS, MARKERS),
        max_age=int(options.max_age_s * _NANOSECONDS),
        max_bytes=int(store_bytes * STORE_SHARE) if store_bytes > 0 else -1,
        duplicate_window=int(options.duplicate_window_s * _NANOSECONDS),
        num_replicas=options.replicas,
        allow_atomic=True,
        deny_delete=True,
        deny_purge=True,
    )


def fixed_difference(there: StreamConfig, config: StreamConfig) -> str:
    """Return the first setting that no update can change and that is wrong, or nothing."""
    for name in ("storage", "retention", "sealed", "persist_mode"):
        if getattr(there, name) != getattr(config, name):
            return name
    return ""
