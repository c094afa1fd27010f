"""The options that every channel knows, whatever its provider."""

from typing import Any

import msgspec


class ChannelOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Strict, so that a misspelt option is found when the source is opened."""

    stock_owner: tuple[str, ...] = ()
    """Locations of ours whose on-hand this source decides; read by the use case of counts."""
    api: dict[str, Any] = {}
    """What the source's ports (`KeySource`, `OrderSource`) need; read where they are built."""
