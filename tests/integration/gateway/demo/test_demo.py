"""The demo beside a gateway that fails: it goes on trying, and ends in order."""

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from config.clock import SystemClock
from config.errors import EngineDown
from config.ids import LocationId
from gateway.demo.goods import read_network
from gateway.demo.platform import FakePlatform
from gateway.demo.traffic import Demo
from gateway.lifespan import House
from gateway.serving import listen
from handlers.directory import Directory

NOBODY = "http://127.0.0.1:9"


class BrokenReader:
    """A database that is down at first, then shows levels, but no boards."""

    def __init__(self) -> None:
        self.asked = 0
        self.failed_boards = 0
        self.tried_again = asyncio.Event()

    async def levels(self, sku: str, market: str) -> list[dict[str, Any]]:
        self.asked += 1
        if self.asked == 1:
            raise EngineDown
        # Something is known, so that nothing is imported; not enough to be a level.
        return [{"sku": sku, "market": market}]

    async def board(self, _location: LocationId) -> list[bytes]:
        self.failed_boards += 1
        if self.failed_boards > 1:
            self.tried_again.set()
        raise EngineDown


@pytest.fixture
def reader() -> BrokenReader:
    return BrokenReader()


@pytest.fixture
def house(reader: BrokenReader) -> House:
    """As much of a house as the demo uses; it has no channel that could sign."""
    directory = Directory(read_network(), ())
    parts = SimpleNamespace(clock=SystemClock(), directory=directory, channels={}, reader=reader)
    return cast("House", parts)


async def test_it_goes_on_after_every_error_and_ends_when_it_is_cancelled(
    house: House, reader: BrokenReader
) -> None:
    platform = FakePlatform(listen("127.0.0.1", 0))
    demo = Demo(platform, Random(1))  # noqa: S311 - a test's
    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        running = group.create_task(demo.run(house, NOBODY, "imv_nothing"))
        await reader.tried_again.wait()
        assert not running.done()
        running.cancel()
    assert running.cancelled()
    assert reader.asked > 1
    assert platform.address.fileno() == -1
