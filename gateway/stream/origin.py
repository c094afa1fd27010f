"""Whether a browser's page may open a stream here."""

from collections.abc import Collection


def origin_allowed(origin: str | None, host: str | None, others: Collection[str]) -> bool:
    """Return whether an `Origin` is our own host, or listed word for word.

    A missing one is no browser's: it is let in here and must bring a token. The scheme of our own
    origin is not compared, because a proxy that ends TLS hides it from us.
    """
    if origin is None or origin in others:
        return True
    return host is not None and origin in (f"http://{host}", f"https://{host}")
