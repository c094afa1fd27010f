"""The frames, the cursor, the topics and the origins."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import Unreadable
from config.limits import FRAME_BYTES_MAX
from gateway.stream.origin import origin_allowed
from gateway.stream.protocol import (
    Code,
    Cursor,
    EventFrame,
    Hello,
    Resumed,
    bye,
    epoch_of,
    frame_of,
    read_frame,
)
from gateway.stream.topics import Topic, change_of, parse_topic, topic_of
from outbox.event import token_of
from outbox.ports import Delivered, StreamPosition


@given(st.integers(0, 2**64 - 1))
def test_a_cursor_survives_its_travel(offset: int) -> None:
    cursor = Cursor("0f3a", offset)
    assert Cursor.parse(str(cursor)) == cursor


@given(st.text(max_size=80))
def test_any_text_is_a_cursor_or_none(text: str) -> None:
    cursor = Cursor.parse(text)
    assert cursor is None or Cursor.parse(str(cursor)) == cursor


def test_an_epoch_changes_with_the_stream_and_with_the_database() -> None:
    names = {
        epoch_of(StreamPosition("1", 5), "a"),
        epoch_of(StreamPosition("2", 5), "a"),
        epoch_of(StreamPosition("1", 5), "b"),
    }
    assert len(names) == 3
    assert epoch_of(StreamPosition("1", 9), "a") in names


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536, 200_000])
def test_a_frame_of_any_size_has_its_text(size: int) -> None:
    frame = frame_of(Resumed("board:S-001", "x" * size))
    assert msgspec.json.decode(frame.text)["cursor"] == "x" * size


def test_a_rows_own_bytes_pass_through() -> None:
    row = msgspec.Raw(b'{"id":"1", "version":4}')
    frame = frame_of(EventFrame("board:S-001", "e:7", "upsert", row))
    assert b'"row":{"id":"1", "version":4}' in frame.wire
    assert (frame.kind, frame.cursor) == ("event", "e:7")


def test_hello_may_be_short() -> None:
    assert read_frame('{"type":"hello"}') == Hello()


@pytest.mark.parametrize(
    "text",
    [
        "x" * (FRAME_BYTES_MAX + 1),
        '"' + "\N{EURO SIGN}" * (FRAME_BYTES_MAX // 3) + '"',
        b"\xff",
        "null",
        '{"type":"welcome"}',
        '{"type":"hello","topics":[1]}',
        '{"type":"hello","topics":' + str(["a"] * 33).replace("'", '"') + "}",
        '{"type":"subscribe","topic":""}',
        "\ud800",
    ],
)
def test_what_is_not_a_frame_is_refused(text: str | bytes) -> None:
    with pytest.raises(Unreadable):
        read_frame(text)


def test_the_codes_say_who_may_come_back() -> None:
    coming = {code for code in Code if bye(code, "").reconnect}
    assert coming == set(Code) - {Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.PROTOCOL}


@given(st.text(min_size=1, max_size=40))
def test_an_events_subject_leads_to_its_topic(key: str) -> None:
    assert topic_of(f"imv.v1.fulfilment.ready.{token_of(key)}") == Topic("board", key)


@pytest.mark.parametrize("subject", ["imv.relay.3", "imv.v1.ledger.posted.x", "other", ""])
def test_other_subjects_have_no_topic(subject: str) -> None:
    assert topic_of(subject) is None


@pytest.mark.parametrize(
    ("state", "op"), [("ready", "upsert"), ("collected", "remove"), ("handed_off", "remove")]
)
def test_a_closed_state_removes_a_board_row_but_no_order(state: str, op: str) -> None:
    data = msgspec.json.encode({"id": "1", "version": 2, "state": state, "more": [1]})
    event = Delivered(1, "", "e", "", data)
    assert change_of(Topic("board", "S"), event).op == op
    assert change_of(Topic("order", "1"), event).op == "upsert"


@pytest.mark.parametrize("text", ["", "board", "board:", "flows", "exceptions", "x:1", "board:\n"])
def test_no_topic_but_the_known_ones(text: str) -> None:
    assert parse_topic(text) is None


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "shop.example", True),
        ("https://shop.example", "shop.example", True),
        ("http://shop.example:8080", "shop.example:8080", True),
        ("https://listed.example", "shop.example", True),
        ("https://shop.example:8443", "shop.example", False),
        ("https://shop.example.evil", "shop.example", False),
        ("null", "shop.example", False),
        ("", "", False),
        ("https://x", None, False),
    ],
)
def test_an_origin_is_ours_or_listed_word_for_word(
    origin: str | None, host: str | None, *, allowed: bool
) -> None:
    assert origin_allowed(origin, host, {"https://listed.example"}) is allowed
