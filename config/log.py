"""Logs: one JSON line per event, `noun.verb` plus ids; never payloads, secrets or personal data."""

import logging
import sys
from typing import TextIO

import structlog

Log = structlog.typing.FilteringBoundLogger

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
    for key in event:
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "[redacted]"
    return event
