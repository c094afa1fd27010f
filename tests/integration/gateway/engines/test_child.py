"""Children: they come when ready, go when told, and never outlive us."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.errors import EngineDown, Misconfigured
from gateway.engines.child import LOG_BYTES_MAX, Child
from gateway.engines.folder import DataFolder

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); " + SLEEPER

PARENT = """
import signal, sys, time
from pathlib import Path
from gateway.engines.folder import DataFolder
from gateway.engines.nats import NatsServer
from gateway.engines.redis import RedisServer
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts us in the background ignores it
folder = DataFolder(Path(sys.argv[1]))
servers = RedisServer(folder.path, folder.runtime), NatsServer(folder.path)
for server in servers:
    server.start()
try:
    print(*(server.pid for server in servers), folder.runtime, flush=True)
    for _ in range(6000):
        time.sleep(0.1)  # a signal just before one long sleep would be seen only after it
except KeyboardInterrupt:
    print(*(server.alive for server in servers), flush=True)
for server in servers:
    server.stop()
folder.close()
"""


def child(tmp_path: Path, code: str, *, ready: Callable[[], bool] | None = None) -> Child:
    log = tmp_path / "child.log"
    says_up = ready or (lambda: log.exists() and log.read_text().endswith("up\n"))
    return Child([sys.executable, "-c", code], log=log, ready=says_up)


class Parent:
    """Another process with both engines on one data folder."""

    def __init__(self, data: Path) -> None:
        command = [sys.executable, "-c", PARENT, str(data)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0)
        redis, nats, runtime = self.said()
        self.children = [int(redis), int(nats)]
        self.watches = [os.pidfd_open(pid) for pid in self.children]
        self.runtime = Path(runtime)

    def said(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def children_end(self, *, within_s: float = 10.0) -> bool:
        return all(select.select([watch], [], [], within_s)[0] for watch in self.watches)

    def close(self) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for watch in self.watches:
            os.close(watch)


@contextmanager
def parent(data: Path) -> Iterator[Parent]:
    running = Parent(data)
    try:
        yield running
    finally:
        running.close()
        DataFolder(data).close()  # removes what a killed one leaves


def test_start_returns_when_the_probe_says_ready(tmp_path: Path) -> None:
    sleeper = child(tmp_path, SLEEPER)
    sleeper.start()
    assert sleeper.alive
    assert sleeper.log.read_text() == "up\n"
    sleeper.stop()
    assert sleeper.pid is None


def test_everything_may_be_repeated(tmp_path: Path) -> None:
    sleeper = child(tmp_path, SLEEPER)
    sleeper.stop()
    sleeper.kill()
    sleeper.pause()
    sleeper.start()
    first = sleeper.pid
    sleeper.start()
    assert sleeper.pid == first
    sleeper.stop()
    sleeper.stop()
    sleeper.kill()
    sleeper.resume()
    sleeper.start()
    assert sleeper.pid not in (None, first)
    sleeper.kill()


def test_what_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    stubborn = child(tmp_path, STUBBORN)
    stubborn.start()
    stubborn.stop(within_s=0.2)
    assert not stubborn.alive


def test_a_paused_child_still_stops_in_order(tmp_path: Path) -> None:
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(print('bye'))); " + SLEEPER
    polite = child(tmp_path, code)
    polite.start()
    polite.pause()
    polite.stop()
    assert polite.log.read_text() == "up\nbye\n"


def test_a_child_that_ends_while_starting_is_explained_by_its_log(tmp_path: Path) -> None:
    failing = child(tmp_path, "raise SystemExit('the store is damaged')", ready=lambda: False)
    with pytest.raises(Misconfigured, match=r"ended while starting.*the store is damaged"):
        failing.start()


def test_a_child_that_is_never_ready_is_killed(tmp_path: Path) -> None:
    slow = child(tmp_path, SLEEPER, ready=lambda: False)
    with pytest.raises(EngineDown, match="not ready in time"):
        slow.start(within_s=0.2)
    assert not slow.alive


def test_only_the_main_thread_may_start_a_child(tmp_path: Path) -> None:
    refused: list[RuntimeError] = []

    def start() -> None:
        try:
            child(tmp_path, SLEEPER).start()
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(refused) == 1


def test_a_child_does_not_see_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_MAIN_SECRET", "hush")
    curious = child(tmp_path, "import os; print(os.environ); " + SLEEPER)
    curious.start()
    curious.stop()
    assert "hush" not in curious.log.read_text()


def test_a_long_log_is_put_aside_once(tmp_path: Path) -> None:
    (tmp_path / "child.log").write_bytes(b"x" * (LOG_BYTES_MAX + 1))
    sleeper = child(tmp_path, SLEEPER)
    sleeper.start()
    sleeper.stop()
    assert sleeper.log.read_text() == "up\n"
    assert (tmp_path / "child.log.1").stat().st_size == LOG_BYTES_MAX + 1


def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    with parent(tmp_path / "data") as killed:
        killed.kill()
        assert killed.children_end()


def test_a_killed_parent_leaves_no_paused_child(tmp_path: Path) -> None:
    with parent(tmp_path / "data") as killed:
        for pid in killed.children:
            os.kill(pid, signal.SIGSTOP)
        killed.kill()
        assert killed.children_end()


def test_after_a_killed_parent_the_folder_opens_and_its_runtime_folder_is_gone(
    tmp_path: Path,
) -> None:
    with parent(tmp_path / "data") as killed:
        killed.kill()
        assert killed.runtime.exists()
        with parent(tmp_path / "data") as again:
            assert again.runtime != killed.runtime
            assert not killed.runtime.exists()


def test_ctrl_c_to_the_group_does_not_reach_the_children(tmp_path: Path) -> None:
    with parent(tmp_path / "data") as stopped:
        os.killpg(stopped.process.pid, signal.SIGINT)
        assert stopped.said() == ["True", "True"]
        assert stopped.process.wait() == 0
        assert stopped.children_end(within_s=0)
        assert not stopped.runtime.exists()
