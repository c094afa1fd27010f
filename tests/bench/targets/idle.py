"""P10: memory of an idle gateway with its relay, and how long a warm start takes."""

import time

import psutil

from gateway.engines.relay_child import PROGRAM
from tests.bench.books import check
from tests.bench.plan import Plan
from tests.bench.process import Process
from tests.bench.report import Finding, judged
from tests.bench.rounds import middle
from tests.bench.servers import gateway

MEMORY_MIB, READY_S = 200.0, 3.0
_MIB = 1024 * 1024


def run(plan: Plan) -> list[Finding]:
    """Start once cold, then some times warm on the same folder."""
    folder = plan.folder / "idle"
    folder.mkdir()
    with gateway(folder):
        pass
    ready: list[float] = []
    memory: list[float] = []
    for _ in range(plan.rounds):
        with gateway(folder, stocked=False) as up:
            ready.append(up.ready_s)
            time.sleep(plan.warm_s)
            memory.append(_memory_bytes(up.process) / _MIB)
    idle = Finding(
        benchmark="idle",
        target="P10",
        measure="idle memory, gateway and relay",
        figure=middle(memory),
        unit="MiB",
        wanted=f"<= {MEMORY_MIB:g} MB",
        notes=("resident memory without the embedded engines' own",),
        rounds={"mib": memory},
    )
    start = Finding(
        benchmark="idle",
        target="P10",
        measure="imv up to ready, warm",
        figure=middle(ready),
        unit="s",
        wanted=f"<= {READY_S:g} s",
        rounds={"ready_s": ready},
    )
    return [
        judged(idle, met=idle.figure * _MIB <= MEMORY_MIB * 1_000_000, quick=plan.quick),
        judged(start, met=start.figure <= READY_S, quick=plan.quick),
    ]


def _memory_bytes(process: Process) -> int:
    """Return the resident memory of the gateway and of the relay, its child."""
    relays = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if PROGRAM in child.cmdline()
    ]
    check(what="relays", expected=1, found=len(relays))
    return process.memory_bytes() + sum(int(one.memory_info().rss) for one in relays)
