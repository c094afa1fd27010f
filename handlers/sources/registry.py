"""Finds channels by their provider's name: every module of this folder with an `open_channel`."""

import importlib
import pkgutil
from types import ModuleType

import handlers.sources
from config.errors import Misconfigured
from handlers.sources.channel import Account, Channel

_OWN_NAME = __name__.rpartition(".")[2]


def open_channel(provider: str, account: Account) -> Channel:
    """Open the channel of one configured source; only its own module is loaded.

    Raises:
        Misconfigured: no such provider, or what the channel itself refuses.
    """
    module = _channel_module(provider) if provider in _module_names() else None
    if module is None:
        known = ", ".join(providers())
        raise Misconfigured(f"source {account.id}: provider {provider!r} is none of {known}")
    channel: Channel = module.open_channel(account)
    return channel


def providers() -> tuple[str, ...]:
    """Return the names of all providers, sorted."""
    return tuple(sorted(name for name in _module_names() if _channel_module(name)))


def _module_names() -> frozenset[str]:
    found = pkgutil.iter_modules(handlers.sources.__path__)
    return frozenset(module.name for module in found if module.name != _OWN_NAME)


def _channel_module(name: str) -> ModuleType | None:
    module = importlib.import_module(f"{handlers.sources.__name__}.{name}")
    return module if callable(getattr(module, "open_channel", None)) else None
