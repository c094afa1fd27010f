"""The intake: bounded, and each sender gets its own outcome."""

import asyncio
from datetime import UTC, datetime

import pytest

from config.clock import Clock, SystemClock
from config.errors import EngineDown, Overloaded, Rejected, Unavailable
from config.ids import MessageId, SourceId
from config.limits import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX
from handlers.intake import Intake
from handlers.message import Message, Outcome
from tests.stream_fakes import FakeClock


class Echo:
    """Settles each message by its own id; remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def run(self, messages: list[Message]) -> list[Outcome | Exception]:
        self.batches.append(len(messages))
        await asyncio.sleep(0)
        return [
            Rejected("bad") if one.key == "bad" else Outcome(name="applied", message_id=one.id)
            for one in messages
        ]


def message(name: str, key: str = "", size: int = 1) -> Message:
    return Message(
        id=MessageId(name),
        source=SourceId("shop"),
        key=key or name,
        topic="t",
        fingerprint=b"",
        body=b"x" * size,
        received_at=datetime(2026, 11, 23, tzinfo=UTC),
        tasks=(),
        by="test",
    )


def opened(
    batch: Echo, clock: Clock | None = None, *, messages_max: int = 10_000, answer_s: float = 60
) -> Intake:
    return Intake(batch, clock or SystemClock(), messages_max=messages_max, answer_s=answer_s)


async def _run(intake: Intake, *messages: Message) -> list[Outcome | BaseException]:
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(_settled(intake, one)) for one in messages]
        await asyncio.sleep(0)
        tasks.create_task(intake.run())
        for task in waiting:
            await asyncio.wait({task})
        intake.close()
    return [task.result() for task in waiting]


async def _settled(intake: Intake, one: Message) -> Outcome | BaseException:
    try:
        return await intake.submit(one)
    except Rejected as error:
        return error


async def test_each_sender_gets_its_own_outcome() -> None:
    first, second, third = await _run(
        opened(Echo()), message("a"), message("b", "bad"), message("c")
    )
    assert isinstance(first, Outcome)
    assert isinstance(second, Rejected)
    assert isinstance(third, Outcome)
    assert (first.message_id, third.message_id) == ("a", "c")


async def test_what_waits_together_is_one_batch_up_to_its_bound() -> None:
    echo = Echo()
    intake = opened(echo)
    await _run(intake, *(message(str(n)) for n in range(BATCH_MESSAGES_MAX + 1)))
    assert echo.batches == [BATCH_MESSAGES_MAX, 1]


async def test_a_batch_is_bounded_in_bytes_too() -> None:
    echo = Echo()
    half = BATCH_BYTES_MAX // 2 + 1
    await _run(opened(echo), *(message(str(n), size=half) for n in range(3)))
    assert echo.batches == [1, 1, 1]


async def test_a_full_queue_refuses_and_accepts_nothing() -> None:
    intake = opened(Echo(), messages_max=1)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(intake.submit(message("a")))
        await asyncio.sleep(0)
        assert not intake.has_room()
        with pytest.raises(Overloaded):
            await intake.submit(message("b"))
        assert intake.waiting == 1
        intake.close()
        await intake.run()
        assert intake.has_room()
    assert first.result().message_id == "a"


async def test_while_the_oldest_has_waited_too_long_nobody_else_is_taken() -> None:
    clock = FakeClock()
    intake = opened(Echo(), clock, answer_s=2)
    async with asyncio.TaskGroup() as tasks:
        for name, wait_s in (("a", 1.5), ("b", 1.0)):
            tasks.create_task(intake.submit(message(name)))
            await asyncio.sleep(0)
            clock.forward(wait_s)
        assert not intake.has_room()
        with pytest.raises(Overloaded):
            await intake.submit(message("c"))
        draining = tasks.create_task(intake.run())
        await asyncio.sleep(0)
        assert intake.has_room()
        tasks.create_task(intake.submit(message("d")))
        await asyncio.sleep(0)
        intake.close()
        await draining
    assert intake.waiting == 0


class Slow(Echo):
    """Takes a tenth of a second for each message."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock

    async def run(self, messages: list[Message]) -> list[Outcome | Exception]:
        self.clock.forward(0.1 * len(messages))
        return await super().run(messages)


async def test_after_late_answers_fewer_are_taken_at_once() -> None:
    clock = FakeClock()
    intake = opened(Slow(clock), clock, answer_s=4)
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(intake.run())
        late = [tasks.create_task(intake.submit(message(str(n)))) for n in range(80)]
        await asyncio.wait(late)  # eight seconds, twice what they may take
        for number in range(40):
            tasks.create_task(intake.submit(message(f"again {number}")))
        await asyncio.sleep(0)
        assert intake.under_way == 40
        assert not intake.has_room()
        intake.close()
        await draining


class Down(Slow):
    """Takes as long to find that its engine does not answer."""

    async def run(self, messages: list[Message]) -> list[Outcome | Exception]:
        await super().run(messages)
        return [EngineDown("the database does not answer") for _ in messages]


async def test_an_engine_that_was_down_makes_no_less_room() -> None:
    clock = FakeClock()
    intake = opened(Down(clock), clock, answer_s=4)
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(intake.run())
        late = [asyncio.ensure_future(intake.submit(message(str(n)))) for n in range(80)]
        await asyncio.wait(late)
        assert all(isinstance(one.exception(), EngineDown) for one in late)
        assert intake.room == 10_000 + BATCH_MESSAGES_MAX
        intake.close()
        await draining


async def test_after_closing_nothing_is_taken() -> None:
    intake = opened(Echo(), messages_max=1)
    intake.close()
    intake.close()
    with pytest.raises(Unavailable):
        await intake.submit(message("a"))
    await intake.run()
