"""Whatever a stream loses, delays or forgets, and however relays die: each event once, in order."""

import asyncio
import itertools
import shutil
import tempfile
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.clock import SystemClock
from config.errors import EngineDown, OutcomeUnknown
from config.ids import IdFactory
from config.limits import LEASE_S
from outbox.event import Event
from outbox.message import Batch, Marker, Message
from outbox.ports import Extent, Refused, Stored
from outbox.relay import Relay
from store.engine import Database
from tests.integration.outbox.relaying import PARTITIONS, commit, drained, event, eventually, kill

_BATCH = 2
"""So few events a batch, so that there are whole ones, which may be sent ahead."""
FAULTS = ("down", "request lost", "answer lost", "late", "slow")
HOUR_S = 3600.0


class WallClock(SystemClock):
    """A clock that somebody sets; what measures durations goes on."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return super().now() + self.shift


class Stream:
    """A stream in memory with JetStream's fence and known ids; implements `Publisher`, with faults."""

    def __init__(self) -> None:
        self.faults: deque[str] = deque()
        self.ids: list[str] = []
        self._markers: dict[int, Marker] = {}
        self._late: list[tuple[Batch, tuple[Message, ...]]] = []
        self._ahead: dict[str, tuple[Message, ...]] = {}
        self._sequence = 0
        self._created = 1
        self._names = itertools.count(1)
        self.taken = 0

    def forget(self) -> None:
        """Come back empty, as another stream."""
        self.ids, self._markers, self._late, self._ahead = [], {}, [], {}
        self._sequence, self._created = 0, self._created + 1

    def forget_ahead(self) -> None:
        """Forget what was sent ahead, as a broker does after a while."""
        self._ahead.clear()

    async def ensure_stream(self) -> None:
        pass

    async def extent(self) -> Extent:
        return Extent(str(self._created), 1)

    async def last_marker(self, partition: int) -> Marker:
        return self._markers.get(partition, Marker(0, ""))

    async def send_ahead(self, messages: Sequence[Message]) -> str:
        name = f"ahead-{next(self._names)}"
        self._ahead[name] = tuple(messages)
        return name

    async def publish_batch(
        self, batch: Batch, messages: Sequence[Message], *, sent: str = ""
    ) -> Stored | Refused:
        fault = self.faults.popleft() if self.faults else ""
        if sent:
            messages = self._ahead.pop(sent, ())
            self.taken += bool(messages)
        if fault == "down" or not messages:
            raise EngineDown
        late, self._late = self._late, []
        for one in late:  # it arrives between a look at the marker and the repeat
            self._store(*one)
        if fault == "late":
            self._late.append((batch, tuple(messages)))
        if fault in {"late", "request lost"}:
            raise OutcomeUnknown
        if fault == "slow":
            await asyncio.sleep(0.05)
        answer = self._store(batch, messages)
        if fault == "answer lost":
            raise OutcomeUnknown
        return answer

    def _store(self, batch: Batch, messages: Sequence[Message]) -> Stored | Refused:
        marker = self._markers.get(batch.partition, Marker(0, ""))
        if marker.sequence != batch.expected:
            return Refused("wrong last sequence")
        if {one.id for one in messages} & {*self.ids}:
            return Refused("known id")
        self.ids += [one.id for one in messages]
        self._sequence += len(messages) + 1
        self._markers[batch.partition] = Marker(self._sequence, batch.id)
        return Stored(self._sequence)


class World:
    """One database, one stream, and a relay that is killed and followed."""

    def __init__(self, database: Database, tasks: asyncio.TaskGroup) -> None:
        self.database = database
        self._tasks = tasks
        self.stream = Stream()
        self.clock = WallClock()
        self.events: list[Event] = []
        self._relay, self._task = self._start()

    def _start(self) -> tuple[Relay, asyncio.Task[None]]:
        relay = Relay(
            self.database, self.stream, self.clock, ids=IdFactory(), partitions=PARTITIONS
        )
        return relay, self._tasks.create_task(relay.run())

    async def do(self, step: str) -> None:
        match step:
            case "kill":
                await kill(self._task)
                self.clock.shift += timedelta(seconds=LEASE_S + 1)  # until the lease has ended
                self._relay, self._task = self._start()
            case "stop":
                self._task.cancel()
                await asyncio.wait((self._task,))
                self._relay, self._task = self._start()
            case "clock back" | "clock on":
                sign = 1 if step == "clock on" else -1
                self.clock.shift += timedelta(seconds=sign * HOUR_S)
            case "forget":
                self.stream.forget()
            case "forget ahead":
                self.stream.forget_ahead()
            case "rest":
                await asyncio.sleep(0.02)
            case _ if step in FAULTS:
                self.stream.faults.append(step)
            case _:
                await self._commit(step)

    async def _commit(self, key: str) -> None:
        version = sum(one.key == key for one in self.events) + 1
        new = [event(key, version), event(key, version + 1)]
        await commit(self.database, new, self._relay)
        self.events += new

    async def settled(self) -> list[str]:
        self.stream.faults.clear()
        await drained(self.database)
        await eventually(self._is_whole)
        await kill(self._task)
        return self.stream.ids

    async def _is_whole(self) -> bool:
        return len(self.stream.ids) >= len(self.events)


keys = st.sampled_from(["o-1", "o-2", "o-3"])
steps = st.one_of(
    keys,
    keys,
    st.sampled_from(FAULTS),
    st.sampled_from(["kill", "stop", "rest", "forget", "forget ahead", "clock back", "clock on"]),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(script=["o-1", "rest", "clock back", "kill", "o-1"])
@example(script=["late", "o-1", "rest", "kill", "o-1", "o-2"])
@example(script=["o-1", "rest", "forget", "answer lost", "o-1", "kill"])
@example(script=["slow", "slow", *["o-1", "o-2"] * 4, "rest", "forget ahead", "kill", "o-1"])
@given(script=st.lists(steps, min_size=2, max_size=10))
async def test_each_event_is_in_the_stream_once_and_in_order(
    migrated_file: Path, script: Sequence[str]
) -> None:
    world, found = await _played(migrated_file, script)
    assert sorted(found) == sorted(one.id for one in world.events)
    for key in {one.key for one in world.events}:
        sent = [one.id for one in world.events if one.key == key]
        assert [one for one in found if one in {*sent}] == sent


async def test_the_model_sends_batches_ahead(migrated_file: Path) -> None:
    """Else what it shows would not be of them."""
    world, _ = await _played(migrated_file, ["slow"] * 4 + ["o-1", "o-2"] * 8)
    assert world.stream.taken


async def _played(migrated_file: Path, script: Sequence[str]) -> tuple[World, list[str]]:
    """Play a script to its end; return the world, and the ids in its stream."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="imv-relay-") as folder,
    ):
        patch.setattr("outbox.partitions.RELAY_BATCH_MAX", _BATCH)
        shutil.copyfile(migrated_file, f"{folder}/imv.sqlite")
        database = Database(f"sqlite+aiosqlite:///{folder}/imv.sqlite")
        try:
            async with asyncio.TaskGroup() as tasks:
                world = World(database, tasks)
                for step in script:
                    await world.do(step)
                found = await world.settled()
        finally:
            await database.close()
    return world, found
