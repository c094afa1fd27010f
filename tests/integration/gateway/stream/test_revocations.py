"""A token that another process has revoked loses its streams here."""

import asyncio

from gateway.stream.revocations import Revocations
from store.engine import Database
from store.tokens import TokenRow, TokenStore
from tests.stream_fakes import Screen, World


async def test_a_token_revoked_elsewhere_loses_its_streams_and_no_other_does(
    database: Database,
) -> None:
    ours, elsewhere, world = TokenStore(database), TokenStore(database), World()
    for token_id in ("t-1", "t-2"):
        await ours.create(TokenRow(token_id, ("board:S-001",), "", 1))
    mine, other = (world.connect(Screen(), bearer=one) for one in ("t-1", "t-2"))
    forgotten = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        watch = Revocations(ours, world.hub, forget=forgotten.set)
        running = group.create_task(watch.run())
        await elsewhere.revoke("t-1", 2)
        async with asyncio.timeout(10):
            await forgotten.wait()
            while world.hub.token_ids != {"t-2"}:  # noqa: ASYNC110 - a database sends no event
                await asyncio.sleep(0.01)
        running.cancel()
    await world.read(mine)
    await world.read(other)
    assert mine.bye
    assert (mine.bye["code"], mine.bye["reconnect"]) == (4501, False)
    assert other.bye is None
