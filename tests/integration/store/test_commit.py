"""A commit that is under way ends, whoever is cancelled; a write is there whole or not at all."""

import asyncio
import gc
import threading
from collections.abc import Callable

import aiosqlite
import pytest
from sqlalchemy import event, select

from store import tables
from store.engine import Database
from store.ports import Changes
from store.unit_of_work import SqlStore
from tests.integration.store import samples

TURNS_MAX = 1_000
WITHIN_S = 10.0


async def _write(database: Database, *keys: str) -> None:
    async with SqlStore(database, 4).unit_of_work() as work:
        await work.write(Changes(messages=[samples.message(key) for key in keys]))


async def _keys(database: Database) -> set[str]:
    async with database.read() as connection:
        return set((await connection.execute(select(tables.inbox.c.key))).scalars())


def _at_commit(database: Database, act: Callable[[], object]) -> None:
    """Call something once, when the next commit is under way."""
    event.listen(database._writer.sync_engine, "commit", lambda _: act(), once=True)


async def test_a_cancel_during_the_commit_does_not_undo_it(database: Database) -> None:
    writing = asyncio.ensure_future(_write(database, "a", "b"))
    _at_commit(database, writing.cancel)
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await _keys(database) == {"a", "b"}
    await _write(database, "c")
    assert await _keys(database) == {"a", "b", "c"}


async def test_a_second_cancel_during_the_commit_does_not_undo_it_either(
    database: Database,
) -> None:
    writing = asyncio.ensure_future(_write(database, "a", "b"))

    def cancel_twice() -> None:
        writing.cancel()
        asyncio.get_running_loop().call_soon(writing.cancel)

    _at_commit(database, cancel_twice)
    with pytest.raises(asyncio.CancelledError):
        await writing
    await _write(database, "c")
    assert await _keys(database) == {"a", "b", "c"}


async def test_a_time_out_during_the_commit_is_told_after_it(database: Database) -> None:
    async def within_no_time() -> None:
        async with asyncio.timeout(None) as limit:
            _at_commit(database, lambda: limit.reschedule(0))
            await _write(database, "a")

    with pytest.raises(TimeoutError):
        await within_no_time()
    assert await _keys(database) == {"a"}


async def test_a_cancel_at_any_turn_leaves_all_or_nothing_and_a_database_that_works(
    database: Database,
) -> None:
    """The task is cancelled after 0, 1, 2 … turns of the loop, until it is done by then."""
    for turn in range(TURNS_MAX):
        keys = {f"{turn}-a", f"{turn}-b"}
        writing = asyncio.ensure_future(_write(database, *keys))
        for _ in range(turn):
            await asyncio.sleep(0)
        if not writing.cancel():
            break
        await asyncio.wait({writing})
        assert await _keys(database) & keys in (set(), keys)
    assert turn
    await _write(database, "after")
    assert "after" in await _keys(database)


async def test_a_statement_that_is_cut_off_leaves_no_lock_though_its_rows_were_never_read(
    sqlite_database: Database,
) -> None:
    """Its traceback, which holds the cursor, is kept by the task until the end of the test."""
    began, goes_on = threading.Event(), threading.Event()

    def hold() -> int:
        began.set()
        return int(goes_on.wait(WITHIN_S))

    async def cut_off() -> None:
        async with sqlite_database.write() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert isinstance(raw, aiosqlite.Connection)
            await raw.create_function("hold", 0, hold)
            await connection.exec_driver_sql(
                "UPDATE instance SET id = id WHERE hold() RETURNING id"
            )

    gc.disable()
    try:
        writing = asyncio.ensure_future(cut_off())
        assert await asyncio.to_thread(began.wait, WITHIN_S)
        writing.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        await asyncio.wait({writing})
        assert writing.cancelled()
        await _write(sqlite_database, "after")
    finally:
        gc.enable()
    assert await _keys(sqlite_database) == {"after"}


async def test_a_commit_at_sqlite_waits_for_its_turn(sqlite_database: Database) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(_write(sqlite_database, f"k{number}"))
    assert len(await _keys(sqlite_database)) == 20


async def test_closing_twice_is_safe(database: Database) -> None:
    await _keys(database)
    await database.close()
    await database.close()
