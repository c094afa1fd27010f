"""Any interleaving of changes, queries, losses and reconnects ends at the final rows."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.ports import Connected, Disconnected, StreamPosition
from tests.stream_fakes import Row, Screen, World, fulfilment, settle

SCREENS = 3
_ROWS = st.sampled_from(["1", "2", "3", "4"])
_STATES = st.sampled_from(["assigned", "picking", "ready", "collected", "cancelled"])
_SCREEN = st.integers(0, SCREENS - 1)
_STEP = st.one_of(
    st.tuples(st.just("commit"), _ROWS, _STATES),
    st.tuples(st.just("publish")),
    st.tuples(st.just("again")),
    st.tuples(st.just("change"), _ROWS, _STATES),
    st.tuples(st.just("hold")),
    st.tuples(st.just("release")),
    st.tuples(st.just("connect"), _SCREEN),
    st.tuples(st.just("disconnect"), _SCREEN),
    st.tuples(st.just("resync"), _SCREEN),
    st.tuples(st.just("overtake"), _SCREEN, _ROWS, _STATES),
    st.tuples(st.just("read"), _SCREEN, st.integers(1, 3)),
    st.tuples(st.just("eager"), _SCREEN, st.booleans()),
    st.tuples(st.just("down")),
    st.tuples(st.just("up")),
    st.tuples(st.just("restart")),
)
_STEPS = st.lists(st.tuples(_STEP, st.integers(0, 6)), min_size=8, max_size=40)


class _Model:
    """A world whose committed events leave one by one, in order, when the model says so."""

    def __init__(self) -> None:
        self.world = World()
        self.screens = [Screen() for _ in range(SCREENS)]
        self.unpublished: list[Row] = []
        self.published: list[Row] = []
        self.streams = 1

    async def step(self, step: tuple[object, ...]) -> None:
        name, *arguments = step
        await getattr(self, f"_{name}")(*arguments)

    async def _commit(self, row_id: str, state: str) -> None:
        self.unpublished.append(self.world.table.commit(fulfilment(row_id, state)))

    async def _publish(self) -> None:
        if self.unpublished:
            self.published.append(self.unpublished.pop(0))
            self.world.publish(self.published[-1])

    async def _again(self) -> None:
        """Publish the last event a second time, as after a lost acknowledgement."""
        if self.published:
            self.world.publish(self.published[-1])

    async def _change(self, row_id: str, state: str) -> None:
        await self._commit(row_id, state)
        while self.unpublished:
            await self._publish()

    async def _hold(self) -> None:
        self.world.table.free.clear()

    async def _release(self) -> None:
        self.world.table.free.set()

    async def _connect(self, number: int) -> None:
        if self.screens[number].mailbox is None:
            self.world.connect(self.screens[number])

    async def _disconnect(self, number: int) -> None:
        self.world.disconnect(self.screens[number])

    async def _resync(self, number: int) -> None:
        screen = self.screens[number]
        if screen.mailbox is not None:
            self.world.hub.subscribe(screen.mailbox, screen.topic)

    async def _overtake(self, number: int, row_id: str, state: str) -> None:
        """Let an event come between a snapshot's query and its answer."""
        await self._hold()
        await self._resync(number)
        await settle(5)
        await self._change(row_id, state)
        await settle(5)

    async def _read(self, number: int, most: int) -> None:
        await self.world.read(self.screens[number], most)

    async def _eager(self, number: int, eager: bool) -> None:  # noqa: FBT001 - a drawn value
        self.screens[number].eager = eager

    async def _down(self) -> None:
        self.world.stream.say(Disconnected("gone"))

    async def _up(self) -> None:
        stream = self.world.stream
        self.world.stream.say(Connected(StreamPosition(stream.created, stream.sequence)))

    async def _restart(self) -> None:
        self.streams += 1
        self.published.clear()
        self.world.stream.restart(str(self.streams))

    async def finish(self) -> None:
        """Let everything out and everybody read to the end."""
        await self._release()
        await self._up()
        while self.unpublished:
            await self._publish()
        for number in range(SCREENS):
            await self._connect(number)
        for _ in range(3):
            await settle()
            for screen in self.screens:
                await self.world.read(screen)


async def _run(steps: list[tuple[tuple[object, ...], int]]) -> None:
    model = _Model()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(model.world.hub.run())
        await settle()
        for step, rounds in steps:
            await model.step(step)
            await settle(rounds)
        await model.finish()
        running.cancel()
    for screen in model.screens:
        assert screen.bye is None
        assert screen.stale_since is None
        assert screen.rows == model.world.table.open("board:S-001")


@given(_STEPS)
@settings(max_examples=600, deadline=None)
def test_every_screen_ends_at_the_final_rows(
    steps: list[tuple[tuple[object, ...], int]],
) -> None:
    asyncio.run(_run(steps))
