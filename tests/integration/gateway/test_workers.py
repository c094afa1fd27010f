"""Workers as processes: watched, replaced for as long as it takes, and stopped together."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil
import pytest
import yaml  # type: ignore[import-untyped]

from config.limits import SHUTDOWN_S
from gateway import workers
from tests.e2e import instance as at
from tests.tidy.source import ROOT

Parent = subprocess.Popen[str]
_SCRIPT = """
import os, pathlib, signal, sys, time
from config import errors, log
from gateway.workers import Workers

log.configure()
fault = pathlib.Path(sys.argv[1])

def kind():
    return fault.read_text() if fault.exists() else None

def in_child():  # the first moment of a worker: it has its parent's handlers
    if kind() == "signal":
        os.kill(os.getpid(), signal.SIGTERM)

def work(ready):
    what = kind()
    if what in ("hangs", "deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print('"deaf by now"', file=sys.stderr, flush=True)
    elif what not in (None, "slow"):
        raise getattr(errors, what or "-", RuntimeError)("an engine is away")
    if what not in ("hangs", "slow"):
        ready()
    while True:
        time.sleep(60)

signal.alarm(100)  # whoever reads our lines does not wait for ever
os.register_at_fork(after_in_child=in_child)
ready_s, stop_s = map(int, sys.argv[2:])
Workers(2, work, ready_s=ready_s, stop_s=stop_s).run(lambda: print("ready", flush=True))
"""


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """A file whose presence keeps new workers from starting, or from stopping."""
    return tmp_path / "fault"


@pytest.fixture
def parent(fault: Path) -> Iterator[Parent]:
    with _ready(fault) as parent:
        yield parent


@contextmanager
def _ready(fault: Path, *, ready_s: int = 60, stop_s: int = 30) -> Iterator[Parent]:
    with _started(fault, ready_s=ready_s, stop_s=stop_s) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "ready\n"
        yield parent


@contextmanager
def _started(fault: Path, *, ready_s: int = 60, stop_s: int = 30) -> Iterator[Parent]:
    command = [sys.executable, "-c", _SCRIPT, str(fault), str(ready_s), str(stop_s)]
    parent = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield parent
    finally:
        parent.kill()
        parent.wait()
        for pipe in (parent.stdout, parent.stderr):
            if pipe:
                pipe.close()


def _alive(parent: Parent) -> set[int]:
    children = psutil.Process(parent.pid).children()
    return {one.pid for one in children if not _has_ended(one)}


def _has_ended(one: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(one.status() == psutil.STATUS_ZOMBIE)
    return True


async def test_a_worker_that_cannot_be_replaced_now_leaves_the_others_serving(
    parent: Parent, fault: Path
) -> None:
    first, second = sorted(_alive(parent))
    await asyncio.to_thread(fault.touch)
    psutil.Process(first).kill()
    await asyncio.to_thread(_told, parent, "worker.failed", 2)
    assert second in _alive(parent)
    await asyncio.to_thread(fault.unlink)
    await at.until(lambda: _replaced(parent, first, second))


@pytest.mark.parametrize(("kind", "shown"), [("EngineDown", False), ("", True)])
async def test_a_worker_says_in_a_line_why_it_ended_and_a_defect_in_full(
    parent: Parent, fault: Path, kind: str, *, shown: bool
) -> None:
    await asyncio.to_thread(fault.write_text, kind)
    psutil.Process(min(_alive(parent))).kill()
    line = await asyncio.to_thread(_told, parent, "worker.failed", 1)
    assert "an engine is away" in line
    assert ("Traceback" in line) is shown


async def test_a_worker_that_hangs_in_a_replacement_is_killed_and_the_others_serve(
    fault: Path,
) -> None:
    with _ready(fault, ready_s=3) as parent:
        first, second = sorted(_alive(parent))
        await asyncio.to_thread(fault.write_text, "hangs")
        psutil.Process(first).kill()
        await asyncio.to_thread(_told, parent, "worker.killed", 1)
        assert second in _alive(parent)
        await asyncio.to_thread(fault.unlink)
        await at.until(lambda: _replaced(parent, first, second))


async def test_a_worker_that_hangs_at_the_first_start_is_killed_and_the_start_fails(
    fault: Path,
) -> None:
    await asyncio.to_thread(fault.write_text, "hangs")
    with _started(fault, ready_s=3) as parent:
        line = await asyncio.to_thread(_told, parent, "worker.killed", 1)
        assert await asyncio.to_thread(parent.wait, 20) == 1
        assert not psutil.pid_exists(_pid_in(line))


async def test_workers_that_do_not_stop_are_killed_and_the_parent_ends(fault: Path) -> None:
    await asyncio.to_thread(fault.write_text, "deaf")
    with _ready(fault, stop_s=1) as parent:
        workers = _alive(parent)
        assert len(workers) == 2
        parent.send_signal(signal.SIGTERM)
        killed = [await asyncio.to_thread(_told, parent, "worker.killed", 1) for _ in range(2)]
        assert {_pid_in(line) for line in killed} == workers
        assert await asyncio.to_thread(parent.wait, 20) == 0
        assert not any(map(psutil.pid_exists, workers))


def test_a_stop_has_time_for_what_is_under_way_and_ends_before_the_machine_kills_all() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    grace_s = float(compose["x-imv"]["stop_grace_period"].removesuffix("s"))
    assert SHUTDOWN_S < workers._STOP_S < grace_s


async def test_a_signal_in_a_workers_first_moment_ends_it_and_none_of_the_others(
    parent: Parent, fault: Path
) -> None:
    first, second = sorted(_alive(parent))
    await asyncio.to_thread(fault.write_text, "signal")
    psutil.Process(first).kill()
    line = await asyncio.to_thread(_told, parent, "worker.ended", 2)
    assert f'"status": {-signal.SIGTERM}' in line
    assert second in _alive(parent)
    await asyncio.to_thread(fault.unlink)
    await at.until(lambda: _replaced(parent, first, second))
    parent.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(parent.wait, 20) == 0


async def test_all_stop_together(parent: Parent) -> None:
    parent.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(parent.wait, 20) == 0


async def test_a_stop_while_the_first_worker_starts_ends_it_and_starts_no_other(
    fault: Path,
) -> None:
    await asyncio.to_thread(fault.write_text, "slow")
    with _started(fault) as parent:
        await at.until(lambda: _has(parent, 1))
        assert "worker.killed" not in await _log_of_a_stop(parent)
        assert parent.stdout
        assert await asyncio.to_thread(parent.stdout.read) == ""


async def test_a_stop_while_a_replacement_starts_ends_it_and_the_others(
    parent: Parent, fault: Path
) -> None:
    first, second = sorted(_alive(parent))
    await asyncio.to_thread(fault.write_text, "slow")
    psutil.Process(first).kill()
    await at.until(lambda: _replaced(parent, first, second))
    assert "worker.killed" not in await _log_of_a_stop(parent)


async def test_a_stop_does_not_wait_for_a_worker_that_hangs_while_it_starts(fault: Path) -> None:
    await asyncio.to_thread(fault.write_text, "hangs")
    with _started(fault, stop_s=1) as parent:
        await asyncio.to_thread(_told, parent, "deaf by now", 1)  # before that a signal ends it
        assert "worker.killed" in await _log_of_a_stop(parent)


async def test_a_killed_parent_leaves_no_worker(parent: Parent) -> None:
    workers = [psutil.Process(pid) for pid in _alive(parent)]
    parent.kill()
    await at.until(lambda: _ended(workers))


def _told(parent: Parent, event: str, count: int) -> str:
    """Return the last line when the log has told so often of an event."""
    assert parent.stderr
    line = ""
    while count:
        line = parent.stderr.readline()
        assert line, "the parent ended"
        count -= f'"{event}"' in line
    return line


async def _log_of_a_stop(parent: Parent) -> str:
    """Stop it; its workers end with it, well before a worker's time to start is over."""
    workers = [psutil.Process(pid) for pid in _alive(parent)]
    parent.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(parent.wait, 45) == 0
    assert parent.stderr
    log = await asyncio.to_thread(parent.stderr.read)
    assert await _ended(workers)
    return log


async def _has(parent: Parent, count: int) -> bool:
    return len(_alive(parent)) == count


async def _replaced(parent: Parent, victim: int, survivor: int) -> bool:
    found = _alive(parent)
    return len(found) == 2 and survivor in found and victim not in found


def _pid_in(line: str) -> int:
    return int(msgspec.json.decode(line)["pid"])


async def _ended(workers: list[psutil.Process]) -> bool:
    return all(map(_has_ended, workers))
