"""The evidence of a run: everything that database, gate, stream and screens hold once it is quiet."""

from typing import Any, Final

import msgspec
from sqlalchemy import Table, func, select

from config.clock import SystemClock
from config.ids import MarketId, Sku
from outbox.table import outbox, outbox_pending
from store.engine import Database
from store.gate import RedisGate
from store.gate_port import GateClosed
from store.redis_client import open_redis
from store.tables import (
    commitments,
    fetches,
    fulfilments,
    gates,
    holds,
    inbox,
    orders,
    parked,
    stock_levels,
    stock_movements,
)
from tests.chaos.held import Held
from tests.engines import PATIENT_S
from tests.integration.outbox.relaying import stored

Row = dict[str, Any]
_TABLES: Final[tuple[Table, ...]] = (
    inbox,
    orders,
    fulfilments,
    stock_levels,
    stock_movements,
    commitments,
    holds,
    gates,
    parked,
    fetches,
    outbox,
    outbox_pending,
)
_LEFT_OUT: Final = frozenset({"headers", "body", "history", "plan", "command", "traceparent"})


class Seen(msgspec.Struct, frozen=True):
    """One event as an ordinary consumer reads it from the stream, in the stream's order."""

    sequence: int
    subject: str
    id: str
    entity_id: str
    order_id: str
    version: int


class Gate(msgspec.Struct, frozen=True):
    """What Redis holds for a market; `operations` are those that it still remembers."""

    epoch: str
    cells: dict[str, int]
    operations: list[str]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a judgement needs, besides the history."""

    tables: dict[str, list[Row]]
    gates: dict[str, Gate]
    stream: list[Seen]
    screens: dict[str, dict[str, int]] = {}
    """By topic: each row's version as a screen shows it."""
    held_before: dict[str, Held] = {}
    """What each role held when it was ready and had taken nothing yet."""
    held_after: dict[str, Held] = {}
    now_us: int = 0
    workers: int = 1
    """How many processes took webhooks; the movements of one are in the order of their times."""


def compared(evidence: Evidence) -> str:
    """Say what each role held before and after, for people."""
    return "\n".join(
        f"{role} held {before} at first, {evidence.held_after[role]} at last"
        for role, before in evidence.held_before.items()
        if role in evidence.held_after
    )


async def read_tables(database: Database) -> dict[str, list[Row]]:
    """Read every table at one instant; bytes that are JSON come decoded."""
    found: dict[str, list[Row]] = {}
    async with database.read() as connection:
        for table in _TABLES:
            columns = [column for column in table.c if column.name not in _LEFT_OUT]
            rows = (await connection.execute(select(*columns))).mappings()
            found[table.name] = [_plain(dict(row)) for row in rows]
    return found


async def waiting(database: Database) -> dict[str, int]:
    """Count what is still on its way in the database."""
    questions = {
        "outbox_pending": select(func.count()).select_from(outbox_pending),
        "undecided": select(func.count()).where(orders.c.undecided.is_(True)),
        "fetches": select(func.count()).select_from(fetches),
        "closed gates": select(func.count()).where(gates.c.open.is_(False)),
    }
    async with database.read() as connection:
        return {
            name: count
            for name, question in questions.items()
            if (count := (await connection.execute(question)).scalar_one())
        }


async def read_gates(redis_url: str, tables: dict[str, list[Row]]) -> dict[str, Gate]:
    """Read what the gate of every market holds under the ledger's epoch."""
    client = open_redis(redis_url, call_s=PATIENT_S)
    try:
        return {
            row["market"]: await _read_gate(RedisGate(client, SystemClock()), row, tables)
            for row in tables["gates"]
        }
    finally:
        await client.aclose()


async def _read_gate(gate: RedisGate, row: Row, tables: dict[str, list[Row]]) -> Gate:
    market = MarketId(row["market"])
    gate.learn(market, row["epoch"])
    levels = [level for level in tables["stock_levels"] if level["market"] == market]
    skus = tuple(sorted({Sku(level["sku"]) for level in levels}))
    try:
        shown, records = await gate.view(market, skus, operations=True)
    except GateClosed:
        return Gate("", {}, [])
    cells = {
        f"{sku} {where}": units
        for sku, places in shown.items()
        for where, units in places.items()
        if where
    }
    return Gate(row["epoch"], cells, sorted(records))


async def read_stream(url: str) -> list[Seen]:
    """Read every event of the stream, as any consumer with the plain client does."""
    return [_seen(message) for message in await stored(url)]


def _seen(message: Any) -> Seen:
    data = msgspec.json.decode(message.data)
    return Seen(
        message.metadata.sequence.stream,
        message.subject,
        message.headers["ce-id"],
        str(data.get("id", "")),
        str(data.get("order_id") or ""),
        int(data.get("version", 0)),
    )


def _plain(row: Row) -> Row:
    for name, value in row.items():
        if isinstance(value, bytes):
            row[name] = value.hex() if name == "fingerprint" else _decoded(value)
    return row


def _decoded(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value.hex()
