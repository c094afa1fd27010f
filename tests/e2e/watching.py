"""Ordinary consumers: a nats-py reader of events, and a websocket screen."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import nats
import websockets
from nats.js.api import ConsumerConfig, DeliverPolicy

Event = dict[str, Any]
_QUIET_S = 2.0


async def events_until_quiet(
    url: str, *, enough: Callable[[list[Event]], bool] = lambda _: True
) -> list[Event]:
    """Read every event of the stream from its beginning until none comes for a while.

    Availability is told within a second of what has changed it, so a while is longer than that. It
    is not over before all that the stream has was read, nor before it is `enough`.
    """
    client = await nats.connect(url)
    found: list[Event] = []
    try:
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        subscription = await client.jetstream().subscribe(
            "imv.v1.>", stream="IMV", ordered_consumer=True, config=config
        )
        while True:
            try:
                message = await subscription.next_msg(timeout=_QUIET_S)
            except nats.errors.TimeoutError:
                left = (await subscription.consumer_info()).num_pending or subscription.pending_msgs
                if left or not enough(found):
                    continue
                return found
            data = msgspec.json.decode(message.data)
            head = message.headers or {}
            trace = head.get("traceparent", "")
            row = {"subject": message.subject, "id": head["ce-id"], "data": data, "trace": trace}
            found.append({**row, "time": head["ce-time"]})
    finally:
        await client.close()


def names_of(events: list[Event], order_id: str) -> list[str]:
    """Return `entity.event` of everything that belongs to an order, in the stream's order."""
    return [".".join(event["subject"].split(".")[2:4]) for event in of_order(events, order_id)]


def of_order(events: list[Event], order_id: str) -> list[Event]:
    """Return everything that belongs to an order, in the stream's order."""
    return [e for e in events if order_id in (e["data"].get("order_id"), e["data"]["id"])]


def check_exactly_once(events: list[Event]) -> None:
    """Every event once by id; every entity's versions rise by one from 1."""
    repeated = [one for one, count in Counter(e["id"] for e in events).items() if count > 1]
    assert not repeated
    versions: dict[str, list[int]] = {}
    for event in events:
        entity = event["subject"].split(".")[2]
        if entity in {"order", "fulfilment", "inventory"}:
            versions.setdefault(event["data"]["id"], []).append(event["data"]["version"])
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())


class Screen:
    """A store screen: keeps the rows of one topic as the protocol says, and reconnects."""

    def __init__(self, http: str, token: str, topic: str) -> None:
        self.http = http
        self.token = token
        self.topic = topic
        self.rows: dict[str, dict[str, Any]] = {}
        self.frames: list[Event] = []
        self.stale_since: str | None = "never live"
        self._cursor: str | None = None

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (OSError, websockets.WebSocketException, TimeoutError):
                self.stale_since = self.stale_since or "disconnected"
                await asyncio.sleep(0.1)

    async def _follow(self) -> None:
        url = self.http.replace("http", "ws", 1) + "/v1/stream"
        # Like a browser, without a bound: a snapshot is one message, however many rows there are.
        whole = websockets.connect(url, compression=None, open_timeout=5, max_size=None)
        async with whole as socket:
            hello: dict[str, Any] = {"type": "hello", "token": self.token, "topics": [self.topic]}
            if self._cursor:
                hello["since"] = {self.topic: self._cursor}
            await socket.send(msgspec.json.encode(hello).decode())
            async for text in socket:
                frame = msgspec.json.decode(text)
                self.frames.append(frame)
                self._take(frame)
                if frame["type"] == "ping":
                    await socket.send('{"type":"pong"}')

    def _take(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "ping":
            self.stale_since = frame.get("stale_since")
        if kind == "snapshot":
            self.rows = {row["id"]: row for row in frame["rows"]}
        if kind == "event":
            row = frame["row"]
            if frame["op"] == "remove":
                self.rows.pop(row["id"], None)
            elif row["version"] >= self.rows.get(row["id"], {"version": 0})["version"]:
                self.rows[row["id"]] = row
        if kind in {"snapshot", "event", "resumed"}:
            self._cursor = frame["cursor"]
