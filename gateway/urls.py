"""Addresses: where the engines are, and how clients write where we are."""

import socket

import msgspec


class Urls(msgspec.Struct, frozen=True):
    """Where the engines are, embedded or not."""

    database: str
    redis: str
    nats: tuple[str, ...]
    store_bytes: int = 0
    """What the broker may store, where we know it (embedded)."""
    nats_readers: tuple[str, ...] = ()
    """Where the broker is for who only reads; else as for all."""


def url_of(address: socket.socket) -> str:
    """Return the address of a bound socket as clients write it."""
    return url_at(*address.getsockname()[:2])


def url_at(host: str, port: int) -> str:
    """Return the address of a host, IPv6 too, as clients write it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
