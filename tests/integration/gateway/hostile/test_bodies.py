"""Bodies that are bombs, lies or no text: signed or not, each gets its answer, and none is a defect."""

import gzip
import random
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from config.limits import BODY_BYTES_MAX, JSON_DEPTH_MAX, SIGNATURE_AGE_S
from tests.e2e import instance as at
from tests.integration.gateway.hostile.target import (
    SOURCES,
    ask,
    memory_bytes,
    post,
    signed,
)
from tests.unit.handlers.sources.test_any_bytes import HOSTILE, paths, seeds, with_hostile

_MUTATIONS = 60
_DEEP = JSON_DEPTH_MAX + 1
LIES: dict[str, bytes] = {
    "nothing": b"",
    "a blank": b" ",
    "no text": b"\xff\xfe\x00",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "another encoding": '{"id":1}'.encode("utf-16"),
    "depth over the limit": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    "one member twice": b'{"id":1,"id":2}',
    "NaN": b'{"id":NaN}',
    "Infinity": b'{"id":-Infinity}',
    "over 64 bits": b'{"id":18446744073709551616}',
    "a lone surrogate": b'{"id":"\\ud800","name":"\\udc00"}',
    "a surrogate as bytes": b'{"id":"\xed\xa0\x80"}',
    "NUL": b'{"id":"a\\u0000b"}',
    "a NUL byte": b'{"id":"a\x00b"}',
    "a comment": b'{"id":1/*x*/}',
    "two documents": b'{"id":1}{"id":2}',
    "a zip": gzip.compress(b'{"id":1}'),
}
BOMBS: dict[str, bytes] = {
    "a million brackets": b"[" * (BODY_BYTES_MAX - 1),
    "brackets in a string": b'{"a":"' + b"[{" * 400_000 + b'"}',
    "quotes without an end": b'"\\' * 500_000,
    "a number of a million digits": b'{"id":' + b"9" * 1_000_000 + b"}",
    "an exponent without an end": b'{"id":1e' + b"9" * 1_000_000 + b"}",
    "a million zeros behind a point": b'{"id":0.' + b"0" * 1_000_000 + b"1}",
    "a hundred thousand members": b"{" + b",".join(b'"%d":0' % n for n in range(80_000)) + b"}",
    "a million escapes": b'{"id":"' + b"\\u0041" * 170_000 + b'"}',
}
_TOPICS = {"shopify": "orders/create"}


@pytest.mark.parametrize("provider", SOURCES)
async def test_a_signed_bomb_is_kept_and_answered(instance: at.Running, provider: str) -> None:
    for name, body in {**LIES, **BOMBS}.items():
        headers = signed(provider, body, _TOPICS.get(provider, ""))
        status, content = await post(instance.http, SOURCES[provider], body, headers)
        assert status in {200, 202}, (name, content)
        assert msgspec.json.decode(content)["outcome"] in {"quarantined", "ignored"}, name


@pytest.mark.parametrize("provider", SOURCES)
async def test_a_real_payload_with_one_hostile_member_is_no_defect(
    instance: at.Running, provider: str
) -> None:
    chance = random.Random(provider)  # noqa: S311 - the same mutations in every run
    starts = [one for one in seeds() if one[0].startswith(f"{provider}/")]
    starts = [(name, asked) for name, asked in starts if "retrieved" not in name]
    for number in range(_MUTATIONS):
        name, asked = chance.choice(starts)
        body = _mutated(chance, asked.body)
        topic = asked.headers.get("x-shopify-topic", "")
        headers = {**_plain(asked.headers), **signed(provider, body, topic)}
        status, content = await post(instance.http, SOURCES[provider], body, headers)
        assert status in {200, 202}, (name, number, body[:300], content)
        assert msgspec.json.decode(content)["message_id"]


def _mutated(chance: random.Random, body: bytes) -> bytes:
    """Put something hostile in a member's place, or change some bytes."""
    if chance.random() < 0.7:
        path = chance.choice(paths(msgspec.json.decode(body)))
        return with_hostile(body, path, chance.choice(HOSTILE))
    spot, size = chance.randrange(len(body)), chance.randrange(8)
    return body[:spot] + chance.randbytes(size) + body[spot + size :]


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what a capture's sender wrote beside what signing writes anew."""
    return {n: v for n, v in headers.items() if n.startswith("x-shopify") and v.isascii()}


