"""The sweeper: what has become due is sent through the batch like everything else."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

from config import crash
from config.clock import Clock, to_ms, to_us
from config.errors import ImvError, Unavailable
from config.ids import HoldId, IdFactory, MarketId, MessageId, OrderId, SourceId
from config.log import get_log
from handlers.actions import Action, ApplyWaiting, DecideOrders, EndHold, ExpireParked
from handlers.intake import WayIn
from handlers.message import Message
from store.ports import Parked, Ref

_log = get_log("sweeper")
SWEEP_S = 1.0
_AT_ONCE = 64
_REUNITED_US = 600 * 1_000_000
"""After a first look at all, only what was parked lately can have missed its parent."""
OURSELVES = SourceId("imv")


class Mapped(Protocol):
    """Held orders that can be decided now, and where to look on; empty: from the beginning."""

    @property
    def order_ids(self) -> list[OrderId]:
        """Return the orders."""
        ...

    @property
    def after(self) -> str:
        """Return where the next look begins."""
        ...


class Due(Protocol):
    """What waits; each call raises EngineDown when the database does not answer."""

    async def undecided(self, markets: Sequence[MarketId], limit: int) -> list[OrderId]:
        """Return the orders of these markets that wait for the gate, oldest first."""
        ...

    async def now_mapped(self, after: str, limit: int) -> Mapped:
        """Return a page of held orders, one of whose unmapped items is known by now."""
        ...

    async def reunited(self, since_us: int, limit: int) -> list[Ref]:
        """Return parents that are there and still have children parked under them since a time."""
        ...

    async def expired_holds(self, now_us: int, limit: int) -> list[HoldId]:
        """Return holds whose time is over, oldest first."""
        ...

    async def overdue(self, now_us: int, limit: int) -> list[Parked]:
        """Return parked children whose parent has not come in time, not yet shown."""
        ...


def task_message(clock: Clock, ids: IdFactory, action: Action, by: str) -> Message:
    """Wrap one of our own actions as a message that the inbox need not remember."""
    now = clock.now()
    message_id = MessageId(ids.new(to_ms(now)))
    return Message(
        id=message_id,
        source=OURSELVES,
        key=message_id,
        topic=type(action).__name__,
        fingerprint=hashlib.sha256(message_id.encode()).digest(),
        received_at=now,
        tasks=(action,),
        by=by,
        recorded=False,
        operator=True,
    )


class Sweeper:
    """Looks for due work twice a second; doing it twice does no harm."""

    def __init__(
        self,
        due: Due,
        intake: WayIn,
        clock: Clock,
        *,
        ids: IdFactory,
        markets: Sequence[MarketId],
        gate_open: Callable[[], bool],
    ) -> None:
        """Take what waits and the way in."""
        self._due = due
        self._intake = intake
        self._clock = clock
        self._ids = ids
        self._markets = tuple(markets)
        self._gate_open = gate_open
        self._looked_at = ""
        self._reunited_since_us = 0
        self._more = False
        self._full: list[tuple[str, ...]] = []

    async def run(self) -> None:
        """Sweep until cancelled; an engine that is down is tried again at the next turn."""
        while True:
            more = False
            try:
                more = await self.sweep()
            except Unavailable as error:
                _log.info("sweep.postponed", reason=error.detail)
            if not more:
                await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> bool:
        """Send what is due now through the batch; one that fails holds up no other.

        Returns whether there is more to do at once.

        Raises:
            Unavailable: nothing more can be done now.
        """
        actions = await self._due_actions()
        if actions:
            crash.here("sweeper.found")
        async with asyncio.TaskGroup() as tasks:
            sent = [tasks.create_task(self._send(action), name="sweep.send") for action in actions]
        for task in sent:
            if error := task.result():
                raise error
        return self._more

    async def _due_actions(self) -> list[Action]:
        now_us = to_us(self._clock.now())
        actions: list[Action] = []
        waiting: list[OrderId] = []
        if self._gate_open():
            waiting = await self._due.undecided(self._markets, _AT_ONCE)
            mapped = await self._due.now_mapped(self._looked_at, _AT_ONCE)
            self._looked_at = mapped.after
            orders = dict.fromkeys([*waiting, *mapped.order_ids])
            actions += [DecideOrders((order_id,)) for order_id in orders]
        if reunited := await self._due.reunited(self._reunited_since_us, _AT_ONCE):
            actions.append(ApplyWaiting(tuple(reunited)))
        else:
            self._reunited_since_us = now_us - _REUNITED_US
        expired = await self._due.expired_holds(now_us, _AT_ONCE)
        actions += [EndHold(hold_id=hold_id, expired=True) for hold_id in expired]
        self._note(waiting, expired)
        for parked in await self._due.overdue(now_us, _AT_ONCE):
            late = ExpireParked(
                parked_id=parked.id,
                source=parked.message[0],
                parent=parked.parent,
                key=parked.message[1],
                parked_us=parked.parked_us,
            )
            actions.append(late)
        return actions

    def _note(self, *pages: Sequence[str]) -> None:
        """Note whether to go on at once: a page is full, and is not one of the last time."""
        full = [tuple(page) for page in pages if len(page) == _AT_ONCE]
        self._more = any(page not in self._full for page in full)
        self._full = full

    async def _send(self, action: Action) -> Unavailable | None:
        try:
            await self._intake.submit(task_message(self._clock, self._ids, action, "imv"))
        except Unavailable as error:
            return error
        except ImvError as error:
            _log.warning("sweep.refused", action=type(action).__name__, reason=error.detail)
        except Exception as defect:  # noqa: BLE001 - one bad row must not stop all that is due
            _log.error("sweep.defect", action=type(action).__name__, exc_info=defect)
        return None
