"""`imv up` as a person runs it: starts, goes on, stops in order, and says what is wrong."""

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

from tests.e2e import instance as at

_ROOT = Path(__file__).parents[2]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_second_start_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    arguments = at.up_arguments(at.write_config(tmp_path), tmp_path / "data")
    with at.running(*arguments) as first:
        token = first.ready["token"]
        await at.gate_open(first.http)
        await at.stock(first.http, token, S_001=3)
        body = at.order(1)
        async with httpx.AsyncClient(timeout=30) as client:
            url, head = f"{first.http}/webhooks/shop-main", at.headers(body, "event-1")
            applied = (await client.post(url, content=body, headers=head)).json()
        children = [child.pid for child in first.children()]
        assert first.interrupt() == 0
        assert not any(psutil.pid_exists(pid) for pid in children)
    with at.running(*arguments) as second:
        assert second.ready["token"] is None
        await at.gate_open(second.http)
        async with httpx.AsyncClient(timeout=30, headers=at.bearer(token)) as client:
            url = f"{second.http}/webhooks/shop-main"
            again = (await client.post(url, content=body, headers=head)).json()
            order = (await client.get(f"{second.http}/v1/orders/{applied['order_id']}")).json()
    assert again == {**applied, "outcome": "duplicate"}
    assert order["state"] == "routed"


async def test_killing_the_parent_leaves_no_child_behind(tmp_path: Path) -> None:
    arguments = at.up_arguments(at.write_config(tmp_path), tmp_path / "data")
    with at.running(*arguments) as up:
        children = up.children()
        assert len(children) >= 2
        up.kill()
        await at.until(lambda: _gone(children), within_s=10)


async def test_an_engine_that_ends_by_itself_is_started_again(tmp_path: Path) -> None:
    arguments = at.up_arguments(at.write_config(tmp_path), tmp_path / "data")
    with at.running(*arguments) as up:
        await at.gate_open(up.http)
        await at.stock(up.http, up.ready["token"], S_001=3)
        up.child("redis").send_signal(signal.SIGKILL)
        up.child("nats").send_signal(signal.SIGKILL)
        body = at.order(1)
        async with httpx.AsyncClient(timeout=30) as client:
            url, head = f"{up.http}/webhooks/shop-main", at.headers(body, "event-1")
            answer = await client.post(url, content=body, headers=head)
            assert answer.is_success
            order_url = f"{up.http}/v1/orders/{answer.json()['order_id']}"
            client.headers.update(at.bearer(up.ready["token"]))
            await at.until(lambda: _routed(client, order_url))
        await at.until(lambda: at.well(up.http, "nats"))


def test_a_port_in_use_is_said_and_exits_with_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _run("up", "--data", str(tmp_path / "data"), "--port", str(port))
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


def test_a_damaged_data_folder_is_said_and_exits_with_1(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "imv.db").write_bytes(b"this is no database" * 1000)
    done = _run("up", "--data", str(data), "--port", "0")
    assert done.returncode == 1
    assert "imv.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_configuration_is_said_and_exits_with_1(tmp_path: Path) -> None:
    config = tmp_path / "imv.toml"
    config.write_text("[gateway]\nprot = 1\n")
    done = _run("up", "--config", str(config), "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "prot" in done.stderr
    assert _run("up", "--nonsense").returncode == 2


async def _routed(client: httpx.AsyncClient, url: str) -> bool:
    return bool((await client.get(url)).json()["state"] == "routed")


async def _gone(children: list[psutil.Process]) -> bool:
    await asyncio.sleep(0)
    return not any(child.is_running() and child.status() != "zombie" for child in children)
