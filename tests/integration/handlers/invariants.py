"""What must hold whenever nothing is on its way, whatever has happened."""

from collections import Counter
from typing import Any, Protocol

import msgspec
from sqlalchemy import select

from config.ids import MarketId, Sku
from handlers.message import Message
from outbox.table import outbox
from store.engine import Database
from store.gate_port import Cell
from store.records import Fulfilment, Order
from store.tables import (
    availability,
    commitments,
    fulfilments,
    inbox,
    orders,
    stock_levels,
    stock_movements,
    stock_versions,
)

_COLUMNS = ("on_hand", "safety", "held", "allocated")
_WITH_US = {"assigned", "acknowledged", "picking", "picked", "packed", "staged", "ready"}
_GONE = {"handed_off", "in_transit", "delivered", "collected"}


class Event(msgspec.Struct):
    name: str
    entity_id: str
    version: int
    row: Any


class Looked(Protocol):
    """What the invariants look at."""

    database: Database
    sent: list[Message]

    async def gate_levels(self, market: MarketId, skus: set[Sku]) -> Any: ...


async def check(world: Looked) -> None:
    async with world.database.read() as connection:
        levels = list(await connection.execute(select(stock_levels)))
        movements = list(await connection.execute(select(stock_movements)))
        documents = list(await connection.execute(select(orders.c.document)))
        groups = list(await connection.execute(select(fulfilments.c.document)))
        messages = list(await connection.execute(select(inbox)))
        held = list(await connection.execute(select(commitments)))
    records = [msgspec.json.decode(row.document, type=Order) for row in documents]
    of_order: dict[str, list[Fulfilment]] = {}
    for row in groups:
        group = msgspec.json.decode(row.document, type=Fulfilment)
        of_order.setdefault(group.order_id, []).append(group)
    levels_are_the_sum_of_movements(levels, movements)
    await _gate_is_the_ledger(world, levels)
    for record in records:
        lines_add_up(record, of_order.get(record.id, []))
    allocations_are_the_fulfilments(levels, of_order)
    _everything_sent_is_kept(world.sent, messages)
    commitments_are_open(held)
    await _consumers_see_what_is_stored(world.database, records, of_order)
    await _stock_events_are_counted(world.database)


def levels_are_the_sum_of_movements(levels: list[Any], movements: list[Any]) -> None:
    sums: dict[tuple[str, str], Counter[str]] = {}
    for movement in movements:
        for sku, where, columns in msgspec.json.decode(movement.lines):
            sums.setdefault((sku, where), Counter()).update(columns)
    for row in levels:
        told = {name: getattr(row, name) for name in _COLUMNS}
        summed = sums.get((row.sku, row.location), Counter[str]())
        assert told == {name: summed[name] for name in _COLUMNS}, (row.sku, row.location)


async def _gate_is_the_ledger(world: Looked, levels: list[Any]) -> None:
    for market in {row.market for row in levels}:
        here = [row for row in levels if row.market == market]
        gate = await world.gate_levels(market, {row.sku for row in here})
        for row in here:
            ledger = row.on_hand - row.unavailable - row.safety - row.held - row.allocated
            assert gate.get(Cell(row.sku, row.location), 0) == ledger, (row.sku, row.location)


def lines_add_up(order: Order, groups: list[Fulfilment]) -> None:
    with_us, gone, delivered = Counter[str](), Counter[str](), Counter[str]()
    for group in groups:
        for part in group.lines:
            with_us[part.line_id] += part.quantity if group.state in _WITH_US else 0
            gone[part.line_id] += part.quantity if group.state in _GONE else 0
            delivered[part.line_id] += part.quantity if group.state == "delivered" else 0
    for line in order.lines:
        assert line.unassigned >= 0, line
        assert line.ordered >= line.cancelled + line.allocated + line.handed_off, line
        assert line.handed_off >= line.delivered, line
        assert line.picked <= line.allocated + line.handed_off, line
        assert min(line.allocated, line.cancelled, line.short, line.picked) >= 0, line
        assert line.allocated == with_us[line.id], (line, groups)
        assert line.handed_off == gone[line.id], (line, groups)
        assert line.delivered == delivered[line.id], (line, groups)


def allocations_are_the_fulfilments(
    levels: list[Any], of_order: dict[str, list[Fulfilment]]
) -> None:
    units = Counter[tuple[str, str]]()
    for groups in of_order.values():
        for group in groups:
            for line in group.lines:
                here = line.quantity if group.state in _WITH_US else 0
                units[(line.sku, group.location)] += here
    for row in levels:
        assert row.allocated == units[(row.sku, row.location)], (row.sku, row.location)


def _everything_sent_is_kept(sent: list[Message], kept: list[Any]) -> None:
    """Every webhook is in the inbox; an operator's request that failed is not."""
    keys = {(row.source, row.key) for row in kept}
    for message in sent:
        if message.recorded and not message.operator:
            assert (message.source, message.key) in keys, message.key


def commitments_are_open(held: list[Any]) -> None:
    assert all(row.quantity >= 0 for row in held)


async def _consumers_see_what_is_stored(
    database: Database, records: list[Order], of_order: dict[str, list[Fulfilment]]
) -> None:
    """Versions rise from 1 without gaps, and the newest event carries the row as it is stored."""
    rows: dict[str, Any] = {record.id: record for record in records}
    rows |= {group.id: group for groups in of_order.values() for group in groups}
    seen: dict[str, int] = {}
    newest: dict[str, Any] = {}
    for event in await events_of(database):
        if event.name.startswith(("order.", "fulfilment.")):
            assert event.version == seen.get(event.entity_id, 0) + 1, event
            seen[event.entity_id] = event.version
            newest[event.entity_id] = event.row
    for entity_id, record in rows.items():
        assert seen.get(entity_id) == record.version, entity_id
        stored = msgspec.json.decode(msgspec.json.encode(record))
        assert newest[entity_id] == stored, entity_id


async def _stock_events_are_counted(database: Database) -> None:
    """Versions of levels and of availability rise from 1 without gaps, as far as is stored."""
    seen = Counter[str]()
    newest: dict[str, Any] = {}
    for event in await events_of(database):
        if event.name.startswith("inventory."):
            seen[event.entity_id] += 1
            assert event.version == seen[event.entity_id], event
            newest[event.entity_id] = event.row
    async with database.read() as connection:
        counted = list(await connection.execute(select(stock_versions)))
        told = list(await connection.execute(select(availability)))
    stored = {f"level:{row.sku}@{row.location}": row.version for row in counted}
    stored |= {f"availability:{row.sku}@{row.market}": row.version for row in told}
    assert seen == stored
    for row in told:
        shown = newest[f"availability:{row.sku}@{row.market}"]["locations"]
        units = {one["location"]: one["available"] for one in shown}
        assert units == msgspec.json.decode(row.units)


async def events_of(database: Database) -> list[Event]:
    """Return all events in the order in which they are published."""
    async with database.read() as connection:
        found = list(await connection.execute(select(outbox).order_by(outbox.c.position)))
    events = []
    for row in found:
        data = msgspec.json.decode(row.data)
        name = row.type.removeprefix("imv.").removesuffix(".v1")
        events.append(Event(name, data["id"], data["version"], data))
    return events
