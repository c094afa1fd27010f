"""What a run does to the engines behind the program's back: lost files, a gate that is wrong."""

import shutil
from pathlib import Path

import redis
from sqlalchemy import update

from config.ids import MarketId
from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
from outbox.table import relay_partition
from store.engine import Database
from store.gate_keys import MarketKeys
from tests.chaos import shop
from tests.chaos.house import House

_FAR_TOO_MANY = 40


async def too_generous_gate(house: House) -> None:
    """Have the gate believe in units of what is scarce that nobody has."""
    keys = MarketKeys(MarketId(shop.MARKET))
    with redis.Redis.from_url(house.redis.url) as client:
        epoch = client.get(keys.epoch)
        assert isinstance(epoch, bytes)
        under = keys.under(epoch.decode())
        for item in shop.SCARCE:
            for place in shop.PLACES:
                client.hincrby(under.cells(item.sku), place, _FAR_TOO_MANY)


async def older_database(house: House) -> None:
    """Have the database know older markers than the stream has, as a restored backup does."""
    database = Database(house.database)
    async with database.write() as connection:
        await connection.execute(update(relay_partition).values(marker_sequence=0))
    await database.close()


async def empty_nats(house: House) -> None:
    """Start NATS again without its files."""
    start_empty(house.nats, house.folder / "nats" / "nats")


async def empty_redis(house: House) -> None:
    """Start Redis again without its files."""
    start_empty(house.redis, house.folder / "redis" / "redis")


def start_empty(server: NatsServer | RedisServer, files: Path) -> None:
    """Kill a server, remove what it kept, and start it."""
    server.kill()
    shutil.rmtree(files, ignore_errors=True)
    server.start()
