"""The engines of one data folder: those that the settings do not name are started here, and stopped."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from config.errors import Misconfigured
from config.settings import EngineSettings
from gateway.engines.child import Child
from gateway.engines.folder import DataFolder
from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
from gateway.urls import Urls
from store.backup import forget_links


class Engines(msgspec.Struct, frozen=True):
    """Where the engines are, and which of them are our children."""

    urls: Urls
    children: tuple[Child, ...]


@contextmanager
def running_engines(settings: EngineSettings, folder: DataFolder) -> Iterator[Engines]:
    """Run what is not external, on an open data folder and from the main thread; stop it at the end.

    Raises:
        Misconfigured: a missing program, or an engine's data are damaged.
    """
    with ExitStack() as stack:
        database = settings.database or sqlite_url(folder.path)
        forget_links(folder.path / "imv.db")
        children: list[Child] = []
        redis_url, nats_urls, store_bytes = settings.redis, settings.nats, 0
        readers: tuple[str, ...] = ()
        if not redis_url:
            redis = RedisServer(folder.path, folder.runtime, inherit=(folder.lock,))
            children.append(_started(stack, redis))
            redis_url = redis.url
        if not nats_urls:
            nats = NatsServer(folder.path, inherit=(folder.lock,))
            children.append(_started(stack, nats))
            nats_urls, store_bytes = (nats.url,), nats.store_bytes
            readers = (nats.reader_url,)
        urls = Urls(database, redis_url, nats_urls, store_bytes, readers)
        yield Engines(urls, tuple(children))


def sqlite_url(folder: Path, name: str = "imv.db") -> str:
    """Return the address of a database in a data folder; Misconfigured when it cannot be a file."""
    path = folder / name
    if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        raise Misconfigured(
            f"{path} is no file that this user may read and write; move away what is there, "
            "or give the user the right"
        )
    return f"sqlite+aiosqlite:///{path}"


def _started(stack: ExitStack, child: Child) -> Child:
    stack.callback(child.stop)
    child.start()
    return child
