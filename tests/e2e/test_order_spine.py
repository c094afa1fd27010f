"""One signed order the whole way, and a gateway killed in the middle of two thousand."""

import asyncio
import signal
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.e2e import instance as at
from tests.e2e.watching import (
    Event,
    Screen,
    check_exactly_once,
    events_until_quiet,
    names_of,
    of_order,
)

_ORDERS = 2000
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def _post_twice(http: str, body: bytes) -> list[httpx.Response]:
    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
        url = f"{http}/webhooks/shop-main"
        headers = {**at.headers(body, "event-1"), "traceparent": _TRACE}
        tasks = [group.create_task(client.post(url, content=body, headers=headers)) for _ in "12"]
        await asyncio.wait(tasks)
        return [task.result() for task in tasks]


async def test_an_order_posted_twice_at_once_is_one_order_all_the_way(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with at.running(*at.up_arguments(at.write_config(tmp_path), data)) as up:
        token = at.credential(data)
        await at.gate_open(up.http)
        await at.stock(up.http, token, S_001=5)
        screen = Screen(up.http, token, "board:S-001")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(screen.run())
            answers = await _post_twice(up.http, at.order(4711, pickup=True))
            await at.until(lambda: _true(screen.rows))
            # The screen looks on until nothing more comes: a second row would come as well.
            events = await events_until_quiet(
                up.ready["nats"], enough=lambda events: _ids(events) == _committed(data)
            )
            watching.cancel()
        bodies = [answer.json() for answer in answers]
        order_id = bodies[0]["order_id"]
        async with httpx.AsyncClient(timeout=30, headers=at.bearer(token)) as client:
            found = (await client.get(f"{up.http}/v1/orders?external_id=4711")).json()["orders"]
            order = (await client.get(f"{up.http}/v1/orders/{order_id}")).json()

    assert [answer.status_code for answer in answers] == [200, 200]
    assert sorted(body["outcome"] for body in bodies) == ["applied", "duplicate"]
    assert bodies[0]["order_id"] == bodies[1]["order_id"]
    assert [one["id"] for one in found] == [order_id]
    assert order["state"] == "routed"
    assert [line["allocated"] for line in order["lines"]] == [1]
    assert names_of(events, order_id) == [
        "order.captured",
        "order.accepted",
        "order.routed",
        "fulfilment.assigned",
    ]
    check_exactly_once(events)
    assert {event["trace"] for event in of_order(events, order_id)} == {_TRACE}
    assert [row["order_id"] for row in screen.rows.values()] == [order_id]
    assert _sums(data) == {"allocated": 1, "on_hand": 5, "reservations": 1}
    assert _counts(data) == {"orders": 1, "fulfilments": 1}


@pytest.mark.timeout(240)
async def test_nothing_is_lost_or_doubled_when_the_gateway_is_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    arguments = at.up_arguments(at.write_config(tmp_path), data)
    first = at.Running(*arguments)
    children = [(child.pid, child.name()) for child in first.children()]
    token = at.credential(data)
    await at.gate_open(first.http)
    await at.stock(first.http, token, S_001=5000, W_001=5000)
    sender = at.Sender(first.http)
    screen = Screen(first.http, token, "board:S-001")
    numbers = asyncio.Queue[int]()
    for number in range(_ORDERS):
        numbers.put_nowait(number)

    async def send_all(client: httpx.AsyncClient) -> None:
        while not numbers.empty():
            number = numbers.get_nowait()
            await sender.send(client, number, at.order(number + 1, pickup=number % 4 == 0))

    second: at.Running | None = None
    try:
        async with httpx.AsyncClient(timeout=10) as client, asyncio.TaskGroup() as group:
            watching = group.create_task(screen.run())
            senders = [group.create_task(send_all(client)) for _ in range(16)]
            await at.until(lambda: _true(len(sender.answers) > _ORDERS // 4), within_s=60)
            first.log.send_signal(signal.SIGKILL)
            first.log.wait(10)
            acknowledged = dict(sender.answers)
            assert screen.rows, "the screen was in the middle of it, too"
            assert len(acknowledged) < _ORDERS
            second = at.Running(*arguments)
            sender.http = screen.http = second.http
            screen.token = at.credential(data)
            await asyncio.wait(senders)
            assert len(sender.answers) == _ORDERS
            assert sender.retries > 0
            await _check_everything(second, data, sender, acknowledged, screen)
            watching.cancel()
    finally:
        first.close()
        if second:
            second.close()
    assert {name for _, name in children} >= {"redis-server", "nats-server"}


async def _check_everything(
    up: at.Running,
    data: Path,
    sender: at.Sender,
    acknowledged: dict[int, dict[str, object]],
    screen: Screen,
) -> None:
    await at.until(lambda: at.well(up.http, "relay"))
    await at.until(lambda: _no_rows(data, "SELECT 1 FROM orders WHERE undecided LIMIT 1"))
    await at.until(lambda: _no_rows(data, "SELECT 1 FROM outbox_pending LIMIT 1"))
    events = await events_until_quiet(
        up.ready["nats"], enough=lambda events: _ids(events) == _committed(data)
    )
    check_exactly_once(events)
    captured = [e["data"]["id"] for e in events if ".order.captured." in e["subject"]]
    with sqlite3.connect(data / "imv.db") as database:
        stored = dict(database.execute("SELECT external_id, id FROM orders").fetchall())
    assert len(stored) == _counts(data)["orders"] == _ORDERS
    assert sorted(captured) == sorted(stored.values())
    for number, answer in acknowledged.items():
        assert stored[str(number + 1)] == answer["order_id"]
    assert {answer["order_id"] for answer in sender.answers.values()} == set(stored.values())
    await at.until(lambda: _true(screen.rows == _board(data)))  # the one that saw the kill
    fresh = Screen(up.http, at.credential(data), "board:S-001")
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(fresh.run())
        await at.until(lambda: _true(fresh.rows))
        watching.cancel()
    assert fresh.rows == _board(data)
    assert len(fresh.rows) >= _ORDERS // 4
    sums = _sums(data)
    assert sums["allocated"] == sums["reservations"] == _ORDERS


def _ids(events: list[Event]) -> set[str]:
    return {event["id"] for event in events}


def _committed(data: Path) -> set[str]:
    with sqlite3.connect(data / "imv.db") as database:
        return {row[0] for row in database.execute("SELECT id FROM outbox")}


async def _true(value: object) -> bool:
    return bool(value)


async def _no_rows(data: Path, question: str) -> bool:
    with sqlite3.connect(data / "imv.db") as database:
        return not database.execute(question).fetchall()


def _board(data: Path) -> dict[str, dict[str, Any]]:
    """Return the board as the database has it, every row whole."""
    with sqlite3.connect(data / "imv.db") as database:
        found = database.execute(
            "SELECT id, document FROM fulfilments WHERE open AND location = 'S-001'"
        )
        return {row_id: msgspec.json.decode(document) for row_id, document in found}


def _counts(data: Path) -> dict[str, int]:
    with sqlite3.connect(data / "imv.db") as database:
        return {
            table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in ("orders", "fulfilments")
        }


def _sums(data: Path) -> dict[str, int]:
    with sqlite3.connect(data / "imv.db") as database:
        allocated, on_hand = database.execute(
            "SELECT sum(allocated), sum(on_hand) FROM stock_levels"
        ).fetchone()
        (moved,) = database.execute(
            "SELECT count(*) FROM stock_movements WHERE kind = 'allocated'"
        ).fetchone()
    return {"allocated": allocated, "on_hand": on_hand, "reservations": moved}
