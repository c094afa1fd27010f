"""Subjects, keys and headers: what a consumer sees of an event."""

import re

from hypothesis import given
from hypothesis import strategies as st

from config.ids import EventId
from outbox.event import Event, token_of
from outbox.message import Message, decoded, encoded, headers_of, key_of

_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_NOW_US = 1_700_000_000_123_456
# Lone surrogates cannot be stored or sent by anyone.
_texts = st.text(st.characters(exclude_categories=["Cs"]))


def _event(key: str = "o-1") -> Event:
    return Event(
        id=EventId("0190-1"),
        entity="order",
        name="routed",
        key=key,
        ordering_key="o-1",
        version=3,
        at_us=_NOW_US,
        data=b"{}",
        traceparent=_TRACE,
    )


def _message(event: Event) -> Message:
    return Message(event.subject, event.id, event.type, event.at_us, event.data, event.traceparent)


def test_the_headers_are_a_cloud_event_in_binary_mode() -> None:
    assert headers_of(_message(_event()), "/imv/gateway") == {
        "ce-specversion": "1.0",
        "ce-id": "0190-1",
        "ce-source": "/imv/gateway",
        "ce-type": "imv.order.routed.v1",
        "ce-subject": "o-1",
        "ce-time": "2023-11-14T22:13:20.123456Z",
        "content-type": "application/json",
        "Nats-Msg-Id": "0190-1",
        "traceparent": _TRACE,
    }


def test_a_missing_trace_is_a_missing_header() -> None:
    message = Message("imv.v1.order.routed.o-1", "1", "t", _NOW_US, b"{}", "")
    assert "traceparent" not in headers_of(message, "/imv/gateway")


def test_a_header_encodes_as_the_binding_says() -> None:
    assert encoded('50% "Größe" €') == "50%25%20%22Gr%C3%B6%C3%9Fe%22%20%E2%82%AC"


@given(_texts)
def test_a_header_value_is_printable_ascii_and_comes_back(value: str) -> None:
    assert re.fullmatch("[!-~]*", encoded(value))
    assert decoded(encoded(value)) == value


@given(_texts)
def test_a_token_is_one_token_without_wildcards_and_its_key_comes_back(key: str) -> None:
    token = token_of(key)
    assert re.fullmatch(r"[!-~]+", token)
    assert not set(token) & set(".*> ")
    if key != "\0":  # stands for the empty key
        assert key_of(_event(key).subject) == key
