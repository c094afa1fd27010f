"""The configured sources: each one's channel, with its secrets, and the way to its platform."""

from collections.abc import Mapping
from typing import Final

import httpx
import msgspec

from config.clock import Clock
from config.errors import Misconfigured
from config.ids import LocationId, MarketId, SourceId
from config.settings import Settings, SourceSettings, resolve_secret
from gateway.platforms import KEY_PATHS, ORDER_PATHS, Api, CachedKeys, PlatformApi
from handlers.completer import Platform
from handlers.directory import Source
from handlers.sources.channel import Account, Channel
from handlers.sources.registry import open_channel

_GENERIC_OPTIONS: Final = ("stock_owner", "api")


def open_channels(
    settings: Settings, environ: Mapping[str, str], http: httpx.AsyncClient, clock: Clock
) -> tuple[dict[SourceId, Channel], dict[SourceId, Platform]]:
    """Open one channel for each source, and the way to its platform where it is configured."""
    channels: dict[SourceId, Channel] = {}
    platforms: dict[SourceId, Platform] = {}
    for source in settings.sources:
        source_id = SourceId(source.id)
        api = _api(source, environ, http)
        channel = open_channel(source.provider, _account(source, environ, api.get("keys"), clock))
        channels[source_id] = channel
        if "orders" in api:
            platforms[source_id] = Platform(channel, api["orders"])
    return channels, platforms


def _api(
    source: SourceSettings, environ: Mapping[str, str], http: httpx.AsyncClient
) -> dict[str, PlatformApi]:
    raw = source.options.get("api")
    if not raw:
        return {}
    try:
        api = msgspec.convert(raw, Api)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"source {source.id}: options.api: {error}") from error
    token = resolve_secret(api.token, environ).decode() if api.token else ""
    paths = {"orders": ORDER_PATHS.get(source.provider), "keys": KEY_PATHS.get(source.provider)}
    return {
        name: PlatformApi(http, api.base_url, token, path, private=api.private_addresses)
        for name, path in paths.items()
        if path
    }


def _account(
    source: SourceSettings, environ: Mapping[str, str], keys: PlatformApi | None, clock: Clock
) -> Account:
    return Account(
        id=source.id,
        market=source.market,
        secrets=tuple(resolve_secret(secret, environ) for secret in source.secrets),
        options={k: v for k, v in source.options.items() if k not in _GENERIC_OPTIONS},
        keys=CachedKeys(keys, clock) if keys else None,
    )


def sources_of(settings: Settings) -> tuple[Source, ...]:
    """Return what the directory needs to know of each configured source."""
    return tuple(
        Source(
            id=SourceId(source.id),
            market=MarketId(source.market),
            stock_owner=frozenset(LocationId(x) for x in source.options.get("stock_owner", ())),
        )
        for source in settings.sources
    )
