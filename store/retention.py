"""Lets go of inbox rows whose time is over, so that the database does not grow for ever."""

import asyncio
from typing import Final

from sqlalchemy import bindparam, delete, select, tuple_

from config.clock import Clock, to_us
from config.errors import ImvError
from config.limits import INBOX_KEPT_S
from config.log import get_log
from outbox.ports import Transactions
from store.tables import inbox

ROWS_AT_ONCE_MAX: Final = 500
LOOK_S: Final = 60.0
BUSY_S: Final = 0.25

# What is quarantined waits for a person, however long that takes.
_OLD = (
    select(inbox.c.source, inbox.c.key)
    .where(inbox.c.received_us < bindparam("before_us"), inbox.c.outcome != "quarantined")
    .order_by(inbox.c.received_us)
    .limit(bindparam("rows_max"))
)
_FORGET = delete(inbox).where(tuple_(inbox.c.source, inbox.c.key).in_(_OLD))


class Retention:
    """Deletes a few rows at a time; several processes may do it at once.

    After that a repeat of so old a message is a new one: its order, if it is still known, answers
    it by version.
    """

    def __init__(self, database: Transactions, clock: Clock) -> None:
        """Take the database."""
        self._database = database
        self._clock = clock
        self._log = get_log("store")

    async def run(self) -> None:
        """Forget until cancelled; a database that is down or busy is asked again later."""
        while True:
            try:
                more = await self.forget() == ROWS_AT_ONCE_MAX
            except ImvError as error:
                self._log.info("retention.postponed", reason=error.detail)
                more = False
            await asyncio.sleep(BUSY_S if more else LOOK_S)

    async def forget(self) -> int:
        """Delete a bounded number of old rows; return how many.

        Raises:
            EngineDown, OutcomeUnknown, Conflict: as `Transactions.write`.
        """
        before_us = to_us(self._clock.now()) - INBOX_KEPT_S * 1_000_000
        async with self._database.write() as connection:
            values = {"before_us": before_us, "rows_max": ROWS_AT_ONCE_MAX}
            return (await connection.execute(_FORGET, values)).rowcount
