"""Serves the pages and their assets, read once, with a policy that allows nothing but our own."""

import hashlib
from pathlib import Path
from typing import Any, Final, NamedTuple

from litestar import Request, Response, Router, get
from litestar.params import FromPath

from config.errors import NotFound

_FOLDER: Final = Path(__file__).parent
_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_ICON: Final = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">\
<rect width="32" height="32" rx="8" fill="#14594d"/>\
<path d="M8 13h16l-1.5 11h-13zM12 13a4 4 0 0 1 8 0" fill="none" stroke="#fff" stroke-width="2.4" \
stroke-linejoin="round"/></svg>"""

# Payloads are hostile and pages show them: no inline script or style, no other origin, no frame,
# and (where a browser knows Trusted Types) no way from text to markup at all.
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class _Asset(NamedTuple):
    """A file as it is served."""

    content: bytes
    media_type: str
    etag: str


def pages() -> Router:
    """Return the routes `/`, `/pickup/{location}` and `/assets/{name}`.

    The pages hold no data, so they need no sign-in; what they fetch does.
    """
    files = {path.name: _asset(path.name, path.read_bytes()) for path in _sources()}
    files["icon.svg"] = _asset("icon.svg", _ICON)

    @get("/", name="page.index", include_in_schema=False)
    async def index(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _answer(request, files["index.html"])

    @get("/pickup/{location:str}", name="page.pickup", include_in_schema=False)
    async def pickup(request: Request[Any, Any, Any], location: FromPath[str]) -> Response[bytes]:
        del location  # the page reads it from its own address
        return _answer(request, files["pickup.html"])

    @get("/assets/{name:str}", name="page.asset", include_in_schema=False)
    async def asset(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        if name not in files or name.endswith(".html"):
            raise NotFound
        return _answer(request, files[name])

    return Router("/", route_handlers=[index, pickup, asset])


def _sources() -> list[Path]:
    return [*_FOLDER.glob("*.html"), *_FOLDER.glob("assets/*.js"), *_FOLDER.glob("assets/*.css")]


def _asset(name: str, content: bytes) -> _Asset:
    etag = f'"{hashlib.blake2b(content, digest_size=9).hexdigest()}"'
    return _Asset(content, _TYPES[Path(name).suffix], etag)


def _answer(request: Request[Any, Any, Any], asset: _Asset) -> Response[bytes]:
    """Send a file, or that the browser has it already; a new version shows at the next load."""
    headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": asset.etag}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)
