"""Errors as RFC 9457 problem+json; the one table of HTTP numbers."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from config.errors import (
    Conflict,
    Forbidden,
    HeadTooLarge,
    ImvError,
    InvalidTransition,
    KeyReused,
    Limited,
    NotFound,
    Rejected,
    StaleVersion,
    TooLarge,
    TooSlow,
    Unauthenticated,
    Unavailable,
    Unreadable,
    UnsupportedEncoding,
)
from config.limits import RETRY_AFTER_S
from config.log import get_log
from handlers.sourcing import NoStock

_log = get_log("edge")
MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:imv:problem:"

# The first class of an error's ancestry that stands here decides.
STATUS: dict[type[ImvError], int] = {
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Unreadable: 400,
    TooLarge: 413,
    HeadTooLarge: 431,
    TooSlow: 408,
    UnsupportedEncoding: 415,
    InvalidTransition: 409,
    StaleVersion: 409,
    KeyReused: 422,
    NoStock: 409,
    Rejected: 400,
    Limited: 429,
    Unavailable: 503,
    Conflict: 409,
    ImvError: 500,
}


class Problem(msgspec.Struct, frozen=True):
    """The members that every problem has; an error's facts stand beside them."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""


def status_of(error: ImvError) -> int:
    """Return the HTTP status of one of our errors."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_of(error: ImvError, request_id: str) -> tuple[int, bytes, dict[str, str]]:
    """Return status, body and headers of one of our errors."""
    status = status_of(error)
    problem = Problem(
        type=_TYPE + error.slug,
        title=error.slug.replace("-", " ").capitalize(),
        status=status,
        detail=error.detail if status != 500 else "see the log under the request id",  # noqa: PLR2004
        request_id=request_id,
    )
    facts = error.facts if status != 500 else {}  # noqa: PLR2004
    body = msgspec.json.encode({**facts, **msgspec.structs.asdict(problem)})
    headers = {"content-type": MEDIA_TYPE}
    if isinstance(error, Unavailable):
        after_s = error.after_s if isinstance(error, Limited) else RETRY_AFTER_S
        headers["retry-after"] = str(after_s)
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return status, body, headers


def on_imv_error(request: Request[Any, Any, Any], error: ImvError) -> Response[bytes]:
    """Answer one of our errors."""
    status, body, headers = problem_of(error, request_id_of(request))
    if status >= 500:  # noqa: PLR2004
        _log.warning(
            "request.failed", path=request.url.path, problem=error.slug, detail=error.detail
        )
    media_type = headers.pop("content-type")
    return Response(content=body, status_code=status, headers=headers, media_type=media_type)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework refused (no route, wrong method, wrong parameters)."""
    extra = error.extra if isinstance(error.extra, list) else []
    detail = "; ".join(str(one.get("message", one)) for one in extra if isinstance(one, dict))
    problem = Problem(
        type=f"{_TYPE}http-{error.status_code}",
        title=HTTPStatus(error.status_code).phrase.capitalize(),
        status=error.status_code,
        detail=detail or error.detail,
        request_id=request_id_of(request),
    )
    headers = dict(error.headers or {})
    return Response(
        content=msgspec.json.encode(problem),
        status_code=error.status_code,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def on_defect(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a defect of ours without showing anything of it; the log has it all."""
    _log.error("request.defect", path=request.url.path, exc_info=error)
    status, body, headers = problem_of(ImvError(), request_id_of(request))
    return Response(content=body, status_code=status, media_type=headers["content-type"])


def request_id_of(request: Request[Any, Any, Any]) -> str:
    """Return the id that the edge gave this request."""
    return str(request.scope.get("state", {}).get("request_id", ""))
