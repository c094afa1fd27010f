"""What the log never shows, whatever it is given."""

import io
import logging

import structlog

from config import log

TOKEN = "imv_" + "a" * 43


def _written(**event: object) -> str:
    stream = io.StringIO()
    log.configure(stream=stream)
    try:
        log.get_log("test").warning("thing.happened", **event)
        logging.getLogger("library").warning("connecting with %s", event)
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers = []
    return stream.getvalue()


def test_secrets_are_redacted_by_name_and_by_form() -> None:
    text = _written(
        exc_info=OSError(f"refused: nats://imv:pass-word-1@127.0.0.1 with Bearer {TOKEN}"),
        x_shopify_signature="c2lnbmVk",
        headers={"Authorization": "Basic Zm9v", "more": [{"cookie": "biscuit"}]},
        url="postgresql+asyncpg://imv:pass-word-2@db/imv",
        reason=f"{TOKEN} whsec_MfKQ9r8G",
    )
    secret = ["pass-word-1", "pass-word-2", TOKEN, "c2lnbmVk", "Zm9v", "biscuit", "MfKQ9r8G"]
    ours, _, library = text.partition("\n")
    assert [one for one in secret if one in ours] == []
    assert "127.0.0.1" in ours
    assert [one for one in ("pass-word-2", TOKEN, "MfKQ9r8G") if one in library] == []
