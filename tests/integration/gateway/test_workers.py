"""Workers as processes: watched, replaced for as long as it takes, and stopped together."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e import instance as at
from tests.tidy.source import ROOT

Parent = subprocess.Popen[str]
_SCRIPT = """
import pathlib, sys, time
from config import errors, log
from gateway.workers import Workers

log.configure()

def work(ready):
    fault = pathlib.Path(sys.argv[1])
    if fault.exists():
        raise getattr(errors, fault.read_text() or "-", RuntimeError)("an engine is away")
    ready()
    while True:
        time.sleep(60)

Workers(2, work).run(lambda: print("ready", flush=True))
"""


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """A file whose presence keeps new workers from starting."""
    return tmp_path / "fault"


@pytest.fixture
def parent(fault: Path) -> Iterator[Parent]:
    command = [sys.executable, "-c", _SCRIPT, str(fault)]
    parent = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout
        assert parent.stdout.readline() == "ready\n"
        yield parent
    finally:
        parent.kill()
        parent.wait()
        for pipe in (parent.stdout, parent.stderr):
            if pipe:
                pipe.close()


def _alive(parent: Parent) -> set[int]:
    children = psutil.Process(parent.pid).children()
    return {one.pid for one in children if one.status() != psutil.STATUS_ZOMBIE}


async def test_a_worker_that_cannot_be_replaced_now_leaves_the_others_serving(
    parent: Parent, fault: Path
) -> None:
    first, second = sorted(_alive(parent))
    await asyncio.to_thread(fault.touch)
    psutil.Process(first).kill()
    await asyncio.to_thread(_failures, parent, 2)
    assert second in _alive(parent)
    await asyncio.to_thread(fault.unlink)
    await at.until(lambda: _has_two(parent, second))


@pytest.mark.parametrize(("kind", "shown"), [("EngineDown", False), ("", True)])
async def test_a_worker_says_in_a_line_why_it_ended_and_a_defect_in_full(
    parent: Parent, fault: Path, kind: str, *, shown: bool
) -> None:
    await asyncio.to_thread(fault.write_text, kind)
    psutil.Process(min(_alive(parent))).kill()
    line = await asyncio.to_thread(_failures, parent, 1)
    assert "an engine is away" in line
    assert ("Traceback" in line) is shown


async def test_all_stop_together(parent: Parent) -> None:
    parent.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(parent.wait, 20) == 0


async def test_a_killed_parent_leaves_no_worker(parent: Parent) -> None:
    workers = [psutil.Process(pid) for pid in _alive(parent)]
    parent.kill()
    await at.until(lambda: _ended(workers))


def _failures(parent: Parent, count: int) -> str:
    """Return the last line when the log has told of so many workers that did not come up."""
    assert parent.stderr
    line = ""
    while count:
        line = parent.stderr.readline()
        assert line, "the parent ended"
        count -= "worker.failed" in line
    return line


async def _has_two(parent: Parent, survivor: int) -> bool:
    found = _alive(parent)
    return len(found) == 2 and survivor in found


async def _ended(workers: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in workers)
