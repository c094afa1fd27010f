"""Outbound calls against real servers: which addresses, by which name, and how much of an answer."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.clock import SystemClock
from config.errors import Misconfigured, Unavailable
from gateway.outbound import Address, PinnedTransport, may_call, open_outbound
from gateway.platforms import ANSWER_BYTES_MAX, PlatformApi

_NAME = "platform.example"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:4700::1111", True),
        *((one, False) for one in ("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1")),
        *((one, False) for one in ("169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1")),  # noqa: S104
        *((one, False) for one in ("255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1")),
        *((one, False) for one in ("fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1")),
        *((one, False) for one in ("64:ff9b::7f00:1", "2002:7f00:1::")),
    ],
)
def test_https_goes_to_public_addresses_only(address: str, *, public: bool) -> None:
    assert may_call("https", ip_address(address), private=False) is public


def test_clear_text_stays_on_this_machine() -> None:
    assert may_call("http", ip_address("127.0.0.1"), private=False)
    assert not may_call("http", ip_address("93.184.215.14"), private=True)


class Names:
    """A resolver that answers as it is told, and counts."""

    def __init__(self, *answers: str) -> None:
        self._answers = answers
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        del host, port
        self.asked += 1
        return [ip_address(one) for one in self._answers[self.asked - 1].split()]


@asynccontextmanager
async def _server(folder: Path, body: bytes, seen: list[str], head: str = "") -> AsyncIterator[int]:
    """Serve one body by TLS under the name; note the Host header and what the client asks TLS for."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen.extend(line for line in asked.lower().splitlines() if line.startswith("host:"))
        writer.write(f"HTTP/1.1 200 OK\r\n{head}connection: close\r\n\r\n".encode())
        try:
            while True:
                writer.write(body)
                await writer.drain()
                if not head:
                    break
        except ConnectionError:
            pass
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "platform.pem")
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the platform's key and its own certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "platform.pem").write_bytes(private + made.public_bytes(pem))
    return tmp_path


def _client(folder: Path, names: Names) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=folder / "platform.pem")
    transport = PinnedTransport(
        resolve=names, make=lambda: httpx.AsyncHTTPTransport(verify=context, trust_env=False)
    )
    return httpx.AsyncClient(transport=transport, trust_env=False)


async def test_the_checked_address_is_called_by_the_name(folder: Path) -> None:
    seen: list[str] = []
    names = Names("127.0.0.1", "10.0.0.1")
    async with _server(folder, b"{}", seen) as port, _client(folder, names) as client:
        api = PlatformApi(client, f"https://{_NAME}:{port}", "", "/{ref}", private=True)
        assert await api.read("1") == b"{}"
    assert names.asked == 1
    assert seen == [f"host: {_NAME}:{port}"]


async def test_another_name_at_the_address_is_refused_by_tls(folder: Path) -> None:
    async with _server(folder, b"{}", []) as port, _client(folder, Names("127.0.0.1")) as client:
        api = PlatformApi(client, f"https://other.example:{port}", "", "/{ref}", private=True)
        with pytest.raises(Unavailable, match="does not answer: ConnectError"):
            await api.read("1")


@pytest.mark.parametrize("answer", ["127.0.0.1", "93.184.215.14 127.0.0.1"])
async def test_a_name_that_leads_inside_is_not_called(folder: Path, answer: str) -> None:
    seen: list[str] = []
    async with _server(folder, b"{}", seen) as port, _client(folder, Names(answer)) as client:
        api = PlatformApi(client, f"https://{_NAME}:{port}", "", "/{ref}")
        with pytest.raises(Unavailable, match="not public"):
            await api.read("1")
    assert seen == []


@pytest.mark.parametrize("head", ["x-endless: yes\r\n", "content-encoding: gzip\r\n"])
async def test_an_answer_without_an_end_is_left_when_it_is_too_large(
    folder: Path, head: str
) -> None:
    body = b"x" * 65536
    async with (
        _server(folder, body, [], head) as port,
        _client(folder, Names("127.0.0.1")) as client,
        asyncio.timeout(20),
    ):
        api = PlatformApi(client, f"https://{_NAME}:{port}", "", "/{ref}", private=True)
        with pytest.raises(Unavailable, match=r"too large|an encoding"):
            await api.read("1")
    assert len(body) < ANSWER_BYTES_MAX


async def test_an_answer_that_drips_is_left_when_its_time_is_over() -> None:
    left = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        left.set()

    async with (
        await asyncio.start_server(drip, "127.0.0.1", 0) as server,
        open_outbound() as client,
        asyncio.timeout(20),
    ):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Unavailable, match="does not answer: TimeoutError"):
            await PlatformApi(client, url, "", "/{ref}", timeout_s=0.3).read("1")
        await left.wait()


@pytest.mark.parametrize(
    "url", ["http://example.com", "http://127.0.0.1:80@example.com", "ftp://x", "https://", "x"]
)
async def test_an_address_in_clear_text_or_with_a_user_is_refused(url: str) -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(Misconfigured, match="base_url must be https"):
            PlatformApi(client, url, "", "/{ref}")
