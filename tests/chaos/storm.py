"""A storm: one house under traffic and faults for a while, then quiet, then judgement."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from gateway.engines.child import Child
from gateway.engines.redis_access import USER
from tests.chaos import faults as plan
from tests.chaos import letters as mail
from tests.chaos.checker import Violation
from tests.chaos.evidence import compared
from tests.chaos.faults import Fault
from tests.chaos.history import History
from tests.chaos.house import DatabaseKind, House, Template, house
from tests.chaos.letters import Letter
from tests.chaos.nemesis import Nemesis
from tests.chaos.proxy import Proxy, proxied
from tests.chaos.quiet import Restless, conclude, keep
from tests.chaos.roles import Warm
from tests.chaos.sender import Sender
from tests.chaos.shop import BOARD
from tests.e2e.instance import gate_open
from tests.e2e.watching import Screen
from tests.engines import PostgresServer

LETTERS_PER_S: Final = 12.0
FAULTS_PER_S: Final = 0.5
PATIENCE_S: Final = 150.0
"""How long after the last fault senders go on; by then everything must be answered."""
_FLEETING_S: Final = (0.2, 4.0)


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """What happens, all of it drawn from the seed."""

    seed: int
    seconds: float
    kind: DatabaseKind
    workers: int = 1
    letters: list[Letter]
    faults: list[Fault]

    def summary(self) -> str:
        """Return what will happen, in a few lines."""
        kinds = Counter(str(letter.kind) for letter in self.letters)
        broken = Counter(f"{fault.what} {fault.target}" for fault in self.faults)
        return (
            f"seed {self.seed}, {self.seconds:.0f} s on {self.kind}, workers {self.workers}\n"
            f"letters {len(self.letters)}: {_told(kinds)}\n"
            f"faults {len(self.faults)}: {_told(broken)}"
        )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a storm."""

    violations: list[Violation]
    attempts: int
    answers: int
    lost: int
    orders: int
    events: int
    seconds: float
    held: str = ""
    """What the roles held before and after, in words."""


class _Found(msgspec.Struct, frozen=True):
    orders: int = 0
    events: int = 0
    held: str = ""


def draw(  # noqa: PLR0913 - what a storm is drawn from
    seed: int,
    seconds: float,
    kind: DatabaseKind,
    *,
    letters_per_s: float = LETTERS_PER_S,
    faults_per_s: float = FAULTS_PER_S,
    workers: int = 1,
    spare_roles: bool = False,
) -> Storm:
    """Draw a storm: the same seed, length and database give the same letters and faults."""
    return Storm(
        seed=seed,
        seconds=seconds,
        kind=kind,
        letters=mail.draw(seed, seconds, letters_per_s),
        faults=plan.draw(
            seed,
            seconds,
            kind,
            per_s=faults_per_s,
            workers=workers,
            spare_roles=spare_roles,
        ),
        workers=workers,
    )


async def rage(
    storm: Storm, template: Template, warm: Warm, folder: Path, postgres: PostgresServer | None
) -> Outcome:
    """Run a storm; history, letters and evidence stand in the folder afterwards."""
    began = time.monotonic()
    folder.mkdir(parents=True)  # noqa: ASYNC240 - nothing runs yet
    (folder / "storm.json").write_bytes(msgspec.json.encode(storm))
    async with _behind_proxies(warm, folder, template, postgres) as (one, proxies):
        history = History(folder / "history.jsonl")
        history.add("begun", about=storm.summary())
        one.workers = storm.workers
        try:
            engines: dict[str, Child] = {"redis": one.redis, "nats": one.nats}
            if postgres:
                engines["postgres"] = postgres
            nemesis = Nemesis(one, engines, proxies, history)
            violations, found = await _suffer(storm, one, proxies["http"], nemesis, history)
        finally:
            history.close()
    whats = Counter(note.what for note in history.notes)
    return Outcome(
        violations=violations,
        attempts=whats["sent"],
        answers=whats["answered"],
        lost=whats["lost"],
        orders=found.orders,
        events=found.events,
        held=found.held,
        seconds=round(time.monotonic() - began, 1),
    )


