"""The nemesis: carries the faults out on real processes and connections, and heals them."""

import asyncio
import os
import shutil
import signal
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import psutil

from gateway.engines.child import Child
from tests.chaos.faults import Fault
from tests.chaos.history import History
from tests.chaos.house import House
from tests.chaos.proxy import Proxy
from tests.chaos.roles import Role

_DELAY_S: Final = 0.4
_SLOW_BYTES_PER_S: Final = 40_000
_DROPS_MAX: Final = 6
_WATCH_S: Final = 0.1


class Nemesis:
    """Breaks one house as planned; `by_itself` collects what ended without being told to."""

    def __init__(
        self,
        house: House,
        engines: Mapping[str, Child],
        proxies: Mapping[str, Proxy],
        history: History,
    ) -> None:
        """Take the victims by the names that faults give them."""
        self.by_itself: list[str] = []
        self._house = house
        self._engines = engines
        self._proxies = proxies
        self._history = history
        self._down: set[str] = set()

    async def torment(self, faults: Sequence[Fault]) -> None:
        """Do everything when it is due; return when the last has healed."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(fault.at_s - self._history.now_s())
                group.create_task(self._do(fault), name=str(fault))

    async def watch(self) -> None:
        """Start a role again that ended by itself, and remember it; until cancelled."""
        while True:
            for name in ("serve", "relay"):
                role = self._role(name)
                if role and not role.alive and name not in self._down:
                    status = role.ended.result()
                    said = f"the {name} ended by itself with {status}: {role.last_words()[-600:]}"
                    self.by_itself.append(said)
                    self._history.add("note", about=said)
                    await self._start(name)
            await asyncio.sleep(_WATCH_S)

    def heal(self) -> None:
        """Let everything pass again."""
        for proxy in self._proxies.values():
            proxy.heal()

    async def _do(self, fault: Fault) -> None:
        self._history.add("fault", about=str(fault).strip())
        match fault.what:
            case "kill" | "stop" | "empty" | "restart":
                await self._on_process(fault)
            case "lock":
                await self._lock(fault.lasts_s)
            case _:
                await self._on_wire(fault)
        self._history.add("healed", about=str(fault).strip())

    async def _on_process(self, fault: Fault) -> None:
        """Hurt one process, unless another fault has it down already."""
        name = fault.target
        if name == "worker":
            await self._on_worker(fault)
            return
        if name in self._down:
            return
        self._down.add(name)
        try:
            if name in {"serve", "relay"}:
                await self._on_role(fault)
            else:
                await self._on_engine(fault, self._engines[name])
        finally:
            self._down.discard(name)

    async def _on_role(self, fault: Fault) -> None:
        role = self._role(fault.target)
        if role is None or not role.alive:
            return
        if fault.what == "stop":
            role.tell(signal.SIGSTOP)
            await asyncio.sleep(fault.lasts_s)
            role.tell(signal.SIGCONT)
            return
        if fault.what == "restart":
            await role.end()
        else:
            await role.end(signal.SIGKILL)
            await asyncio.sleep(fault.lasts_s / 3)
        await self._start(fault.target)

    async def _on_worker(self, fault: Fault) -> None:
        """Hurt one worker of the gateway; who forked it starts another."""
        role = self._house.serve
        with suppress(psutil.NoSuchProcess):
            workers = psutil.Process(role.pid).children() if role and role.alive else []
            if not workers:
                return
            victim = workers[int(fault.amount * len(workers))]
            if fault.what == "kill":
                victim.kill()
                return
            victim.suspend()
            await asyncio.sleep(fault.lasts_s)
            victim.resume()

    async def _on_engine(self, fault: Fault, engine: Child) -> None:
        if fault.what == "stop":
            _tell(engine, signal.SIGSTOP)
            await asyncio.sleep(fault.lasts_s)
            _tell(engine, signal.SIGCONT)
            return
        engine.kill()
        if fault.what == "empty":
            _empty(self._house.folder / fault.target / fault.target)
        await asyncio.sleep(fault.lasts_s / 2)
        engine.revive()

    async def _on_wire(self, fault: Fault) -> None:
        proxy = self._proxies[fault.target]
        match fault.what:
            case "reset":
                proxy.reset()
                return
            case "delay":
                proxy.delay_s = _DELAY_S * fault.amount
            case "throttle":
                proxy.bytes_per_s = int(_SLOW_BYTES_PER_S * (0.2 + fault.amount))
            case "drop":
                proxy.replies_to_drop = 1 + int(_DROPS_MAX * fault.amount)
            case _:
                proxy.hole()
        await asyncio.sleep(fault.lasts_s)
        proxy.heal()

    async def _lock(self, lasts_s: float) -> None:
        """Hold SQLite's write lock, as a backup or a person with a shell does."""
        file = self._house.database.partition("///")[2]
        with closing(sqlite3.connect(file, isolation_level=None, timeout=0.2)) as database:
            with suppress(sqlite3.OperationalError):
                database.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(lasts_s)

    async def _start(self, name: str) -> None:
        await (self._house.start_serve() if name == "serve" else self._house.start_relay())

    def _role(self, name: str) -> Role | None:
        return self._house.serve if name == "serve" else self._house.relay


def _tell(engine: Child, number: signal.Signals) -> None:
    if engine.pid:
        os.kill(engine.pid, number)


def _empty(files: Path) -> None:
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(mode=0o700)
