"""Fakes of the stream's ports: an event stream, a table of rows, tokens and a clock."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from config.errors import EngineDown
from gateway.stream.hub import Hub
from gateway.stream.mailbox import Mailbox
from gateway.stream.pace import Pace
from gateway.stream.protocol import Cursor, Frame
from gateway.stream.topics import Topic
from outbox.event import token_of
from outbox.ports import Connected, Delivered, Disconnected, Restarted, StreamPosition
from store.records import CLOSED_STATES

Item = Delivered | Disconnected | Restarted | Connected
BOARD = Topic("board", "S-001")
START = datetime(2026, 11, 23, 9, 0, 30, tzinfo=UTC)
"""In the middle of a minute: a page tells the time a millisecond off, and shows minutes."""
Row = dict[str, Any]


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


class FakeSubscriber:
    """A stream in memory."""

    def __init__(self) -> None:
        self.created = "1"
        self.sequence = 0
        self.reachable = True
        self.read_after: list[int] = []
        self._items: asyncio.Queue[Item] = asyncio.Queue()

    async def position(self) -> StreamPosition:
        if not self.reachable:
            raise EngineDown("no broker")
        return StreamPosition(self.created, self.sequence)

    async def read(self, after: StreamPosition) -> AsyncIterator[Item]:
        assert after.created == self.created
        self.read_after.append(after.last_sequence)
        while True:
            yield await self._items.get()

    def publish(self, subject: str, data: bytes) -> None:
        self.sequence += 1
        name = f"event-{self.sequence}"
        self._items.put_nowait(Delivered(self.sequence, subject, name, "imv.test.v1", data))

    def say(self, item: Item) -> None:
        self._items.put_nowait(item)

    def restart(self, created: str, sequence: int = 0) -> None:
        """Come back as another stream; what was not read yet is lost."""
        while not self._items.empty():
            self._items.get_nowait()
        self.created, self.sequence = created, sequence
        self.say(Restarted(StreamPosition(created, sequence)))


class FakeTable:
    """Rows by topic, committed before they are published; queries can be held and refused."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Row]] = {}
        self.free = asyncio.Event()
        self.free.set()
        self.reachable = True
        self.queries = 0
        self.pending_since: datetime | None = None

    async def rows(self, topic: Topic) -> Sequence[msgspec.Raw]:
        self.queries += 1
        if not self.reachable:
            raise EngineDown("no database")
        rows = [msgspec.Raw(encoded(row)) for row in self.open(str(topic)).values()]
        await self.free.wait()  # the rows are those of the query's begin: the worst case
        return rows

    async def behind_since(self) -> datetime | None:
        if not self.reachable:
            raise EngineDown("no database")
        return self.pending_since

    def open(self, topic: str) -> dict[str, Row]:
        """Return the rows that the topic shows now."""
        table = self.tables.get(topic, {})
        return {name: row for name, row in table.items() if row["state"] not in CLOSED_STATES}

    def commit(self, row: Row) -> Row:
        table = self.tables.setdefault(f"board:{row['location']}", {})
        version = table[row["id"]]["version"] + 1 if row["id"] in table else 1
        table[row["id"]] = {**row, "version": version}
        return table[row["id"]]


class FakePrincipal:
    """Somebody with scopes."""

    def __init__(self, token_id: str, *scopes: str) -> None:
        self.token_id = token_id
        self._scopes = scopes

    def may(self, scope: str) -> bool:
        return scope in self._scopes


class FakeAuthenticator:
    """Tokens and cookies in memory."""

    def __init__(self) -> None:
        self.tokens = {
            "board": FakePrincipal("t-board", "board:S-001"),
            "boards": FakePrincipal("t-boards", "board:*"),
            "orders": FakePrincipal("t-orders", "orders:read"),
            "operator": FakePrincipal("t-operator", "operator"),
        }
        self.tickets = {"once": self.tokens["board"]}
        self.reachable = True

    async def from_address(self, token: str, address: str) -> FakePrincipal | None:
        del address
        if not self.reachable:
            raise EngineDown("no database")
        return self.tokens.get(token)

    async def by_ticket(self, ticket: str, address: str) -> FakePrincipal | None:
        del address
        return self.tickets.pop(ticket, None)

    async def by_cookies(self, cookies: Mapping[str, str], address: str) -> FakePrincipal | None:
        del address
        if not self.reachable:
            raise EngineDown("no database")
        return self.tokens.get(cookies.get("imv_session", ""))


