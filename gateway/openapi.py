"""The OpenAPI document: the framework's, completed with what it cannot see.

Bodies are decoded from raw bytes by our own strict decoders, and webhooks never reach the framework; so
their schemas come from the same Structs that decode and encode them.
"""

from typing import Any, Final

import msgspec
from litestar.connection import Request
from litestar.openapi.plugins import JsonRenderPlugin

from gateway.api.bodies import (
    Cancelled,
    Exceptions,
    Imported,
    OrderWithFulfilments,
    Placed,
    Route,
    SignIn,
    Ticket,
    Timeline,
)
from gateway.api.fulfilments import Act
from gateway.api.operations import NewToken
from gateway.api.orders import Cancel, NewOrder
from gateway.problems import MEDIA_TYPE, Problem
from gateway.webhooks import Taken
from handlers.actions import ImportCatalog, ImportStock, PlaceHold
from store.records import Fulfilment, Hold

_REF: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"

# (path, method): what the request's body is, and what a good answer is.
_BODIES: Final[dict[tuple[str, str], tuple[Any, Any]]] = {
    ("/v1/orders", "post"): (NewOrder, Placed),
    ("/v1/orders/{order_id}", "get"): (None, OrderWithFulfilments),
    ("/v1/orders/{order_id}/timeline", "get"): (None, Timeline),
    ("/v1/orders/{order_id}/route", "get"): (None, Route),
    ("/v1/orders/{order_id}/cancel", "post"): (Cancel, Cancelled),
    ("/v1/fulfilments/{fulfilment_id}/{action}", "post"): (Act, Fulfilment),
    ("/v1/holds", "post"): (PlaceHold, Hold),
    ("/v1/holds/{hold_id}", "get"): (None, Hold),
    ("/v1/holds/{hold_id}", "delete"): (None, Hold),
    ("/v1/imports/stock", "post"): (ImportStock, Imported),
    ("/v1/imports/catalog", "post"): (ImportCatalog, Imported),
    ("/v1/tokens", "post"): (NewToken, None),
    ("/v1/exceptions", "get"): (None, Exceptions),
    ("/v1/stream/tickets", "post"): (None, Ticket),
    ("/session", "post"): (SignIn, None),
}
_NO_CONTENT: Final = "204"
_KEYED: Final = {
    ("/v1/orders", "post"),
    ("/v1/orders/{order_id}/cancel", "post"),
    ("/v1/holds", "post"),
}
_OPEN: Final = ("/livez", "/readyz", "/metrics", "/asyncapi", "/session", "/webhooks/{source}")
# Answers that are ready bytes: their media type, and what they hold.
_RAW: Final = {
    "/asyncapi": (_JSON, "object"),
    "/metrics": ("text/plain", "string"),
    "/v1/stream/sse": ("text/event-stream", "string"),
}
_TICKET: Final = {"type": "apiKey", "in": "query", "name": "ticket"}
_MORE_WAYS_IN: Final[dict[str, tuple[dict[str, list[str]], ...]]] = {
    "/v1/stream/sse": ({"ticket": []},)
}
_WEBHOOK_PROBLEMS: Final = {
    "400": "Not readable before the signature could be checked.",
    "401": "Unknown source, bad signature or stale timestamp.",
    "413": "The body is too large.",
    "415": "The body has a content encoding.",
    "429": "Too many webhooks, or too many refused ones of one address; see Retry-After.",
    "503": "Not able now; nothing was accepted. Send it again after Retry-After.",
}


class CompleteDocument(JsonRenderPlugin):
    """Serves the completed document as JSON; made once, as anybody may ask for it at any rate."""

    _made = b""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document's bytes."""
        del request
        self._made = self._made or msgspec.json.encode(complete(openapi_schema))
        return self._made


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with bodies, answers, problems, security and the webhook route."""
    types = [part for pair in _BODIES.values() for part in pair if part] + [Problem, Taken]
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    paths = {path: dict(item) for path, item in document.get("paths", {}).items()}
    for path, item in paths.items():
        for method, operation in item.items():
            item[method] = _operation(path, method, operation)
    paths["/webhooks/{source}"] = {"post": _webhook()}
    known = document.get("components", {})
    schemas = {**known.get("schemas", {}), **components}
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        **document,
        "paths": paths,
        "components": {
            **known,
            "schemas": schemas,
            "securitySchemes": {"token": bearer, "ticket": _TICKET},
        },
    }


def _operation(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    asked, answered = _BODIES.get((path, method), (None, None))
    result = dict(operation)
    if asked:
        result["requestBody"] = {"required": True, "content": _content(asked)}
    responses = {
        status: _response(status, response, answered)
        for status, response in operation.get("responses", {}).items()
    }
    if path in _RAW:
        kind, form = _RAW[path]
        content = {kind: {"schema": {"type": form}}}
        responses["200"] = {**responses["200"], "content": content}
    responses["default"] = {"description": "A problem (RFC 9457).", "content": _problem()}
    result["responses"] = responses
    if (path, method) in _KEYED:
        result["parameters"] = [*operation.get("parameters", []), _KEY]
    if path not in _OPEN:
        result["security"] = [{"token": []}, *_MORE_WAYS_IN.get(path, ())]
    return result


def _response(status: str, response: dict[str, Any], answered: Any) -> dict[str, Any]:
    """Return what is really answered: our own forms, and problems where the framework has its own."""
    if not status.startswith("2"):
        return {**response, "content": _problem()}
    if status == _NO_CONTENT:
        return {name: value for name, value in response.items() if name != "content"}
    return {**response, "content": _content(answered)} if answered else response


_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "A new one for each thing you want done; a repeat gets the first answer.",
}


def _webhook() -> dict[str, Any]:
    source = {"name": "source", "in": "path", "required": True, "schema": {"type": "string"}}
    taken = {"content": _content(Taken)}
    problems = {
        status: {"description": text, "content": _problem()}
        for status, text in _WEBHOOK_PROBLEMS.items()
    }
    return {
        "summary": "Take a channel's webhook",
        "description": "The body and its signature are the channel's own.",
        "operationId": "webhooks.take",
        "tags": ["webhooks"],
        "parameters": [source],
        "requestBody": {"required": True, "content": {_JSON: {"schema": {}}}},
        "responses": {
            "200": {"description": "Applied, duplicate, or ignored.", **taken},
            "202": {"description": "Durable: accepted, parked or quarantined.", **taken},
            **problems,
        },
    }


def _content(form: Any) -> dict[str, Any]:
    return {_JSON: {"schema": {"$ref": _REF.format(name=form.__name__)}}}


def _problem() -> dict[str, Any]:
    return {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
