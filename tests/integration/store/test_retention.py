"""Old inbox rows go, a few at a time; what waits for a person stays."""

from datetime import datetime, timedelta

from sqlalchemy import select

from config.clock import SystemClock, to_us
from config.limits import INBOX_KEPT_S
from store.engine import Database
from store.ports import Changes, InboxRow
from store.retention import ROWS_AT_ONCE_MAX, Retention
from store.tables import inbox
from store.unit_of_work import SqlStore
from tests.integration.store.samples import NOW, message

_KEPT = timedelta(seconds=INBOX_KEPT_S)
_MINUTE = timedelta(minutes=1)


class _At(SystemClock):
    def now(self) -> datetime:
        return NOW


def _received(key: str, age: timedelta, outcome: str = "applied") -> InboxRow:
    return message(key, received_us=to_us(NOW - age), outcome=outcome)


async def _store(database: Database, *rows: InboxRow) -> None:
    async with SqlStore(database, 4).unit_of_work() as work:
        await work.write(Changes(messages=list(rows)))


async def _keys(database: Database) -> set[str]:
    async with database.read() as connection:
        return set((await connection.execute(select(inbox.c.key))).scalars())


async def test_only_rows_of_old_age_go_and_never_what_is_quarantined(database: Database) -> None:
    await _store(
        database,
        _received("old", _KEPT + _MINUTE),
        _received("suspect", _KEPT + _MINUTE, "quarantined"),
        _received("young", _KEPT - _MINUTE),
    )
    assert await Retention(database, _At()).forget() == 1
    assert await _keys(database) == {"suspect", "young"}


async def test_many_old_rows_go_in_several_turns(database: Database) -> None:
    old = [_received(f"k-{number}", _KEPT + _MINUTE) for number in range(ROWS_AT_ONCE_MAX + 3)]
    await _store(database, *old)
    retention = Retention(database, _At())
    assert [await retention.forget() for _ in range(3)] == [ROWS_AT_ONCE_MAX, 3, 0]
