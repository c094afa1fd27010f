"""A seeded walk over the OpenAPI document: no 500, and answers of the documented status and form."""

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from tests.e2e import instance as at
from tests.integration.gateway.hostile.target import ask

_ROUNDS = 25
_TEXTS = [
    "",
    "x",
    "S-001",
    "uk",
    "\u0000",
    "\u20ac\U0001f600",
    "../..",
    "%00",
    "a" * 400,
    "'\"<",
    "-1",
]
_VALUES: list[Any] = [None, True, -1, 0, 2**63, 1.5, [], {}, *_TEXTS]
_STREAMING = {"/v1/stream/sse"}
Document = dict[str, Any]


def resolved(document: Document, schema: Document) -> Document:
    """Follow references."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def made(  # noqa: PLR0911 - one case for each type
    document: Document, schema: Document, chance: random.Random, depth: int = 0
) -> Any:
    """Return a value that mostly fits a schema."""
    schema = resolved(document, schema)
    if depth > 6 or chance.random() < 0.08:
        return chance.choice(_VALUES)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return made(document, chance.choice(choices), chance, depth + 1)
    if "enum" in schema or "const" in schema:
        return chance.choice(schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "object":
            wanted = schema.get("required", [])
            members = schema.get("properties", {}).items()
            some = [(n, s) for n, s in members if n in wanted or chance.random() < 0.5]
            return {name: made(document, inner, chance, depth + 1) for name, inner in some}
        case "array":
            items = schema.get("items") or {}
            return [made(document, items, chance, depth + 1) for _ in range(chance.randrange(1, 3))]
        case "integer":
            return chance.choice([schema.get("minimum", 0), 1, schema.get("maximum", 10**6)])
        case "boolean":
            return chance.random() < 0.5
    return chance.choice(_TEXTS)


def wrong(  # noqa: C901 - one line for each rule
    document: Document, schema: Document, value: Any, where: str = "$"
) -> Iterator[str]:
    """Yield what of a value is not as the schema says: types, members that are missing, constants."""
    schema = resolved(document, schema)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        found = [list(wrong(document, one, value, where)) for one in choices]
        yield from min(found, key=len)
        return
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    kind = kinds.get(str(schema.get("type")))
    if kind and not isinstance(value, kind):
        yield f"{where} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is none of {schema['enum']}"
    if isinstance(value, dict):
        yield from (f"{where}.{n} is missing" for n in schema.get("required", ()) if n not in value)
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from wrong(document, inner, value[name], f"{where}.{name}")
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from wrong(document, schema.get("items") or {}, one, f"{where}[{number}]")


def _faults(document: Document, schema: Document, content: bytes) -> Iterator[str]:
    try:
        value = msgspec.json.decode(content)
    except msgspec.DecodeError:
        yield "is no JSON"
        return
    yield from wrong(document, schema, value)


async def _document(instance: at.Running) -> Document:
    _, content = await ask(instance.http, "GET", "/schema", headers={})
    document: Document = msgspec.json.decode(content)
    return document


def _request(
    document: Document, path: str, operation: Document, chance: random.Random
) -> tuple[str, dict[str, str], bytes]:
    """Return the target, headers and body of one request of an operation."""
    query, headers = [], {}
    for one in operation.get("parameters", ()):
        value = str(made(document, one.get("schema", {}), chance))
        match one["in"]:
            case "path":
                path = path.replace(f"{{{one['name']}}}", quote(value or "x", safe=""))
            case "query" if chance.random() < 0.7:
                query.append(f"{one['name']}={quote(value, safe='')}")
            case "header":
                headers[one["name"]] = quote(value[:300]) or "k"
    body = b""
    if wanted := operation.get("requestBody"):
        schema = wanted["content"]["application/json"]["schema"]
        body = msgspec.json.encode(made(document, schema, chance))
    return path + ("?" + "&".join(query) if query else ""), headers, body


@pytest.mark.timeout(60)
async def test_every_operation_answers_as_documented(instance: at.Running) -> None:
    document = await _document(instance)
    chance = random.Random(4)  # noqa: S311 - the same walk in every run
    token = at.bearer(instance.ready["token"])
    good, faults = 0, set[str]()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for _ in range(_ROUNDS if path not in _STREAMING else 0):
                target, headers, body = _request(document, path, operation, chance)
                given = {**token, **headers}
                status, content = await ask(
                    instance.http, method.upper(), target, headers=given, body=body
                )
                told = operation["responses"].get(str(status)) or operation["responses"]["default"]
                assert status < 500, (method, target, body, content)
                good += status < 300
                for kind, form in told.get("content", {}).items():
                    if kind.endswith("json") and content:
                        found = {*_faults(document, form["schema"], content)}
                        faults |= {f"{method} {path} {status}: {one}" for one in found}
    assert sorted(faults) == []
    assert good > _ROUNDS * 5  # it is not all refused at the door
