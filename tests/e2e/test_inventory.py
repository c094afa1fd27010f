"""An ordinary consumer follows the stock of a SKU, also over the death of the gateway."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import nats
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from store.records import Availability, InventoryLevel
from tests.e2e import instance as at
from tests.e2e.watching import check_exactly_once, events_until_quiet

_SKU = "imv.v1.inventory.*.SKU-1"
_ORDERS = 60


class Follower:
    """Reads the subjects of one SKU with nats-py, strictly by the published contract."""

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription

    async def next(self) -> tuple[str, InventoryLevel | Availability]:
        message = await self._subscription.next_msg(timeout=20)
        name = message.subject.split(".")[3]
        if name == "availability_changed":
            return name, msgspec.json.decode(message.data, type=Availability)
        return name, msgspec.json.decode(message.data, type=InventoryLevel)

    async def until_available(self, **units: int) -> Availability:
        """Read on until these units are told, by location with `_` for `-`."""
        wanted = {place.replace("_", "-"): count for place, count in units.items()}
        while True:
            _, record = await self.next()
            if isinstance(record, Availability) and _units(record) == wanted:
                return record


@asynccontextmanager
async def following(url: str) -> AsyncIterator[Follower]:
    """Follow the SKU from the beginning of the stream, as soon as the relay has made it."""
    client = await nats.connect(url)
    try:
        yield Follower(await at.until(lambda: _subscribed(client.jetstream())))
    finally:
        await client.close()


async def _subscribed(streams: JetStreamContext) -> Any:
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    with suppress(NotFoundError):
        return await streams.subscribe(_SKU, stream="IMV", ordered_consumer=True, config=config)


def _units(record: Availability) -> dict[str, int]:
    return {one.location: one.available for one in record.locations}


async def _post(http: str, *numbers: int) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        sender = at.Sender(http)
        for number in numbers:
            await sender.send(client, number, at.order(number, pickup=True))


async def test_a_consumer_hears_of_counts_sales_and_overselling_of_a_sku(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with at.running(*at.up_arguments(at.write_config(tmp_path), data)) as up:
        token = at.credential(data)
        await at.gate_open(up.http)
        async with following(up.ready["nats"]) as follower:
            await at.stock(up.http, token, S_001=5, W_001=1)
            heard = [await follower.next() for _ in range(3)]
            await _post(up.http, 1)
            heard.append(await follower.next())
            await at.stock(up.http, token, S_001=0)
            heard += [await follower.next() for _ in range(3)]
    shown = [
        (name, record.version, _units(record))
        if isinstance(record, Availability)
        else (name, record.version, {record.location: record.available})
        for name, record in heard
    ]
    assert shown == [
        ("adjusted", 1, {"S-001": 5}),
        ("adjusted", 1, {"W-001": 1}),
        ("availability_changed", 1, {"S-001": 5, "W-001": 1}),
        ("availability_changed", 2, {"S-001": 4, "W-001": 1}),
        ("adjusted", 2, {"S-001": -1}),
        ("oversold", 3, {"S-001": -1}),
        ("availability_changed", 3, {"S-001": -1, "W-001": 1}),
    ]


async def test_availability_comes_at_most_once_a_second_and_after_a_kill_catches_up(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    arguments = at.up_arguments(at.write_config(tmp_path), data)
    with at.running(*arguments) as up:
        token = at.credential(data)
        await at.gate_open(up.http)
        await at.stock(up.http, token, S_001=1000)
        async with following(up.ready["nats"]) as follower:
            await _post(up.http, 1)
            await follower.until_available(S_001=999)
        # A second begins: what is taken now is left to the instance that comes after.
        await _post(up.http, 2)
        up.kill()
    with at.running(*arguments) as up:
        await at.gate_open(up.http)
        async with following(up.ready["nats"]) as follower:
            await follower.until_available(S_001=998)
            for number in range(3, _ORDERS):
                await _post(up.http, number)
                await asyncio.sleep(0.05)
            await follower.until_available(S_001=1001 - _ORDERS)
        events = await events_until_quiet(up.ready["nats"])
    check_exactly_once(events)
    changed = [e for e in events if ".availability_changed." in e["subject"]]
    moments = [datetime.fromisoformat(event["time"]) for event in changed]
    apart = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(moments)]
    assert len(apart) >= 4
    assert min(apart) >= 1
