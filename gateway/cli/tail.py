"""`imv tail`: follows the events of an instance."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final
from urllib.parse import unquote

import click
import msgspec
import uvloop

from config import log
from config.errors import EngineDown, ImvError, Unavailable
from gateway.cli.instance import find_instance, instance_options
from gateway.cli.live import nats_of
from gateway.cli.output import json_option, plain, show_json
from gateway.signals import stop_signal
from outbox.event import STREAM, SUBJECTS
from outbox.nats_connection import ApiError, NatsConnection
from outbox.nats_consumer import Consumer
from outbox.ports import Delivered
from outbox.stream import StreamInfo

_RETRY_S: Final = 0.5
_SUBJECT_TOKENS: Final = 5
_PREFIX: Final = ("imv", "v1")


class Line(msgspec.Struct, frozen=True):
    """One event as `--json` prints it; `data` is the event's own JSON."""

    sequence: int
    subject: str
    id: str
    type: str
    data: msgspec.Raw


class _Head(msgspec.Struct, frozen=True):
    """What a person sees of an event's data."""

    id: Any = ""
    version: Any = ""
    state: Any = ""


class Pattern(click.ParamType[str]):
    """A pattern that some event's subject may have."""

    name = "subject"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the pattern as it is, or fail: one that nothing has would wait for ever."""
        tokens = str(value).split(".")
        whole = [want in (token, "*", ">") for want, token in zip(tokens, _PREFIX, strict=False)]
        if ">" in tokens[:-1] or not all(whole) or not all(map(str.strip, tokens)):
            self.fail(f"{value!r} is no pattern of imv.v1.<entity>.<event>.<key>", param, ctx)
        return str(value)


@click.command("tail")
@click.argument("subject", type=Pattern(), default=SUBJECTS)
@json_option
@click.option("--since-start", is_flag=True, help="Begin with the oldest event that is kept.")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@instance_options
def tail(
    *,
    subject: str,
    as_json: bool,
    since_start: bool,
    count: int | None,
    data: str | None,
    config: str | None,
) -> None:
    """Follow events until Ctrl-C.

    SUBJECT (default imv.v1.>) is imv.v1.<entity>.<event>.<key>; * stands for one part, > for all
    that follow.
    """
    log.configure(level="error")
    servers = nats_of(find_instance(data, config))
    chosen = _chosen(servers, subject, from_start=since_start)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_stopped(_print(chosen, count, as_json=as_json)))


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Do the work until it ends, fails, or a signal ends it."""
    failure: ImvError | None = None

    async def noted() -> None:
        nonlocal failure
        try:
            await work
        except ImvError as error:
            failure = error
        finally:
            stopped.set()

    async with stop_signal() as stopped, asyncio.TaskGroup() as group:
        task = group.create_task(noted(), name="tail")
        await stopped.wait()
        task.cancel()
    if failure is not None:
        raise failure


async def _print(events: AsyncGenerator[Delivered], count: int | None, *, as_json: bool) -> None:
    left = count
    async with aclosing(events):
        async for event in events:
            try:
                _show(event, as_json=as_json)
            except BrokenPipeError:
                # Whoever read us has seen enough; the last flush must not complain of it either.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return
            left = left - 1 if left else None
            if left == 0:
                return


async def _chosen(
    servers: Sequence[str], pattern: str, *, from_start: bool
) -> AsyncGenerator[Delivered]:
    async with aclosing(follow(servers, from_start=from_start)) as events:
        async for event in events:
            if matches(pattern, event.subject):
                yield event


def matches(pattern: str, subject: str) -> bool:
    """Tell whether a subject is one of a pattern, as NATS means it."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(
        want in ("*", token) for want, token in zip(wanted, tokens, strict=True)
    )


async def follow(servers: Sequence[str], *, from_start: bool) -> AsyncGenerator[Delivered]:
    """Yield events in order, over losses of the connection.

    Raises:
        EngineDown: NATS, or its stream, is not there at the beginning.
    """
    awake = asyncio.Event()
    connection = NatsConnection(servers, "imv-tail", on_change=awake.set)
    try:
        info = await _info(connection)
        first = 1 if from_start else info.state.last_seq + 1
        while True:
            with suppress(Unavailable):
                found = await _info(connection)
                if found.created != info.created:
                    info, first = found, 1
                async with (
                    aclosing(await Consumer.open(connection, awake, first)) as consumer,
                    aclosing(consumer.events()) as events,
                ):
                    async for event in events:
                        first = event.sequence + 1
                        yield event
            await asyncio.sleep(_RETRY_S)
    finally:
        await connection.close()


async def _info(connection: NatsConnection) -> StreamInfo:
    info = await connection.api(f"STREAM.INFO.{STREAM}", None, StreamInfo)
    if isinstance(info, ApiError):
        raise EngineDown(f"JetStream: {info.description}")
    return info


def _show(event: Delivered, *, as_json: bool) -> None:
    if as_json:
        data = msgspec.Raw(event.data)
        show_json(Line(event.sequence, event.subject, event.id, event.type, data))
    else:
        click.echo(line_of(event))


def line_of(event: Delivered) -> str:
    """Return an event as one line: sequence, what happened, to what, and how it stands now."""
    tokens = event.subject.split(".", _SUBJECT_TOKENS - 1)
    name, key = ".".join(tokens[2:4]), unquote(tokens[-1])
    head = _Head()
    with suppress(msgspec.DecodeError):
        head = msgspec.json.decode(event.data, type=_Head)
    parts = [f"{event.sequence:>8}", f"{name:<24}", key]
    if head.id != key:
        parts.append(str(head.id))
    parts += [f"v{head.version}", str(head.state)]
    return plain("  ".join(part for part in parts if part)).rstrip()