async def _suffer(
    storm: Storm, one: House, http: Proxy, nemesis: Nemesis, history: History
) -> tuple[list[Violation], _Found]:
    address = f"http://127.0.0.1:{http.port}"
    sender = Sender(address, one.token, one.platform, history, storm.seed)
    screens = {topic: Screen(address, one.token, topic) for topic in _topics()}
    async with asyncio.TaskGroup() as group:
        await (await one.start_serve()).ready()
        await (await one.start_relay()).ready()
        await gate_open(one.http)
        one.held_before = await one.held()
        beside = [
            group.create_task(nemesis.watch(), name="nemesis.watch"),
            group.create_task(_fleeting(storm, address, one.token), name="screens.fleeting"),
            *(group.create_task(s.run(), name=f"screen {t}") for t, s in screens.items()),
        ]
        sending = group.create_task(sender.send_all(storm.letters), name="senders")
        try:
            await nemesis.torment(storm.faults)
            nemesis.heal()
            history.add("healed", about="everything")
            await _until_answered(sending, sender)
            history.add("quiet")
            return await _judged(one, history, storm, screens, nemesis)
        finally:
            sender.patience.set()
            for task in [sending, *beside]:
                task.cancel()


async def _until_answered(sending: asyncio.Task[None], sender: Sender) -> None:
    """Give senders a while; then they give up, which the judge sees."""
    _, left = await asyncio.wait({sending}, timeout=PATIENCE_S)
    if left:
        sender.patience.set()
        await asyncio.wait({sending}, timeout=PATIENCE_S)


async def _judged(
    one: House,
    history: History,
    storm: Storm,
    screens: Mapping[str, Screen],
    nemesis: Nemesis,
) -> tuple[list[Violation], _Found]:
    died = [Violation("no process ends by itself", said) for said in nemesis.by_itself]
    try:
        evidence, violations = await conclude(one, history, storm.letters, screens)
    except Restless as error:
        return [*died, Violation("it becomes quiet", str(error))], _Found()
    keep(one, storm.letters, evidence)
    return [*died, *violations], _Found(
        len(evidence.tables["orders"]), len(evidence.stream), compared(evidence)
    )


async def _fleeting(storm: Storm, address: str, token: str) -> None:
    """Screens that connect, watch for a moment and vanish without a word."""
    chance = Random(storm.seed + 3)  # noqa: S311 - see letters
    while True:
        screen = Screen(address, token, chance.choice(_topics()))
        try:
            async with asyncio.timeout(chance.uniform(*_FLEETING_S)):
                await screen.run()
        except TimeoutError:
            continue


def _topics() -> Sequence[str]:
    return (f"board:{BOARD}", "board:S-004")


@asynccontextmanager
async def _behind_proxies(
    warm: Warm, folder: Path, template: Template, postgres: PostgresServer | None
) -> AsyncIterator[tuple[House, dict[str, Proxy]]]:
    """Give a house whose roles reach everything, and are reached, through proxies only."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(house(warm, folder, template))
        stations: dict[str, Any] = {
            "redis": one.redis.socket,
            "nats": ("127.0.0.1", one.nats.identity.port),
            "http": ("127.0.0.1", one.port),
        }
        if postgres:
            stations["postgres"] = postgres.folder / ".s.PGSQL.5432"
        proxies = {
            name: await stack.enter_async_context(proxied(where))
            for name, where in stations.items()
        }
        one.configure(_through(one, proxies))
        # The roles must be gone before what they talk through.
        stack.push_async_callback(one.stop)
        yield one, proxies


def _through(one: House, proxies: Mapping[str, Proxy]) -> dict[str, Any]:
    me, secret = one.nats.identity, one.redis.access.password
    through: dict[str, Any] = {
        "redis": f"redis://{USER}:{secret}@127.0.0.1:{proxies['redis'].port}",
        "nats": [f"nats://{me.user}:{me.password}@127.0.0.1:{proxies['nats'].port}"],
    }
    if "postgres" in proxies:
        name = one.database.partition("?")[0].rpartition("/")[2]
        port = proxies["postgres"].port
        through["database"] = f"postgresql+asyncpg://postgres@127.0.0.1:{port}/{name}"
    return through


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
