"""Proof under strace that every promise comes after the disk has what it promises."""

import asyncio
import sqlite3
from pathlib import Path

import httpx

from tests import engines
from tests.e2e import instance as at
from tests.e2e.power_cut import PowerCut, Verdict
from tests.e2e.strace import read_trace, tracing

_ORDERS = 12
_EVENTS_PER_ORDER = 3


def _traced(folder: Path, program: str) -> at.Running:
    with engines.needed():
        under = tracing(folder / "trace")
    arguments = at.up_arguments(at.write_config(folder), folder / "data")
    return at.Running(*arguments, under=under, program=program)


async def _work(up: at.Running, data: Path) -> None:
    """Post some orders one by one and some at once; wait until every event is in the stream."""
    await at.gate_open(up.http)
    await at.stock(up.http, at.credential(data), S_001=50, W_001=50)
    sender = at.Sender(up.http)
    async with httpx.AsyncClient(timeout=20) as client, asyncio.TaskGroup() as group:
        for number in range(_ORDERS // 2):
            await sender.send(client, number, at.order(number + 1))
        for number in range(_ORDERS // 2, _ORDERS):
            group.create_task(sender.send(client, number, at.order(number + 1)))
    await at.until(lambda: _all_is_marked(data))


async def _all_is_marked(data: Path) -> bool:
    return _marked(data, "type LIKE 'imv.order.%'") == _ORDERS * _EVENTS_PER_ORDER


def _marked(data: Path, which: str = "true") -> int:
    with sqlite3.connect(data / "imv.db") as database:
        marked = f"""
SELECT count(*) FROM outbox WHERE {which} AND NOT EXISTS
(SELECT 1 FROM outbox_pending WHERE outbox_pending.position = outbox.position)"""  # noqa: S608
        (found,) = database.execute(marked).fetchone()
        return int(found)


def _judged(folder: Path) -> Verdict:
    disk = folder / "disk"
    disk.mkdir()
    return PowerCut(disk).judge(read_trace(folder / "trace"))


async def test_a_power_cut_at_any_promise_leaves_what_was_promised(tmp_path: Path) -> None:
    up = _traced(tmp_path, "gateway")
    try:
        await _work(up, tmp_path / "data")
    finally:
        up.close()
    verdict = _judged(tmp_path)
    assert verdict.answers == _ORDERS
    assert verdict.reservations > _ORDERS // 2  # those posted at once may share one script
    assert verdict.marks == _marked(tmp_path / "data") >= _ORDERS * _EVENTS_PER_ORDER
    assert verdict.lies == {"answer": [], "reservation": [], "mark": []}


async def test_the_same_proof_fails_on_engines_that_do_not_sync(tmp_path: Path) -> None:
    data = tmp_path / "data"
    up = _traced(tmp_path, "tests.e2e.weakened")
    try:
        await _weaken_redis(up, data)
        await _weaken_nats(up, data)
        await _work(up, data)
    finally:
        up.close()
    verdict = _judged(tmp_path)
    assert verdict.answers == _ORDERS
    assert len(verdict.lies["answer"]) > _ORDERS // 2  # the relay's commits sync now and then
    assert verdict.lies["reservation"]
    assert len(verdict.lies["mark"]) == verdict.marks == _marked(data)


async def _weaken_redis(up: at.Running, data: Path) -> None:
    await _weaken(up, data / "redis.conf", "redis-server", ("appendfsync always", "appendfsync no"))


async def _weaken_nats(up: at.Running, data: Path) -> None:
    await _weaken(
        up, data / "nats.conf", "nats-server", ("sync_interval: always", "sync_interval: 10m")
    )


async def _weaken(up: at.Running, file: Path, engine: str, change: tuple[str, str]) -> None:
    """Change an engine's file and kill it: `imv up` starts it again on that file."""
    _rewrite(file, *change)
    before = up.child(engine)
    before.kill()
    await at.until(lambda: _is_another(up, engine, before.pid))
    await at.until(lambda: at.well(up.http, engine.removesuffix("-server")))


def _rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


async def _is_another(up: at.Running, engine: str, pid: int) -> bool:
    return any(engine in one.name() and one.pid != pid for one in up.children())
