"""What the pages' routes send."""

import httpx
import pytest

from tests.integration.gateway.pages.conftest import Edge


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/pickup/S-001", "text/html; charset=utf-8"),
        ("/assets/stream.js", "text/javascript; charset=utf-8"),
        ("/assets/imv.css", "text/css; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ],
)
async def test_each_file_comes_typed_guarded_and_revalidated(
    edge: Edge, path: str, kind: str
) -> None:
    async with httpx.AsyncClient(base_url=f"http://{edge.host}", trust_env=False) as client:
        answer = await client.get(path)
        again = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert again.status_code == 304


async def test_pages_hold_no_inline_script_or_style(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=f"http://{edge.host}", trust_env=False) as client:
        for path in ("/", "/pickup/S-001"):
            text = (await client.get(path)).text
            assert " style=" not in text
            assert "<style" not in text
            assert text.count("<script") == text.count('<script type="module" src="/assets/')
