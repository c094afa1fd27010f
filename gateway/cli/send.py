"""`imv send`: signs a payload as its channel would and posts it to the running instance."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import httpx
import msgspec

from config.clock import SystemClock
from config.errors import Misconfigured
from config.ids import SourceId
from config.settings import SourceSettings, environment
from gateway.cli.demo_parts import find_whole
from gateway.cli.instance import Instance, instance_options
from gateway.cli.live import ask, client, http_of
from gateway.cli.output import fail, json_option, plain, show_json
from gateway.cli.payload import Payload, read_payload, with_new_key
from gateway.sources import open_channels
from handlers.sources.channel import Channel

_UNAUTHENTICATED: Final = 401
_TIMES_MAX: Final = 100_000


class Letter(msgspec.Struct, frozen=True):
    """One signed request, and what makes its answer the expected one."""

    body: bytes
    headers: dict[str, str]
    forged: bool = False
    repeat: bool = False


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a letter was answered with."""

    status: int
    expected: bool
    outcome: str = ""
    message_id: str = ""
    order_id: str | None = None
    reason: str = ""
    detail: str = ""


@click.command("send")
@click.argument("source")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--topic", help="The channel's word for the kind of message, where a header says it.")
@click.option(
    "--times",
    type=click.IntRange(1, _TIMES_MAX),
    default=1,
    help="Send so many different messages.",
)
@click.option("--duplicate", is_flag=True, help="Send each message twice, byte for byte.")
@click.option("--bad-signature", is_flag=True, help="Send what was not signed; 401 is expected.")
@json_option
@instance_options
def send(  # noqa: PLR0913 - the command's options
    *,
    source: str,
    file: Path,
    topic: str | None,
    times: int,
    duplicate: bool,
    bad_signature: bool,
    as_json: bool,
    data: str | None,
    config: str | None,
) -> None:
    """Sign a payload as its channel would and post it.

    SOURCE is the id of a configured source, whose instance must run. FILE is a body, or a captured
    message: an object with headers, body and topic. The exit code is 1 unless every answer was as
    expected.
    """
    instance = find_whole(data, config)
    settings = _source(instance, source)
    payload = read_payload(file)
    if topic is not None:
        payload = msgspec.structs.replace(payload, topic=topic)
    letters = _letters(instance, settings, payload, times)
    good = True
    with client(http_of(instance)) as http:
        for letter in _varied(letters, duplicate=duplicate, forged=bad_signature):
            sent = _post(http, source, letter)
            _show(sent, as_json=as_json)
            good &= sent.expected
    if not good:
        fail()


def _source(instance: Instance, name: str) -> SourceSettings:
    known = {source.id: source for source in instance.settings.sources}
    if name not in known:
        there = ", ".join(known) or "none; name the instance's file with --config"
        raise Misconfigured(f"no source is called {name!r}; configured are: {there}")
    return known[name]


def _letters(
    instance: Instance, source: SourceSettings, payload: Payload, times: int
) -> Iterator[Letter]:
    """Sign so many messages; one alone is the file as it is."""
    channel, clock = _channel(instance, source), SystemClock()
    for _ in range(times):
        body = with_new_key(source.provider, payload.body) if times > 1 else payload.body
        yield Letter(body, channel.sign(body, payload.topic, clock.now()))


def _varied(letters: Iterator[Letter], *, duplicate: bool, forged: bool) -> Iterator[Letter]:
    for letter in letters:
        first = letter
        if forged:
            # One byte more than was signed: still the same JSON, but nobody signed it.
            first = msgspec.structs.replace(letter, body=letter.body + b"\n", forged=True)
        yield first
        if duplicate:
            yield msgspec.structs.replace(first, repeat=True)


def _channel(instance: Instance, source: SourceSettings) -> Channel:
    """Open this source's channel alone, so that no other source's secrets are needed."""
    settings = msgspec.structs.replace(instance.settings, sources=(source,))
    # The client is for reading orders and keys from platforms; signing asks nobody.
    channels, _ = open_channels(settings, environment(), httpx.AsyncClient(), SystemClock())
    return channels[SourceId(source.id)]


def _post(http: httpx.Client, source: str, letter: Letter) -> Sent:
    answer = ask(http, "POST", f"/webhooks/{source}", body=letter.body, headers=letter.headers)
    told = _members(answer)
    outcome = str(told.get("outcome", ""))
    return Sent(
        status=answer.status_code,
        expected=_is_expected(letter, answer.status_code, outcome),
        outcome=outcome,
        message_id=str(told.get("message_id", "")),
        order_id=told.get("order_id"),
        reason=str(told.get("reason", "")),
        detail=str(told.get("detail", "")),
    )


def _is_expected(letter: Letter, status: int, outcome: str) -> bool:
    if letter.forged:
        return status == _UNAUTHENTICATED
    if letter.repeat:
        return outcome == "duplicate"
    return httpx.codes.is_success(status)


def _members(answer: httpx.Response) -> dict[str, Any]:
    """Return the members of an answer; a provider's own form of answer may have none."""
    try:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _show(sent: Sent, *, as_json: bool) -> None:
    if as_json:
        show_json(sent)
        return
    parts = [str(sent.status), sent.outcome, sent.message_id]
    parts += [f"order {sent.order_id}" if sent.order_id else "", sent.reason, sent.detail]
    parts.append("" if sent.expected else "(not expected)")
    click.echo("  ".join(plain(part) for part in parts if part))
