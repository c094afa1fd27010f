"""A commit whose answer was lost: whether it was done, or can no longer be."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from config.clock import Clock, to_us
from config.errors import Conflict, ImvError
from config.ids import MarketId, MessageId, OperationId
from config.log import get_log
from handlers.message import Message
from store.ports import Changes, Lookup, MessageKey, Movement, Store

COMMIT_LOOK_S: Final = 0.25
_COMMIT_LOOKS: Final = 40
_VOIDED: Final = "voided"  # as the gate's reaper writes it

_log = get_log("batch")

Granted = Mapping[MarketId, Sequence[OperationId]]
"""The operations that the gate may have granted for the commit."""


class LostCommit:
    """Looks for a batch's traces in the database until somebody can say what became of it."""

    def __init__(self, store: Store, clock: Clock, look_s: float) -> None:
        """Take the database, and how long to wait before looking again."""
        self._store = store
        self._clock = clock
        self._look_s = look_s

    async def look_for(self, messages: Sequence[Message], granted: Granted) -> bool | None:
        """Tell whether the commit was done; None when nobody can say now."""
        keys = {(m.source, m.key) for m in messages if m.recorded}
        ids = {message.id for message in messages}
        for _ in range(_COMMIT_LOOKS):
            try:
                return await self._is_there(keys, ids) or not await self._void(granted)
            except Conflict:
                # Somebody has our operation ids: the late commit itself, or the reaper.
                with suppress(ImvError):
                    return await self._is_there(keys, ids) or await self._has_taken(granted)
            except ImvError as error:
                _log.info("batch.looks_again", reason=error.detail)
            await asyncio.sleep(self._look_s)
        return None

    async def _is_there(self, keys: set[MessageKey], ids: set[MessageId]) -> bool:
        async with self._store.unit_of_work() as work:
            found = await work.find(Lookup(messages=keys))
        return any(row.id in ids for row in found.messages.values())

    async def _has_taken(self, granted: Granted) -> bool:
        """Tell whether it was the commit that has our operation ids: no inbox row may say so."""
        operations = [one for of_market in granted.values() for one in of_market]
        async with self._store.unit_of_work() as work:
            return await work.has_taken(operations)

    async def _void(self, granted: Granted) -> bool:
        """Take the operation ids of a commit that was not done, so that it cannot come late."""
        now_us = to_us(self._clock.now())
        voids = [
            Movement(operation_id=operation, kind=_VOIDED, market=market, lines=(), at_us=now_us)
            for market, operations in granted.items()
            for operation in operations
        ]
        if voids:
            async with self._store.unit_of_work() as work:
                await work.write(Changes(movements=voids))
        return True