@pytest.mark.parametrize("provider", SOURCES)
async def test_an_unsigned_bomb_costs_nothing_and_is_refused(
    instance: at.Running, provider: str
) -> None:
    before = memory_bytes(instance.pid)
    bombs = BOMBS if provider == "shopify" else LIES
    for name, body in bombs.items():
        status, _ = await post(instance.http, SOURCES[provider], body, {})
        assert status in {400, 401}, name
    assert memory_bytes(instance.pid) - before < 64 * BODY_BYTES_MAX


@pytest.mark.parametrize(
    ("encoding", "status"),
    [
        ("gzip", 415),
        ("GZIP", 415),
        ("identity, gzip", 415),
        ("br", 415),
        ("", 415),
        ("identity", 401),
    ],
)
async def test_a_compressed_body_is_never_opened(
    instance: at.Running, encoding: str, status: int
) -> None:
    bomb = gzip.compress(bytes(100 * BODY_BYTES_MAX), 9)
    found, _ = await post(instance.http, "shop-main", bomb, {"content-encoding": encoding})
    assert found == status


@pytest.mark.parametrize("provider", SOURCES)
async def test_a_signature_counts_for_its_body_and_its_source_only(
    instance: at.Running, provider: str
) -> None:
    body = b'{"id":77}'
    good = signed(provider, body, "orders/create")
    other = "partner-1" if provider != "standard_webhooks" else "shop-main"
    assert (await post(instance.http, SOURCES[provider], b'{"id":78}', good))[0] == 401
    assert (await post(instance.http, other, body, good))[0] == 401
    for name, value in good.items():
        for wrong in ("", "A" * 8000, value[:-2], value + ",", "\xff" + value[1:]):
            status, _ = await post(instance.http, SOURCES[provider], body, {**good, name: wrong})
            assert status in {200, 202, 400, 401}, (name, wrong)


@pytest.mark.parametrize("provider", ["stripe", "standard_webhooks"])
@pytest.mark.parametrize("age_s", [SIGNATURE_AGE_S + 20, -SIGNATURE_AGE_S - 20, 10**9])
async def test_a_signed_time_that_is_far_from_ours_is_refused(
    instance: at.Running, provider: str, age_s: float
) -> None:
    body = b'{"id":"stale"}'
    headers = signed(provider, body, age_s=age_s)
    assert (await post(instance.http, SOURCES[provider], body, headers))[0] == 401


async def test_a_replayed_delivery_is_a_duplicate(instance: at.Running) -> None:
    body = at.order(9_000_001)
    headers = at.headers(body, "replayed")
    answers = [await post(instance.http, "shop-main", body, headers) for _ in range(3)]
    names = [msgspec.json.decode(content)["outcome"] for _, content in answers]
    assert names[0] in {"applied", "accepted"}
    assert names[1:] == ["duplicate"] * 2
    # The same signature under another event id is another key for the same order: no second one.
    again = {**headers, "x-shopify-event-id": "other", "x-shopify-webhook-id": "other"}
    _, content = await post(instance.http, "shop-main", body, again)
    ids = {msgspec.json.decode(found).get("order_id") for _, found in answers}
    assert {msgspec.json.decode(content).get("order_id")} <= ids | {None}


async def test_a_thousand_signatures_in_one_header_are_no_work(instance: at.Running) -> None:
    body = b'{"id":"many"}'
    good = signed("standard_webhooks", body)
    many = " ".join(["v1,AAAA"] * 900)
    status, _ = await post(instance.http, "partner-1", body, {**good, "webhook-signature": many})
    assert status == 401


_ROUTES: list[tuple[str, str]] = [
    ("POST", "/session"),
    ("POST", "/v1/orders"),
    ("POST", "/v1/orders/x/cancel"),
    ("POST", "/v1/holds"),
    ("POST", "/v1/fulfilments/x/pick"),
    ("POST", "/v1/imports/stock"),
    ("POST", "/v1/imports/catalog"),
    ("POST", "/v1/tokens"),
]


@pytest.mark.parametrize(("method", "path"), _ROUTES)
async def test_an_operators_bomb_is_refused_with_a_problem(
    instance: at.Running, method: str, path: str
) -> None:
    token = at.bearer(instance.ready["token"])
    bombs = {**LIES, **BOMBS} if path == "/v1/orders" else LIES
    for name, body in bombs.items():
        headers = {**token, "idempotency-key": f"bomb {name}"}
        status, content = await ask(instance.http, method, path, headers=headers, body=body)
        problem: dict[str, Any] = msgspec.json.decode(content)
        assert 400 <= status < 500, (name, content)
        assert problem["status"] == status
        assert "Traceback" not in problem["detail"]
