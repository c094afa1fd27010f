"""A running hub for each test."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.stream_fakes import World, settle


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world whose hub runs."""
    world = World()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.hub.run())
        await settle()
        yield world
        running.cancel()
