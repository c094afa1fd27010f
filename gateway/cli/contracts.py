"""`imv contracts export`: the contracts as files: OpenAPI, AsyncAPI, JSON Schemas of the records."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
import httpx
import msgspec

from config import log
from config.errors import Misconfigured
from config.settings import Settings
from gateway import asyncapi
from gateway.app import create_app, webhooks_of
from gateway.cli.output import json_option, show_json
from gateway.lifespan import open_house
from gateway.urls import Urls
from store.migrate import migrate
from store.records import (
    Availability,
    ExceptionRecord,
    Fulfilment,
    InventoryLevel,
    Order,
    Refund,
    Tender,
)

_RECORDS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "order": Order,
    "fulfilment": Fulfilment,
    "exception": ExceptionRecord,
    "inventory_level": InventoryLevel,
    "availability": Availability,
    "tender": Tender,
    "refund": Refund,
}
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@click.group("contracts")
def contracts() -> None:
    """What others may rely on."""


@contracts.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@json_option
def export(*, folder: Path, as_json: bool) -> None:
    """Write openapi.json, asyncapi.json and schemas/*.json into DIR; no instance is needed."""
    log.configure(level="critical")
    documents: dict[str, Any] = {
        "openapi.json": asyncio.run(openapi()),
        "asyncapi.json": asyncapi.document(),
        **{f"schemas/{name}.json": schema(record) for name, record in _RECORDS.items()},
    }
    _write(folder, documents)
    if as_json:
        show_json({"files": [str(folder / name) for name in documents]})
    else:
        click.echo(f"{folder}: {len(documents)} files")


def schema(record: type[msgspec.Struct]) -> dict[str, Any]:
    """Return a record's JSON Schema as consumers of events see it."""
    return {"$schema": _DIALECT, **msgspec.json.schema(record)}


async def openapi() -> dict[str, Any]:
    """Return the document that the application itself serves, from one over an empty database."""
    with tempfile.TemporaryDirectory(prefix="imv-") as folder:
        database = f"sqlite+aiosqlite:///{folder}/imv.db"
        await migrate(database)
        # Nobody is at these addresses, and nothing of the document comes from there.
        urls = Urls(database, f"unix://{folder}/redis.sock", ("nats://127.0.0.1:9",))
        async with open_house(Settings(), urls, {}, relay=False) as house:
            # Any: the two libraries name ASGI differently.
            app: Any = create_app(house, webhooks_of(house))
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://imv") as http:
                answer = await http.get("/schema", follow_redirects=True)
    answer.raise_for_status()
    return msgspec.json.decode(answer.content, type=dict[str, Any])


def _write(folder: Path, documents: dict[str, Any]) -> None:
    try:
        for name, document in documents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    except OSError as error:
        raise Misconfigured(f"{folder}: {error.strerror}; name a folder to write to") from error
