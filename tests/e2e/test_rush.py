"""A thousand signed orders at once for a hundred units, over HTTP, on each database."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest
from sqlalchemy import ColumnElement, func, select

from config.clock import SystemClock
from config.ids import LocationId, MarketId, Sku
from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
from store.engine import Database
from store.gate import RedisGate
from store.gate_ledger import read_available, read_gate
from store.gate_port import Cell
from store.migrate import migrate
from store.redis_client import open_redis
from store.tables import exceptions, orders, stock_levels, stock_movements
from store.tokens import TokenRow, TokenStore
from tests.e2e import instance as at
from tests.engines import PATIENT_S

RACERS, UNITS = 1_000, 100
UK, SKU = MarketId("uk"), Sku("SKU-1")
CELLS = (Cell(SKU, LocationId("S-001")), Cell(SKU, LocationId("W-001")))


@pytest.mark.timeout(180)
async def test_a_thousand_orders_at_once_for_a_hundred_units_allocate_exactly_those(
    tmp_path: Path, own_redis: RedisServer, own_nats: NatsServer, database_url: str
) -> None:
    await migrate(database_url)
    database = Database(database_url)
    token = await TokenStore(database).create(TokenRow("test", ("operator",), "test", 0))
    where = {"database": database_url, "redis": own_redis.url, "nats": [own_nats.url]}
    patient = {"answer_within_s": 60}  # nobody is to be refused, however slow the machine is
    config = at.write_config(tmp_path, engines=where, gateway=patient)
    workers = "2" if database.dialect == "postgresql" else "1"
    with at.running("serve", "--port", "0", "--workers", workers, "--config", str(config)) as serve:
        await at.gate_open(serve.http)
        await at.stock(serve.http, token, S_001=60, W_001=40)
        answers = await _all_at_once(serve.http)
        await at.until(lambda: _none(database, orders.c.undecided.is_(True)), within_s=60)
        await _check(database, own_redis.url)
    await database.close()
    assert Counter(answer.status_code // 100 for answer in answers) == {2: RACERS}
    assert len({answer.json()["order_id"] for answer in answers}) == RACERS


async def _all_at_once(http: str) -> list[httpx.Response]:
    """Post every order on a connection of its own; none waits for another's answer."""
    limits = httpx.Limits(max_connections=RACERS)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client, asyncio.TaskGroup() as all_:
        tasks = [
            all_.create_task(
                client.post(
                    f"{http}/webhooks/shop-main",
                    content=(body := at.order(number)),
                    headers=at.headers(body, f"event-{number}"),
                )
            )
            for number in range(1, RACERS + 1)
        ]
        await asyncio.wait(tasks)
    return [task.result() for task in tasks]


async def _check(database: Database, redis_url: str) -> None:
    """Exactly the units that there are went to one order each; the gate says what the ledger says."""
    sums = select(func.sum(stock_levels.c.allocated), func.sum(stock_levels.c.held))
    moved = select(func.count()).where(stock_movements.c.kind == "allocated")
    unfilled = select(func.count()).where(
        exceptions.c.code == "UNFILLABLE", exceptions.c.state == "open"
    )
    states = select(orders.c.state, func.count().label("orders")).group_by(orders.c.state)
    async with database.read() as connection:
        assert (await connection.execute(sums)).one() == (UNITS, 0)
        assert (await connection.execute(moved)).scalar_one() == UNITS
        assert (await connection.execute(unfilled)).scalar_one() == RACERS - UNITS
        found = {(row.state, row.orders) for row in await connection.execute(states)}
        assert found == {("routed", UNITS), ("held", RACERS - UNITS)}
        ledger = await read_available(connection, UK, [SKU])
        epoch = await read_gate(connection, UK)
    assert ledger == dict.fromkeys(CELLS, 0)
    assert epoch
    client = open_redis(redis_url, call_s=PATIENT_S)
    gate = RedisGate(client, SystemClock())
    gate.learn(UK, epoch.epoch)
    cells, _ = await gate.view(UK, (SKU,), operations=False)
    await client.aclose()
    assert {cell: cells[SKU][cell.location] for cell in CELLS} == ledger


async def _none(database: Database, condition: ColumnElement[bool]) -> bool:
    statement = select(func.count()).select_from(orders).where(condition)
    async with database.read() as connection:
        return (await connection.execute(statement)).scalar_one() == 0