class Screen:
    """What a right client does with the frames; the JavaScript client does the same."""

    def __init__(self, topic: Topic = BOARD) -> None:
        self.topic = topic
        self.rows: dict[str, Row] = {}
        self.gone: dict[str, int] = {}
        self.cursor = ""
        self.stale_since: str | None = None
        self.kinds: list[str] = []
        self.bye: Row | None = None
        self.mailbox: Mailbox | None = None
        self.eager = False
        """Whether its connection takes frames at once, without the mailbox."""

    def pushed(self, wire: bytes) -> bool:
        if self.eager:
            self.take(msgspec.json.decode(Frame("", wire).text))
        return self.eager

    @property
    def live(self) -> bool:
        return self.stale_since is None

    def frozen_since(self) -> str | None:
        return self.stale_since

    def take(self, frame: Row) -> None:
        self.kinds.append(frame["type"])
        match frame["type"]:
            case "welcome":
                self.stale_since = None  # if it is stale, the next frame says so
            case "snapshot":
                self.rows = {row["id"]: row for row in frame["rows"]}
                self.gone = {}
                self.cursor = frame["cursor"]
            case "resumed":
                assert frame["cursor"] == self.cursor
            case "event":
                self._change(frame)
            case "ping":
                self.stale_since = frame["stale_since"]
            case "bye":
                self.bye = frame

    def _change(self, frame: Row) -> None:
        epoch, _, offset = frame["cursor"].partition(":")
        mine, _, before = self.cursor.partition(":")
        assert epoch == mine, "an event of another epoch without a snapshot"
        assert int(offset) > int(before), "a cursor went back"
        self.cursor = frame["cursor"]
        row = frame["row"]
        known = self.rows.get(row["id"], {}).get("version", self.gone.get(row["id"], 0))
        if row["version"] <= known:
            return
        if frame["op"] == "remove":
            self.rows.pop(row["id"], None)
            self.gone[row["id"]] = row["version"]
        else:
            self.rows[row["id"]] = row


class World:
    """A hub over fakes, and screens that read when they are told to."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.clock = FakeClock()
        self.stream = FakeSubscriber()
        self.table = FakeTable()
        quick = Pace(tick_s=0, retry_s=0, watch_s=0)
        self.hub = Hub(
            self.stream,
            self.table,
            "incarnation",
            self.clock,
            pace=pace or quick,
            chance=random.Random(7),  # noqa: S311 - a test repeats itself
        )

    def change(self, row_id: str, state: str, *, location: str = "S-001") -> None:
        """Commit a row and publish its event."""
        self.publish(self.table.commit(fulfilment(row_id, state, location=location)))

    def publish(self, row: Row) -> None:
        subject = f"imv.v1.fulfilment.changed.{token_of(row['location'])}"
        self.stream.publish(subject, encoded(row))

    def connect(self, screen: Screen, *, bearer: str = "t-board") -> Screen:
        screen.mailbox = self.hub.join(bearer)
        screen.mailbox.push = screen.pushed
        self.hub.subscribe(screen.mailbox, screen.topic, Cursor.parse(screen.cursor))
        return screen

    def disconnect(self, screen: Screen) -> None:
        if screen.mailbox:
            self.hub.leave(screen.mailbox)
        screen.mailbox = None

    async def read(self, screen: Screen, most: int = 1_000_000) -> None:
        """Let a screen read what waits for it."""
        while screen.mailbox and screen.mailbox.waiting and most > 0:
            frame = await screen.mailbox.take()
            assert frame is not None
            screen.take(msgspec.json.decode(frame.text))
            screen.mailbox.taken_at = None
            most -= 1


def encoded(row: Row) -> bytes:
    return msgspec.json.encode(row)


def fulfilment(row_id: str, state: str = "assigned", *, location: str = "S-001") -> Row:
    """Return a board row; its version is the table's business."""
    return {
        "id": row_id,
        "order_id": f"order-{row_id}",
        "order_number": f"#{row_id}",
        "source": "shop-main",
        "market": "uk",
        "location": location,
        "method": "pickup",
        "state": state,
        "version": 1,
        "lines": [{"line_id": "1", "sku": "TEA-1", "title": "Green tea", "quantity": 2}],
        "created_at": START.isoformat(),
        "updated_at": START.isoformat(),
        "customer_label": "Ada L.",
    }


async def settle(rounds: int = 20) -> None:
    """Let every task go on until it waits for something that does not come by itself."""
    for _ in range(rounds):
        await asyncio.sleep(0)
