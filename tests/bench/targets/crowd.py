"""Ten thousand idle websockets at one gateway: as many sessions as may be, the rest without a hello."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from config.limits import SESSIONS_MAX
from tests.bench.books import check
from tests.bench.plan import Plan
from tests.bench.process import Failed
from tests.bench.report import Finding, judged
from tests.bench.screens import Screens
from tests.bench.servers import Gateway, gateway, live
from tests.bench.sockets import Watch

WEBSOCKETS: Final = 10_000
CEILING_MIB: Final = 320.0
_OTHER_FILES: Final = 500
_ANSWER_S: Final = 5.0
_MIB: Final = 1024 * 1024


def run(plan: Plan) -> list[Finding]:
    """Open them, see what they cost, and that a request is answered beside them."""
    folder = plan.folder / "crowd"
    folder.mkdir()
    count = plan.size(WEBSOCKETS, 100)
    with _files(count + _OTHER_FILES), gateway(folder) as up:
        live(up)
        cost_mib = _cost_bytes(up, plan, count) / _MIB
    found = Finding(
        benchmark="crowd",
        target="hostile",
        measure=f"memory of {count:,} idle websockets",
        figure=cost_mib,
        unit="MiB",
        wanted=f"<= {CEILING_MIB:g} MiB",
        notes=(f"{min(count // 2, SESSIONS_MAX):,} watch a board, the rest never say hello",),
    )
    return [judged(found, met=found.figure <= CEILING_MIB, quick=plan.quick)]


def _cost_bytes(up: Gateway, plan: Plan, count: int) -> int:
    """Sessions first, for they stay; who says nothing is sent away ten seconds later."""
    before, watching = up.process.memory_bytes(), min(count // 2, SESSIONS_MAX)
    board = Watch(port=up.port, screens=watching, token=up.token, topics=("board:S-001",))
    with Screens(plan.folder / "crowd", board) as screens:
        screens.open(Watch(port=up.port, screens=count - watching))
        check(what="open websockets", expected=count, found=screens.seen(0, 0.0).open)
        answer = httpx.get(f"{up.http}/livez", timeout=_ANSWER_S)
        check(what="status beside them", expected=httpx.codes.OK, found=answer.status_code)
        return up.process.memory_bytes() - before


@contextmanager
def _files(wanted: int) -> Iterator[None]:
    """Raise the limit of open files for us and for what we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < wanted:
        raise Failed(f"the limit of open files is {hard}; allow {wanted} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if 0 <= soft < wanted else soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
