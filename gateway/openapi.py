"""What the OpenAPI document says about the mounted webhook routes."""

from typing import Any

from litestar import Litestar
from litestar.openapi.spec import OpenAPIResponse, Operation, Parameter, PathItem, Schema
from litestar.openapi.spec.enums import OpenAPIType

_ANSWERS = {
    "200": "Applied, a duplicate of what was applied before, or understood with nothing in it for us.",
    "202": "Durable, and decided later (accepted, parked) or looked at by a person (quarantined).",
    "400": "Not readable before the signature could be checked.",
    "401": "Unknown source, bad signature or stale timestamp.",
    "413": "The body is too large.",
    "415": "The body has a content encoding.",
    "503": "Not able now; nothing was accepted. Send it again after Retry-After.",
}


def describe_webhooks(app: Litestar) -> None:
    """Add `POST /webhooks/{source}` to the document; a mounted application cannot say it itself."""
    source = Parameter(
        name="source",
        param_in="path",
        required=True,
        schema=Schema(type=OpenAPIType.STRING),
        description="The id of a configured source.",
    )
    answers: dict[str, Any] = {
        status: OpenAPIResponse(description=text) for status, text in _ANSWERS.items()
    }
    operation = Operation(
        summary="Take a channel's webhook",
        operation_id="webhooks.take",
        tags=["webhooks"],
        parameters=[source],
        responses=answers,
    )
    schema = app.openapi_schema
    schema.paths = {**(schema.paths or {}), "/webhooks/{source}": PathItem(post=operation)}
