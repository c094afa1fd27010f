"""`imv token`: makes access tokens, shown once, and revokes them."""

import asyncio
import re
from typing import Any, Final

import click
import msgspec

from config.clock import SystemClock, to_ms, to_us
from config.errors import NotFound
from config.ids import IdFactory
from gateway.cli.instance import Instance, find_instance, instance_options
from gateway.cli.live import ask, client, find_running, told
from gateway.cli.offline import open_tokens
from gateway.cli.output import json_option, show_json
from gateway.running import Running
from store.tokens import Actor, TokenRow

_SCOPE: Final = re.compile(r"operator|orders:(read|write)|board:(\*|[!-~]{1,100})")
_FORMS: Final = "operator, orders:read, orders:write, board:<location> or board:*"
_NOTE_CHARACTERS_MAX: Final = 100
_SCOPES_MAX: Final = 50
_BY: Final = Actor("imv token")


class Scope(click.ParamType[str]):
    """A scope of a known form."""

    name = "scope"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the scope as it is, or fail with the forms that there are."""
        if not _SCOPE.fullmatch(str(value)):
            self.fail(f"{value!r} is none of {_FORMS}", param, ctx)
        return str(value)


@click.group("token")
def token() -> None:
    """Access tokens for people, screens and programs."""


@token.command("create")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=Scope(), help=f"One of {_FORMS}."
)
@click.option("--note", default="", help="Who or what it is for.")
@json_option
@instance_options
def create(
    *, scopes: tuple[str, ...], note: str, as_json: bool, data: str | None, config: str | None
) -> None:
    """Make a token and print it once; only its digest is kept. The instance may run or not."""
    if len(note) > _NOTE_CHARACTERS_MAX or len(scopes) > _SCOPES_MAX:
        raise click.UsageError(
            f"a token has at most {_SCOPES_MAX} scopes and a note of {_NOTE_CHARACTERS_MAX} characters"
        )
    instance = find_instance(data, config)
    scopes = tuple(dict.fromkeys(scopes))
    running = find_running(instance)
    if running:
        made = _create_live(running, scopes, note)
    else:
        made = asyncio.run(_create_offline(instance, scopes, note))
    if as_json:
        show_json(made)
    else:
        click.echo(made["token"])
        click.echo(f"token {made['id']} ({', '.join(scopes)}); it is not shown again", err=True)


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@json_option
@instance_options
def revoke(*, token_id: str, as_json: bool, data: str | None, config: str | None) -> None:
    """Revoke the token with this id, not its text. The instance may run or not."""
    instance = find_instance(data, config)
    running = find_running(instance)
    if running:
        with client(running.http, running.token) as http:
            told(ask(http, "DELETE", f"/v1/tokens/{_path_part(token_id)}"))
    else:
        asyncio.run(_revoke_offline(instance, token_id))
    if as_json:
        show_json({"id": token_id, "revoked": True})
    else:
        click.echo(f"token {token_id} is revoked")


def _create_live(running: Running, scopes: tuple[str, ...], note: str) -> dict[str, Any]:
    body = msgspec.json.encode({"scopes": scopes, "note": note})
    with client(running.http, running.token) as http:
        made: dict[str, Any] = told(ask(http, "POST", "/v1/tokens", body=body))
    return made


async def _create_offline(instance: Instance, scopes: tuple[str, ...], note: str) -> dict[str, Any]:
    now = SystemClock().now()
    row = TokenRow(IdFactory().new(to_ms(now)), scopes, note, to_us(now))
    async with open_tokens(instance) as store:
        return {"id": row.id, "token": await store.create(row, _BY), "scopes": list(scopes)}


async def _revoke_offline(instance: Instance, token_id: str) -> None:
    async with open_tokens(instance) as store:
        if not await store.revoke(token_id, to_us(SystemClock().now()), _BY):
            raise NotFound(f"there is no live token {token_id}")


def _path_part(token_id: str) -> str:
    """Return an id as one part of a path; NotFound for what cannot be one."""
    if not re.fullmatch(r"[0-9a-f-]{1,64}", token_id):
        raise NotFound("this is no token's id; `imv token create` shows it beside the token's text")
    return token_id
