"""One crash: a house armed at a point dies there under traffic, is started again, and is judged."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from config import crash
from tests.chaos import letters as mail
from tests.chaos.checker import Violation
from tests.chaos.history import History
from tests.chaos.house import House, Template, house
from tests.chaos.quiet import conclude, keep
from tests.chaos.roles import Warm
from tests.chaos.sender import Sender
from tests.chaos.shop import BOARD
from tests.chaos.tampering import empty_nats, older_database, too_generous_gate
from tests.e2e import instance as at
from tests.e2e.watching import Screen

POINTS: Final = tuple(point for point in crash.POINTS if not point.startswith("restore."))
"""Where gateway or relay can die; a restore's points have a test of their own."""
SEED: Final = 4
SECONDS: Final = 1.5
PER_S: Final = 24.0
SPREAD_S: Final = 1.0
DEATH_S: Final = 90.0


class Step(NamedTuple):
    """Which role is armed, where it dies, and what is done to the engines before."""

    role: str
    at: str
    tamper: Callable[[House], Awaitable[None]] | None = None


def steps_of(point: str) -> tuple[Step, ...]:
    """Return the deaths that lead to a point, the last of them at the point itself."""
    prior = _PRIOR.get(point, ())
    number = _PASSES.get(point, 1)
    return (*prior, Step(_role_of(point), f"{point}:{number}", _TAMPERED.get(point)))


def _role_of(point: str) -> str:
    return "relay" if point.startswith("relay.") else "serve"


_PASSES: dict[str, int] = {
    point: 3
    for point in POINTS
    if point.startswith(("webhook.", "intake.", "batch.", "gate.", "relay."))
}
_PASSES |= dict.fromkeys(
    (
        "relay.leased",
        "relay.judged",
        "relay.restamped",
        "relay.put_back",
        "gate.given_back",
        "gate.repaired",
    ),
    1,
)
_ORPHAN: Final = (Step("serve", "gate.reserved:2"),)
_MARKED: Final = (Step("relay", "relay.marked:3"),)
_PRIOR: Final[dict[str, tuple[Step, ...]]] = {
    "reaper.voided": _ORPHAN,
    "reaper.returned": _ORPHAN,
    "relay.judged": (Step("relay", "relay.published:3"),),
    "relay.restamped": _MARKED,
    "relay.put_back": _MARKED,
}
_TAMPERED: Final[dict[str, Callable[[House], Awaitable[None]]]] = {
    "gate.given_back": too_generous_gate,
    "gate.repaired": too_generous_gate,
    "relay.restamped": older_database,
    "relay.put_back": empty_nats,
}


class Result(msgspec.Struct, frozen=True):
    """What became of one crash."""

    point: str
    kind: str
    seconds: float
    violations: list[Violation]
    folder: str = ""

    @property
    def good(self) -> bool:
        """Whether every invariant holds."""
        return not self.violations


async def crash_at(
    point: str, template: Template, warm: Warm, folder: Path, *, seed: int = SEED
) -> Result:
    """Run one point on one database and judge it."""
    began = time.monotonic()
    async with house(warm, folder, template) as one:
        history = History(folder / "history.jsonl")
        try:
            violations = await _run(point, one, history, seed)
        finally:
            history.close()
    spent_s = time.monotonic() - began
    return Result(point, template.kind, round(spent_s, 1), violations, str(folder))


async def _run(point: str, one: House, history: History, seed: int) -> list[Violation]:
    letters = mail.draw(seed, SECONDS, PER_S, spread_s=SPREAD_S)
    history.add("begun", about=f"{point} seed {seed}")
    sender = Sender(one.http, one.token, one.platform, history, seed)
    screen = Screen(one.http, one.token, f"board:{BOARD}")
    first = steps_of(point)[0]
    async with asyncio.TaskGroup() as group:
        if first.tamper:  # what was tampered with must still be so when the letters come
            await _start_both(one, first)
        sending = group.create_task(sender.send_all(letters), name="senders")
        watching = group.create_task(screen.run(), name="screen")
        try:
            if not first.tamper:
                await _start_both(one, first)
            for number, step in enumerate(steps_of(point)):
                if missed := await _dies(one, step, history):
                    return [missed]
                following = steps_of(point)[number + 1 :]
                await _start_again(one, step, following[0] if following else None)
            await sending
            evidence, violations = await conclude(one, history, letters, {f"board:{BOARD}": screen})
            keep(one, letters, evidence)
            return violations
        finally:
            sender.patience.set()
            sending.cancel()
            watching.cancel()


async def _start_both(one: House, step: Step) -> None:
    serve = await one.start_serve(step.at if step.role == "serve" else "")
    await one.start_relay(step.at if step.role == "relay" else "")
    if step.tamper:
        await serve.ready()
        await at.gate_open(one.http)
        await step.tamper(one)


async def _start_again(one: House, died: Step, following: Step | None) -> None:
    if following and following.tamper:
        await following.tamper(one)
    armed = following.at if following and following.role == died.role else ""
    await (one.start_serve(armed) if died.role == "serve" else one.start_relay(armed))


async def _dies(one: House, step: Step, history: History) -> Violation | None:
    """Wait for the armed role's death by our own hand; anything else is a failure."""
    role = one.serve if step.role == "serve" else one.relay
    assert role
    try:
        async with asyncio.timeout(DEATH_S):
            status = await asyncio.shield(role.ended)
    except TimeoutError:
        return Violation("reached", f"{step.at} was not passed within {DEATH_S:.0f} s")
    history.add("fault", about=f"{step.role} died at {step.at} with {status}")
    if status != -signal.SIGKILL:
        return Violation("reached", f"the {step.role} ended with {status}: {role.last_words()}")
    return None
