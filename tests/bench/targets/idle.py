"""P10: memory of an idle gateway with its relay, and how long a warm start takes."""

import time

from tests.bench.plan import Plan
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
            memory.append(up.process.memory_bytes() / _MIB)
    idle = Finding(
        benchmark="idle",
        target="P10",
        measure="idle memory, gateway and relay in one process",
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
