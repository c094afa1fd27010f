"""Calls to other hosts: the address that was checked is the one that is used."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpx

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

PRIVATE: Final = "imv.private"
"""The request extension that lets https go to addresses that are not public."""
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
_IPV4_BITS: Final = 0xFFFF_FFFF
_PATIENCE: Final = (httpx.ConnectError, httpx.ConnectTimeout)


class ForbiddenAddress(httpx.ConnectError):
    """A name leads to an address that calls may not go to."""


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Return every address of a name, as the system resolves it; OSError when there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(ip_address(str(address[0])) for *_, address in found))


def may_call(scheme: str, address: Address, *, private: bool) -> bool:
    """Tell whether a call may go there: in clear text on this machine only, else out into the world.

    `private` also lets https go to any single host. An IPv6 address that carries one of IPv4 (mapped,
    6to4, NAT64) leads where that one does.
    """
    inner = _carried(address)
    if scheme != "https":
        return inner.is_loopback
    if inner.is_multicast or inner.is_unspecified:
        return False
    return private or _is_global(inner)


def _is_global(address: Address) -> bool:
    return address.is_global and not (isinstance(address, IPv6Address) and address.is_site_local)


def _carried(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & _IPV4_BITS)
    return address.ipv4_mapped or address.sixtofour or address


def _carrier() -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(trust_env=False)


class PinnedTransport(httpx.AsyncBaseTransport):
    """Resolves a host once for each request, checks every address, and connects to a checked one.

    TLS and the Host header keep the name. Connections of two names are never shared, also where both
    lead to one address: TLS was agreed with one of them.
    """

    def __init__(
        self,
        *,
        resolve: Resolve = resolve,
        make: Callable[[], httpx.AsyncBaseTransport] = _carrier,
    ) -> None:
        """Take how names resolve, and what makes the carrier of one host's calls."""
        self._resolve = resolve
        self._make = make
        self._hosts: dict[str, httpx.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first address that answers.

        Raises:
            ForbiddenAddress: one of the addresses is not allowed. httpx.TransportError: no answer.
        """
        host = request.url.host
        addresses = await self._checked(request)
        if host not in self._hosts:
            self._hosts[host] = self._make()  # as many as the operator's sources name
        transport = self._hosts[host]
        trouble: httpx.TransportError | None = None
        for address in addresses:
            try:
                return await transport.handle_async_request(_pinned(request, address))
            except _PATIENCE as error:  # nothing was sent
                trouble = error
        raise trouble or httpx.ConnectError("the name has no address")

    async def aclose(self) -> None:
        """Close every connection."""
        for transport in self._hosts.values():
            await transport.aclose()

    async def _checked(self, request: httpx.Request) -> Sequence[Address]:
        url = request.url
        try:
            found = await self._resolve(
                url.host, url.port or (443 if url.scheme == "https" else 80)
            )
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("the name cannot be resolved") from error
        private = bool(request.extensions.get(PRIVATE))
        # One that is not allowed spoils them all: who answers so means no good.
        if not all(may_call(url.scheme, one, private=private) for one in found):
            raise ForbiddenAddress(
                "the name leads to an address that is not public; "
                "set options.api.private_addresses if that is meant"
            )
        return found


def _pinned(request: httpx.Request, address: Address) -> httpx.Request:
    """Return the request for one address; the Host header is in its headers already."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def open_outbound() -> httpx.AsyncClient:
    """Return a client that follows no redirect and obeys no proxy or file of the environment."""
    return httpx.AsyncClient(transport=PinnedTransport(), follow_redirects=False, trust_env=False)
