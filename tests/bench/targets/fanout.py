"""P6: frames/s of the hub beside `websockets.broadcast`, both on one core; memory of a screen."""

import os
from contextlib import ExitStack

import msgspec

from tests.bench.books import check
from tests.bench.fan_server import TOPIC
from tests.bench.plan import Plan
from tests.bench.process import READY_S, Process, pinned
from tests.bench.report import Finding, judged
from tests.bench.rounds import alternate, middle, ratio
from tests.bench.screens import Screens
from tests.bench.sockets import Watch

OF_BROADCAST, SCREEN_KB = 0.8, 30.0
_WITHIN_S = 60.0


class _Side(msgspec.Struct, frozen=True):
    server: Process
    screens: Screens
    memory_each: float

    def send(self, events: int) -> tuple[float, int]:
        """Send events to everybody; return when it began and the server's memory."""
        self.server.tell({"events": events})
        told = self.server.hear(_WITHIN_S)
        return float(told["started"]), int(told["memory"])


def run(plan: Plan) -> list[Finding]:
    """Alternate the two servers, each with its own screens, all open all the time."""
    folder = plan.folder / "fanout"
    folder.mkdir()
    count, events = plan.size(1000, 40), plan.size(150, 20)
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        sides: dict[str, _Side] = {}
        for name in ("hub", "broadcast"):
            with pinned(cores[:1]):
                arguments = ("tests.bench.fan_server", name)
                server = stack.enter_context(Process(folder / f"{name}.log", *arguments))
                port = int(server.hear(READY_S)["port"])
            with pinned(cores[1:] or cores):
                screens = stack.enter_context(Screens(folder))
            sides[name] = _opened(server, screens, _watch(name, port, count))

        def rate(name: str) -> float:
            side = sides[name]
            side.screens.clear()
            started, _ = side.send(events)
            seen = side.screens.seen(count * events, _WITHIN_S)
            check(what=f"frames of the {name}", expected=count * events, found=seen.frames)
            check(what=f"open screens of the {name}", expected=count, found=seen.open)
            return seen.frames / (seen.last - started)

        for name in sides:
            rate(name)
        turns = {"hub": lambda: rate("hub"), "broadcast": lambda: rate("broadcast")}
        figures = alternate(turns, plan.rounds)
    return _findings(plan, figures, sides, count)


def _watch(name: str, port: int, count: int) -> Watch:
    """Return what the screens ask for; the library's server has no protocol of ours."""
    if name == "hub":
        return Watch(port=port, screens=count, token="board", topics=(TOPIC,))  # a fake's
    return Watch(port=port, screens=count, path="/")


def _opened(server: Process, screens: Screens, watch: Watch) -> _Side:
    """Open all screens, and see what each costs its server."""
    few = max(10, watch.screens // 10)
    screens.open(msgspec.structs.replace(watch, screens=few))
    before = server.memory_bytes()
    screens.open(msgspec.structs.replace(watch, screens=watch.screens - few))
    each = (server.memory_bytes() - before) / max(watch.screens - few, 1)
    return _Side(server, screens, each)


def _findings(
    plan: Plan, figures: dict[str, list[float]], sides: dict[str, _Side], count: int
) -> list[Finding]:
    found = ratio(figures["hub"], figures["broadcast"])
    frames = Finding(
        benchmark="fanout",
        target="P6",
        measure=f"fan-out to {count:,} screens on one core",
        figure=middle(figures["hub"]),
        unit="frames/s",
        other="websockets.broadcast",
        other_figure=middle(figures["broadcast"]),
        ratio=found,
        wanted=f">= {OF_BROADCAST:g}",
        notes=("the screens run on another core; every frame arrived",),
        rounds=figures,
    )
    each = sides["hub"].memory_each / 1000
    memory = Finding(
        benchmark="fanout",
        target="P6",
        measure="memory of an open screen",
        figure=each,
        unit="KB",
        other="KB of the library's",
        other_figure=sides["broadcast"].memory_each / 1000,
        wanted=f"<= {SCREEN_KB:g} KB",
    )
    return [
        judged(frames, met=found >= OF_BROADCAST, quick=plan.quick),
        judged(memory, met=each <= SCREEN_KB, quick=plan.quick),
    ]
