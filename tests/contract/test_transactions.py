"""The contract of `outbox.ports.Transactions`, kept by the database on SQLite and PostgreSQL."""

import asyncio

import pytest
from sqlalchemy import delete, func, insert, select

from config.errors import Conflict, EngineDown
from outbox.ports import Transactions
from store.engine import Database
from store.tables import payments


@pytest.fixture
def transactions(database: Database) -> Transactions:
    return database


async def _add(transactions: Transactions, *refs: str) -> None:
    rows = [{"source": "shop", "payment_ref": ref, "order_id": "o1"} for ref in refs]
    async with transactions.write() as connection:
        await connection.execute(insert(payments), rows)


async def _refs(transactions: Transactions) -> set[str]:
    async with transactions.read() as connection:
        return set((await connection.execute(select(payments.c.payment_ref))).scalars())


async def test_a_clean_exit_commits(transactions: Transactions) -> None:
    await _add(transactions, "a", "b")
    assert await _refs(transactions) == {"a", "b"}


async def test_an_error_rolls_back_and_comes_out_as_it_is(transactions: Transactions) -> None:
    async def add_and_fail() -> None:
        async with transactions.write() as connection:
            row = {"source": "shop", "payment_ref": "a", "order_id": "o1"}
            await connection.execute(insert(payments), [row])
            raise LookupError

    with pytest.raises(LookupError):
        await add_and_fail()
    assert await _refs(transactions) == set()


async def test_a_key_that_is_taken_is_a_conflict_and_writes_nothing(
    transactions: Transactions,
) -> None:
    await _add(transactions, "a")
    with pytest.raises(Conflict):
        await _add(transactions, "b", "a")
    assert await _refs(transactions) == {"a"}


async def test_what_is_not_committed_cannot_be_read(transactions: Transactions) -> None:
    async with transactions.write() as connection:
        row = {"source": "shop", "payment_ref": "a", "order_id": "o1"}
        await connection.execute(insert(payments), [row])
        assert await _refs(transactions) == set()
    assert await _refs(transactions) == {"a"}


async def test_a_read_is_one_snapshot(transactions: Transactions) -> None:
    count = select(func.count()).select_from(payments)
    async with transactions.read() as connection:
        assert (await connection.execute(count)).scalar_one() == 0
        await _add(transactions, "a")
        assert (await connection.execute(count)).scalar_one() == 0
    assert await _refs(transactions) == {"a"}


async def test_a_read_cannot_write(transactions: Transactions) -> None:
    async def write() -> None:
        async with transactions.read() as connection:
            await connection.execute(delete(payments))

    await _add(transactions, "a")
    with pytest.raises(EngineDown):
        await write()
    assert await _refs(transactions) == {"a"}


async def test_many_writers_at_once_all_commit(transactions: Transactions) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(_add(transactions, f"p{number}"))
    assert len(await _refs(transactions)) == 20
