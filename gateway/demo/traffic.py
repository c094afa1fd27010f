"""The demo at work: signed sample webhooks come in, store staff move the goods on."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeVar

import httpx

from config.log import get_log
from gateway.demo.deliveries import Deliveries
from gateway.demo.goods import read_catalog
from gateway.demo.office import Office
from gateway.demo.platform import FakePlatform
from gateway.demo.purchases import Shoppers
from gateway.demo.script import Script
from gateway.demo.sender import WebhookSender
from gateway.demo.staff import Staff
from gateway.demo.stockroom import Stockroom
from gateway.lifespan import House
from gateway.serving import serving

_log = get_log("demo")
T = TypeVar("T")
_BACKOFF_S: Final = 1.0
_BACKOFF_S_MAX: Final = 30.0
_ANSWER_S: Final = 15.0


class Demo:
    """Keeps a demo instance alive."""

    def __init__(self, platform: FakePlatform, chance: Random) -> None:
        """Take the platform that its thin notifications are completed from, and what is random."""
        self.platform = platform
        self._chance = chance

    async def run(self, house: House, http: str, credential: str) -> None:
        """Run until cancelled; whatever goes wrong is logged and tried again."""
        cancelled: asyncio.CancelledError | None = None
        async with (
            httpx.AsyncClient(base_url=http, trust_env=False, timeout=_ANSWER_S) as client,
            serving(self.platform, self.platform.address),
        ):
            try:
                await self._work(house, client, credential)
            except asyncio.CancelledError as error:
                # The server ends in order only when the context ends without an error.
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _work(self, house: House, client: httpx.AsyncClient, credential: str) -> None:
        chance, clock, places = self._chance, house.clock, house.directory.network.locations
        office = Office(client, credential)
        sender = WebhookSender(client, house.channels, self.platform, clock)
        levels = house.reader.levels
        stockroom = Stockroom(levels, office, sender, places=places, clock=clock, chance=chance)
        staff = Staff([place.id for place in places], house.reader.board, office, chance)
        script = Script(Shoppers(read_catalog(), chance), places, chance)
        deliveries = Deliveries(script, sender, staff.open, clock=clock, chance=chance)
        await _until_done("opening", stockroom.open)
        async with asyncio.TaskGroup() as group:
            for name, look in (
                ("deliveries", deliveries.look),
                ("staff", staff.look),
                ("stockroom", stockroom.look),
            ):
                group.create_task(_for_ever(name, look), name=f"demo {name}")

    def close(self) -> None:
        """Close the platform's socket, for a demo that never ran; safe to repeat."""
        self.platform.close()


async def _until_done(name: str, work: Callable[[], Awaitable[bool]]) -> None:
    wait_s = _BACKOFF_S
    while not await _tried(name, work):
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, _BACKOFF_S_MAX)


async def _for_ever(name: str, look: Callable[[], Awaitable[float]]) -> None:
    wait_s = _BACKOFF_S
    while True:
        pause_s = await _tried(name, look)
        await asyncio.sleep(pause_s or wait_s)
        wait_s = _BACKOFF_S if pause_s else min(wait_s * 2, _BACKOFF_S_MAX)


async def _tried(name: str, work: Callable[[], Awaitable[T]]) -> T | None:
    try:
        return await work()
    except Exception as error:  # noqa: BLE001 - the gateway matters more than its demo
        _log.warning("demo.failed", work=name, error=type(error).__name__, detail=str(error)[:200])
        return None
