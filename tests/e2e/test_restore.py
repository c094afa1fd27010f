"""A backup of a running instance, restored after more has happened."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import redis
from click.testing import CliRunner

from gateway.__main__ import imv
from gateway.engines.redis_access import address, kept
from tests.e2e import instance as at
from tests.e2e.watching import Screen, events_until_quiet

_BEFORE, _AFTER = range(6), range(6, 11)


class Shop:
    """One instance with a sender and a screen, which outlive its runs."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.config = at.write_config(folder)
        self.sender = at.Sender("")
        self.screen = Screen("", "", "board:S-001")

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[at.Running]:
        up = at.Running(*at.up_arguments(self.config, self.data))
        try:
            self.sender.http = self.screen.http = up.http
            self.screen.token = at.credential(self.data)
            yield up
        finally:
            await asyncio.to_thread(up.close)  # the screen must be able to say goodbye

    async def send(self, *numbers: int) -> dict[int, str]:
        async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
            for one in numbers:
                group.create_task(self.sender.send(client, one, at.order(one + 1, pickup=True)))
        return {one: str(self.sender.answers[one]["outcome"]) for one in numbers}

    async def amend(self) -> None:
        """Change the first order, so that its versions go on after the backup."""
        body = msgspec.json.decode(at.order(1, pickup=True))
        body |= {"updated_at": "2026-11-02T10:00:00Z", "note": "ring twice"}
        body["customer"]["first_name"] = "Sam"
        text = msgspec.json.encode(body)
        async with httpx.AsyncClient(timeout=30) as client:
            url = f"{self.sender.http}/webhooks/shop-main"
            headers = at.headers(text, "amended", "orders/updated")
            assert (await client.post(url, content=text, headers=headers)).is_success

    def imv(self, *arguments: str) -> Any:
        options = ("--json", "--data", str(self.data), "--config", str(self.config))
        done = CliRunner().invoke(imv, [*arguments, *options])
        assert done.exit_code == 0, done.output
        return msgspec.json.decode(done.stdout)

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.data / "imv.db") as database:
            return database.execute(question).fetchall()

    async def all_is_marked(self) -> bool:
        return not self.ask("SELECT 1 FROM outbox_pending LIMIT 1")

    async def is_shown(self) -> bool:
        return self.screen.stale_since is None and self.screen.rows == self.board()

    def board(self) -> dict[str, Any]:
        rows = self.ask("SELECT id, document FROM fulfilments WHERE open AND location = 'S-001'")
        return {row_id: msgspec.json.decode(document) for row_id, document in rows}

    def available(self) -> int:
        """Return what the gate has of the only cell."""
        socket = Path((self.data / "runtime").read_text()) / "redis.sock"
        url = address(socket, kept(self.data / "redis.json"))
        with redis.Redis.from_url(url, decode_responses=True) as client:
            epoch = client.get("imv:{market:uk}:epoch")
            return int(client.hget(f"imv:{{market:uk}}:{epoch}:atp:SKU-1", "S-001"))


async def test_a_restored_instance_has_its_gate_screens_and_stream_in_agreement(
    tmp_path: Path,
) -> None:
    shop, file = Shop(tmp_path), tmp_path / "backup.db"
    async with asyncio.TaskGroup() as group:
        async with shop.runs() as up:
            await at.gate_open(up.http)
            await at.stock(up.http, at.credential(shop.data), S_001=50)
            watching = group.create_task(shop.screen.run())
            await shop.send(*_BEFORE)
            await at.until(shop.all_is_marked)
            taken = await asyncio.to_thread(shop.imv, "backup", str(file))
            assert taken["orders"] == len(_BEFORE)
            await shop.send(*_AFTER)
            await shop.amend()
            await at.until(shop.all_is_marked)
            await at.until(shop.is_shown)
            assert len(shop.screen.rows) == len(_BEFORE) + len(_AFTER)
            assert shop.available() == 50 - len(_BEFORE) - len(_AFTER)
            before = shop.ask("SELECT incarnation, epoch FROM instance, gates")

        restored = await asyncio.to_thread(_restore, shop, file)
        assert restored["lost"] == {"orders": len(_AFTER), "messages": len(_AFTER) + 1}
        shop.screen.frames.clear()

        async with shop.runs() as up:
            await at.gate_open(up.http)
            await at.until(shop.is_shown)
            after = shop.ask("SELECT incarnation, epoch FROM instance, gates")
            assert not {*before[0]} & {*after[0]}
            assert len(shop.screen.rows) == len(_BEFORE)
            kinds = {frame["type"] for frame in shop.screen.frames}
            assert "snapshot" in kinds
            assert "resumed" not in kinds
            assert shop.available() == 50 - len(_BEFORE)

            assert set((await shop.send(*_BEFORE)).values()) == {"duplicate"}
            assert set((await shop.send(*_AFTER)).values()) == {"applied"}
            await shop.amend()
            await at.until(shop.all_is_marked)
            await at.until(shop.is_shown)
            assert shop.available() == 50 - len(_BEFORE) - len(_AFTER)
            known = {row[0] for row in shop.ask("SELECT id FROM outbox")}
            await at.until(shop.all_is_marked)
            _check(shop, known, await events_until_quiet(up.ready["nats"]))
            watching.cancel()


def _restore(shop: Shop, file: Path) -> Any:
    """Restore from the main thread's point of view: nothing runs, and the old one is kept."""
    told = shop.imv("restore", str(file), "--force")
    with sqlite3.connect(told["kept"]) as old:
        (orders,) = old.execute("SELECT count(*) FROM orders").fetchone()
    assert orders == len(_BEFORE) + len(_AFTER)
    return told


def _check(shop: Shop, known: set[str], events: list[dict[str, Any]]) -> None:
    """Nothing is doubled by id, all that the database knows is there, and consumers were told."""
    ids = Counter(event["id"] for event in events)
    assert max(ids.values()) == 1
    assert known < set(ids)
    (told,) = [event for event in events if event["subject"].startswith("imv.v1.instance.")]
    assert told["data"]["id"] == shop.ask("SELECT incarnation FROM instance")[0][0]
    orders = len(_BEFORE) + len(_AFTER)
    assert shop.ask("SELECT count(*), count(DISTINCT external_id) FROM orders") == [
        (orders, orders)
    ]
    assert shop.ask("SELECT sum(allocated) FROM stock_levels") == [(orders,)]
