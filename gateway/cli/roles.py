"""The roles: `up` with embedded engines; `serve`, `relay` and `migrate` against external ones."""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec
import uvloop

from config import log
from config.errors import ImvError, Misconfigured
from config.settings import environment
from gateway.app import serving_house
from gateway.cli.instance import Instance, find_instance, instance_options
from gateway.cli.offline import database_of
from gateway.cli.output import json_option, show_json
from gateway.database import wait_for_database
from gateway.demo.setup import prepare_demo
from gateway.lifespan import open_house, relay_settings
from gateway.relay import open_relay
from gateway.serving import listen
from gateway.signals import stop_signal
from gateway.up import Ready, up
from gateway.urls import url_of
from gateway.workers import Workers
from store.migrate import migrate

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@click.command("up")
@click.option("--demo", is_flag=True, help="Load the demo network and keep posting webhooks.")
@click.option("--host", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one."
)
@click.option("--json", "as_json", is_flag=True, help="Print the ready line as JSON.")
@instance_options
def up_command(
    *,
    data: str | None,
    config: str | None,
    demo: bool,
    host: str | None,
    port: int | None,
    as_json: bool,
) -> None:
    """Run everything on embedded engines until Ctrl-C."""
    # A person must still find the ready line, with a token that is shown once, after a minute.
    log.configure(level="error" if sys.stderr.isatty() else "info")
    instance = _listening(find_instance(data, config), host, port)
    environ = environment()
    show = None
    if demo:
        if instance.settings.gateway.host not in _LOOPBACK:
            raise click.UsageError("--demo only listens on this machine; leave --host out")
        instance, show = prepare_demo(instance)
    up(
        instance.settings,
        instance.data,
        environ,
        demo=show,
        tell=lambda ready: _tell(ready, as_json=as_json, demo=demo),
    )


@click.command("serve")
@instance_options
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, help="Processes; PostgreSQL only."
)
def serve(
    data: str | None, config: str | None, host: str | None, port: int | None, workers: int
) -> None:
    """Serve the gateway against external engines until Ctrl-C."""
    log.configure()
    instance = _listening(_external(find_instance(data, config)), host, port)
    if workers > 1 and instance.settings.engines.database.startswith("sqlite"):
        raise click.UsageError("SQLite has one writer: --workers needs PostgreSQL")
    address = listen(instance.settings.gateway.host, instance.settings.gateway.port)

    def tell() -> None:
        ready = Ready(http=url_of(address), nats="", data=str(instance.data), token=None)
        _tell(ready, as_json=True, demo=False)

    if workers == 1:
        _serve(instance, address, tell)
    else:
        Workers(workers, lambda ready: _serve(instance, address, ready)).run(tell)


def _serve(instance: Instance, address: socket.socket, ready: Callable[[], None]) -> None:
    async def main() -> None:
        async with stop_signal() as stopped:
            urls, environ = instance.urls(), environment()
            await wait_for_database(urls.database, stopped)
            if stopped.is_set():
                return
            async with (
                open_house(instance.settings, urls, environ) as house,
                serving_house(house, address),
            ):
                ready()
                await stopped.wait()

    run_role(main)


@click.command("relay")
@instance_options
def relay(data: str | None, config: str | None) -> None:
    """Relay events from the outbox to NATS until Ctrl-C."""
    log.configure()
    instance = _external(find_instance(data, config))

    async def main() -> None:
        async with (
            stop_signal() as stopped,
            open_relay(relay_settings(instance.settings, instance.urls())) as mover,
            asyncio.TaskGroup() as group,
        ):
            work = group.create_task(mover.run(), name="relay")
            click.echo(msgspec.json.encode({"ready": True, "role": "relay"}).decode())
            await stopped.wait()
            work.cancel()

    run_role(main)


@click.command("migrate")
@json_option
@instance_options
def migrate_command(*, as_json: bool, data: str | None, config: str | None) -> None:
    """Bring the database to this version."""
    with database_of(find_instance(data, config)) as url:
        revision = asyncio.run(migrate(url))
    if as_json:
        show_json({"revision": revision})
    else:
        click.echo(f"database is at revision {revision}")


def _listening(instance: Instance, host: str | None, port: int | None) -> Instance:
    gateway = instance.settings.gateway
    gateway = msgspec.structs.replace(
        gateway,
        host=host if host is not None else gateway.host,
        port=port if port is not None else gateway.port,
    )
    settings = msgspec.structs.replace(instance.settings, gateway=gateway)
    return msgspec.structs.replace(instance, settings=settings)


def _external(instance: Instance) -> Instance:
    engines = instance.settings.engines
    missing = [n for n in ("database", "redis", "nats") if not getattr(engines, n)]
    if missing:
        raise Misconfigured(f"set engines.{', engines.'.join(missing)}; `imv up` brings its own")
    return instance


def _tell(ready: Ready, *, as_json: bool, demo: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(ready).decode())
        return
    line = f"ready  http {ready.http}  nats {ready.nats}  data {ready.data}"
    if ready.token:
        line += f"  token {ready.token}"
    click.echo(line)
    if demo:
        click.echo(f"       pickup screen: {ready.http}/pickup/S-001")


def run_role(main: Callable[[], Any]) -> None:
    """Run a role; the error of ours that ended it comes without the task groups around it."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except BaseExceptionGroup as group:
        ours, defects = group.split(ImvError)
        if ours is None or defects is not None:
            raise
        raise _first(ours) from None


def _first(group: BaseExceptionGroup[ImvError]) -> ImvError:
    """Return the error that ended a role, out of the task groups around it."""
    failure = group.exceptions[0]
    return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
