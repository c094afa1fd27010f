"""Health by dependency, measured beside the traffic so that a probe never waits for an engine."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from config.clock import Clock, to_us
from config.errors import ImvError, Unavailable
from config.ids import MarketId
from gateway.metrics import Metrics
from handlers.intake import Intake
from store.readers import Reader

CHECK_S = 1.0
FILL_S = 10.0
FILL_SHARE_MAX = 0.7
_BACKLOG_OLD_S = 30.0


class Broker(Protocol):
    """What tells whether events can leave."""

    @property
    def is_up(self) -> bool:
        """Tell whether NATS answers now."""
        ...

    async def fill(self) -> float:
        """Return which share of the stream's room is used; Unavailable when NATS does not answer."""
        ...


class Writable(Protocol):
    """What tells whether anything can be stored: a full disk can still be read."""

    async def check_writable(self) -> None:
        """Raise Unavailable when the last write failed and one fails now."""
        ...


class Epochs(Protocol):
    """What tells whether a market's stock gate is open."""

    def epoch(self, market: MarketId) -> str:
        """Return the gate's epoch; GateClosed when there is none."""
        ...


class Dependency(msgspec.Struct, frozen=True):
    """One thing that we need, whether it is well, and what is wrong with it."""

    ok: bool
    detail: str = ""


class Health:
    """Looks once a second; `ready` is about taking webhooks, for which only the database is needed."""

    def __init__(  # noqa: PLR0913 - what is looked at
        self,
        reader: Reader,
        gate: Epochs,
        broker: Broker,
        markets: Sequence[MarketId],
        metrics: Metrics,
        *,
        database: Writable,
        intake: Intake,
        clock: Clock,
    ) -> None:
        """Take what is looked at."""
        self._reader = reader
        self._database = database
        self._gate = gate
        self._broker = broker
        self._markets = tuple(markets)
        self._metrics = metrics
        self._intake = intake
        self._clock = clock
        self._fill = 0.0
        self.dependencies: dict[str, Dependency] = {
            name: Dependency(ok=False, detail="not looked at yet")
            for name in ("database", "redis", "nats", "relay")
        }

    @property
    def ready(self) -> bool:
        """Tell whether a webhook would be made durable now."""
        return self.dependencies["database"].ok

    async def run(self) -> None:
        """Look until cancelled; at the stream's room beside the rest, for NATS may be slow to tell."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_on(), name="health.look")
            group.create_task(self._measure_on(), name="health.fill")

    async def _look_on(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(CHECK_S)

    async def _measure_on(self) -> None:
        while True:
            await self.measure()
            await asyncio.sleep(FILL_S)

    async def measure(self) -> None:
        """Ask once how full the stream is; a full one refuses every event."""
        with suppress(Unavailable):
            self._fill = await self._broker.fill()
            self._metrics.fill.set(self._fill)

    async def look(self) -> None:
        """Look at everything once."""
        database = Dependency(ok=True)
        relay = Dependency(ok=False, detail="the database does not tell")
        try:
            for kind, count in (await self._reader.counts()).items():
                self._metrics.waiting.labels(kind).set(count)
            relay = await self._relay()
            await self._database.check_writable()
        except ImvError as error:
            database = Dependency(ok=False, detail=error.detail)
        self._metrics.queue.set(self._intake.waiting)
        self._metrics.room.set(self._intake.room)
        self.dependencies = {
            "database": database,
            "redis": self._redis(),
            "nats": self._nats(),
            "relay": relay,
        }

    def _nats(self) -> Dependency:
        if not self._broker.is_up:
            return Dependency(ok=False, detail="down")
        full = self._fill >= FILL_SHARE_MAX
        return Dependency(ok=True, detail=f"the stream is {self._fill:.0%} full" if full else "")

    async def _relay(self) -> Dependency:
        backlog = await self._reader.backlog()
        age_s = 0.0
        if backlog.oldest_us is not None:
            age_s = max(0.0, (to_us(self._clock.now()) - backlog.oldest_us) / 1_000_000)
        self._metrics.backlog.set(backlog.count)
        self._metrics.oldest.set(age_s)
        late = age_s > _BACKLOG_OLD_S
        return Dependency(ok=not late, detail=f"events wait since {age_s:.0f} s" if late else "")

    def _redis(self) -> Dependency:
        closed = []
        for market in self._markets:
            try:
                self._gate.epoch(market)
            except ImvError:
                closed.append(market)
        detail = f"gate closed: {', '.join(closed)}" if closed else ""
        return Dependency(ok=not closed, detail=detail)
