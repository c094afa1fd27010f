"""Logs: one JSON line per event, `noun.verb` plus ids; never payloads, secrets or personal data."""

import logging
import re
import sys
from typing import TextIO

import structlog

Log = structlog.typing.FilteringBoundLogger

# Tokens of ours, bearers, webhook secrets, keys, and passwords within addresses; exceptions hold texts.
_SECRET_TEXT = re.compile(
    r"imv_[\w-]{16,}|(?<=bearer )\S+|whsec_\S+|(?<=://)[^/\s@]*:[^/\s@]*(?=@)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*",
    re.IGNORECASE,
)
_SECRET_WORDS = ("secret", "token", "password", "authorization", "cookie", "signature")


def configure(*, stream: TextIO = sys.stderr, level: str = "info") -> None:
    """Send everything, the libraries' lines too, as JSON lines to one stream."""
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]
    structlog.configure(
        processors=[*chain, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "alembic", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get_log(name: str) -> Log:
    """Return the log of one room; the name is the room's."""
    log: Log = structlog.get_logger(room=name)
    return log


def _redact(
    _log: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {key: _shown(key, value) for key, value in event.items()}


def _shown(key: str, value: object) -> object:
    """Return a value without what its name, or a part of its text, says is secret."""
    if any(word in key.lower() for word in _SECRET_WORDS):
        return "[redacted]"
    if isinstance(value, str):
        return _SECRET_TEXT.sub("[redacted]", value)
    if isinstance(value, dict):
        return {name: _shown(str(name), one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(key, one) for one in value]
    return value
