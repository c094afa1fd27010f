"""What `imv send` takes from a file, and how one message becomes several."""

from pathlib import Path

import msgspec
import pytest

from config.errors import Misconfigured, Rejected, Unreadable
from gateway.cli.payload import read_payload, with_new_key


def test_a_bare_body_is_sent_byte_for_byte(tmp_path: Path) -> None:
    raw = b'{ "id": 1.50,\n "body": {} }'
    (tmp_path / "body.json").write_bytes(raw)
    assert read_payload(tmp_path / "body.json").body == raw
    with pytest.raises(Misconfigured, match="name a file"):
        read_payload(tmp_path / "nothing.json")


def test_of_a_captured_message_the_body_goes_compactly_with_its_topic(tmp_path: Path) -> None:
    path = tmp_path / "captured.json"
    path.write_text('{"headers": {"X-Shopify-Topic": "a/b"}, "body": {"total": 1.50, "n": []}}')
    payload = read_payload(path)
    assert (payload.body, payload.topic) == (b'{"total":1.50,"n":[]}', "a/b")
    path.write_text('{"headers": {}, "body": "a=b", "topic": "c/d"}')
    payload = read_payload(path)
    assert (payload.body, payload.topic) == (b"a=b", "c/d")


@pytest.mark.parametrize(
    ("provider", "body", "path"),
    [
        ("stripe", b'{"id":"evt_1","amount":1.50}', ("id",)),
        ("square", b'{"event_id":"e1","amount":1.50}', ("event_id",)),
        (
            "ebay",
            b'{"amount":1.50,"notification":{"notificationId":"n1"}}',
            ("notification", "notificationId"),
        ),
    ],
)
def test_another_message_has_another_id_and_is_else_the_same(
    provider: str, body: bytes, path: tuple[str, ...]
) -> None:
    made = {id_of(with_new_key(provider, body), path) for _ in range(3)}
    assert len(made | {id_of(body, path)}) == 4
    assert b'"amount":1.50' in with_new_key(provider, body)


def id_of(body: bytes, path: tuple[str, ...]) -> str:
    found = msgspec.json.decode(body)
    for name in path:
        found = found[name]
    return str(found)


def test_signing_gives_those_a_new_id_whose_id_is_a_header() -> None:
    assert with_new_key("shopify", b"{}") == b"{}"
    assert with_new_key("standard_webhooks", b"{}") == b"{}"


def test_it_is_said_plainly_when_several_messages_are_not_possible() -> None:
    with pytest.raises(Rejected, match="not possible for acme"):
        with_new_key("acme", b"{}")
    for body in (b"{}", b"[]", b"\xff", b'{"id":1}', b'{"id":"x"'):
        with pytest.raises(Unreadable, match="new id"):
            with_new_key("stripe", body)
