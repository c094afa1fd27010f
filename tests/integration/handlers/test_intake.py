"""The intake with the real batch: a rush for the last units, and duplicates at the same time."""

import asyncio

from config.ids import OperationId
from config.limits import QUEUE_MESSAGES_MAX
from handlers.intake import Intake
from handlers.message import Message, Outcome
from handlers.sourcing import NoStock
from store.gate_port import Operation
from tests.integration.handlers.asking import by_hand, hold, lines, message, order
from tests.integration.handlers.world import MARKETS, UK, World, cell

RACERS = 1_000
UNITS = 100


async def test_a_thousand_orders_for_a_hundred_units_allocate_exactly_those(world: World) -> None:
    await world.stock(LAMP_leeds=60, LAMP_york=40)
    racers = [message(order(str(n))) for n in range(RACERS)]
    outcomes = await _at_once(world, racers)
    assert all(outcome.name == "applied" for outcome in outcomes)
    states = [placed.state for placed in await world.orders()]
    assert (states.count("routed"), states.count("held")) == (UNITS, RACERS - UNITS)
    assert len((await world.open_exceptions())["UNFILLABLE"]) == RACERS - UNITS
    assert (await world.free("LAMP"), await world.free("LAMP", "york")) == (0, 0)


async def test_two_processes_share_the_last_units(world: World) -> None:
    await world.stock(LAMP_leeds=20)
    halves = [[message(order(f"{half}-{n}")) for n in range(50)] for half in range(2)]
    async with (
        world.intake() as one,
        world.intake(world.another_batch()) as other,
        asyncio.TaskGroup() as tasks,
    ):
        for intake, half in zip((one, other), halves, strict=True):
            for racer in half:
                tasks.create_task(intake.submit(racer))
    # Whoever was refused while the other process held units for a moment is decided later, exactly.
    async with asyncio.timeout(30):
        while await world.reader.undecided(MARKETS, 1):
            await world.sweep()
    states = [placed.state for placed in await world.orders()]
    assert (states.count("routed"), states.count("held")) == (20, 80)


async def test_units_that_another_process_holds_for_a_moment_leave_an_order_undecided(
    world: World,
) -> None:
    await world.stock(LAMP_leeds=1)
    elsewhere = Operation(OperationId("another process"), ((cell("LAMP"), 1),))
    await world.gate.reserve(UK, (elsewhere,))
    outcome = await world.send(order())
    assert (outcome.name, (await world.order()).state) == ("accepted", "captured")
    await world.gate.undo(UK, (elsewhere.id,))
    await world.sweep()
    assert (await world.order()).state == "routed"


async def test_duplicates_at_the_same_time_make_one_order(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    outcomes = await _at_once(world, [message(order(), key="same") for _ in range(20)])
    assert sorted(outcome.name for outcome in outcomes) == ["applied"] + ["duplicate"] * 19
    assert len({outcome.message_id for outcome in outcomes}) == 1
    assert await world.free("LAMP") == 8


async def test_duplicates_at_two_processes_make_one_order(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    outcomes: list[Outcome] = []
    async with world.intake() as one, world.intake(world.another_batch()) as other:
        async with asyncio.TaskGroup() as tasks:
            sent = [
                tasks.create_task(intake.submit(message(order(), key="same")))
                for intake in (one, other) * 5
            ]
        outcomes = [task.result() for task in sent]
    assert sorted(outcome.name for outcome in outcomes) == ["applied"] + ["duplicate"] * 9
    assert await world.free("LAMP") == 8


async def test_a_sender_that_gives_up_changes_nothing(world: World) -> None:
    await world.stock(LAMP_leeds=2)
    async with world.intake() as intake, asyncio.TaskGroup() as tasks:
        sent = tasks.create_task(intake.submit(message(order())))
        await asyncio.sleep(0)
        sent.cancel()
    assert sent.cancelled()
    assert (await world.order()).state == "routed"


async def test_closing_finishes_what_was_taken(world: World) -> None:
    await world.stock(LAMP_leeds=9)
    async with world.intake() as intake, asyncio.TaskGroup() as tasks:
        for n in range(5):
            tasks.create_task(intake.submit(message(order(str(n)))))
        await asyncio.sleep(0)
        intake.close()
        intake.close()
    assert len(await world.orders()) == 5


async def test_orders_and_holds_of_one_rush_take_each_unit_once(world: World) -> None:
    await world.stock(LAMP_leeds=10)
    rush = [message(order(str(n), lines(LAMP=1))) for n in range(15)]
    async with world.intake() as intake, asyncio.TaskGroup() as tasks:
        for racer in rush:
            tasks.create_task(intake.submit(racer))
        holds = [tasks.create_task(_granted(intake)) for _ in rush]
    granted = [task for task in holds if task.result()]
    level = await world.level("LAMP")
    assert (level.held, level.held + level.allocated) == (len(granted), 10)


async def _at_once(world: World, messages: list[Message]) -> list[Outcome]:
    async with world.intake(queue=QUEUE_MESSAGES_MAX) as intake:
        async with asyncio.TaskGroup() as tasks:
            sent = [tasks.create_task(intake.submit(one)) for one in messages]
        return [task.result() for task in sent]


async def _granted(intake: Intake) -> bool:
    try:
        await intake.submit(by_hand(hold(LAMP=1)))
    except NoStock:
        return False
    return True
