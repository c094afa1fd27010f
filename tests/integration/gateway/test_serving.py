"""Where the edge listens, and how that is written."""

import socket

import pytest

from config.errors import Misconfigured
from gateway.serving import listen
from gateway.urls import url_of


def test_an_address_is_written_as_clients_write_it() -> None:
    with listen("127.0.0.1", 0) as address:
        assert url_of(address) == f"http://127.0.0.1:{address.getsockname()[1]}"


def test_an_ipv6_address_is_listened_on_and_stands_in_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with listen("::1", 0) as address:
        port = address.getsockname()[1]
        assert url_of(address) == f"http://[::1]:{port}"
        with pytest.raises(Misconfigured, match=f"::1:{port}.*--port"):
            listen("::1", port)
