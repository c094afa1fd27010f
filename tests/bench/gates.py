"""What the stock gate on Redis holds after a run, beside the ledger: cell by cell, and no orphan."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from config.clock import SystemClock
from config.ids import MarketId, OperationId, Sku
from store.engine import Database
from store.gate import RedisGate
from store.gate_compare import GateCompare
from store.redis_client import open_redis
from tests.bench.books import Books, check, wait
from tests.bench.goods import MARKET
from tests.bench.servers import Gateway
from tests.engines import PATIENT_S

_MARKET: Final = MarketId(MARKET)
_QUIET_S: Final = 20.0


def check_gate(up: Gateway) -> None:
    """Wait until gate and ledger agree on every cell; no unit is held for what nobody knows.

    Cells follow a commit by a moment. An operation that the gate remembers and the ledger does not
    know is an orphan: its units are nobody's until the keeper finds it, a minute later.
    """
    wait(lambda: not _differing(up), "gate and ledger do not agree", _QUIET_S)
    held = asyncio.run(_remembered(up))
    rows = up.books.rows("SELECT operation_id FROM stock_movements")
    orphans = held - {operation for (operation,) in rows}
    check(
        what="operations of the gate that the ledger does not know", expected=set(), found=orphans
    )


def _skus(books: Books) -> tuple[Sku, ...]:
    return tuple(Sku(sku) for (sku,) in books.rows("SELECT DISTINCT sku FROM stock_levels"))


def _differing(up: Gateway) -> int:
    return asyncio.run(_differences(up, _skus(up.books)))


async def _differences(up: Gateway, skus: tuple[Sku, ...]) -> int:
    database = Database(up.books.url)
    try:
        async with _opened(up) as gate:
            return len(await GateCompare(database, gate).differences(_MARKET, skus))
    finally:
        await database.close()


async def _remembered(up: Gateway) -> set[OperationId]:
    async with _opened(up) as gate:
        _, records = await gate.view(_MARKET, (), operations=True)
    return set(records)


@asynccontextmanager
async def _opened(up: Gateway) -> AsyncIterator[RedisGate]:
    """Open the gate under the epoch that the ledger has for it."""
    ((epoch,),) = up.books.rows(f"SELECT epoch FROM gates WHERE market = '{MARKET}'")  # noqa: S608 - ours
    client = open_redis(up.redis, call_s=PATIENT_S)
    try:
        gate = RedisGate(client, SystemClock())
        gate.learn(_MARKET, epoch)
        yield gate
    finally:
        await client.aclose()
