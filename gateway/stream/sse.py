"""One topic as server-sent events: the same frames, with `id: <cursor>`."""

import asyncio
import functools
from collections.abc import AsyncGenerator
from typing import Any, Final

from gateway.stream.hub import Hub
from gateway.stream.mailbox import Mailbox
from gateway.stream.ports import Principal
from gateway.stream.protocol import Cursor, Frame
from gateway.stream.topics import Topic

RETRY_MS: Final = 3000


async def server_sent_events(
    hub: Hub, principal: Principal, topic: Topic, since: Cursor | None
) -> AsyncGenerator[str, None]:
    """Yield the topic's frames until the client goes; nobody answers pings on this way.

    Raises:
        Overloaded: there are too many streams.
    """
    mailbox = hub.join(principal.token_id, pongs=False)
    mailbox.cut = functools.partial(_cut_off, hub, mailbox, asyncio.current_task())
    hub.subscribe(mailbox, topic, since)
    try:
        yield f"retry: {RETRY_MS}\n\n"
        while frame := await mailbox.take():
            yield _event_text(frame)
    finally:
        hub.leave(mailbox)


def _cut_off(hub: Hub, mailbox: Mailbox, task: asyncio.Task[Any] | None) -> None:
    """End a stream whose client does not read: the server's task is blocked in a send."""
    hub.leave(mailbox)
    if task:
        task.cancel()


def _event_text(frame: Frame) -> str:
    cursor = f"id: {frame.cursor}\n" if frame.cursor else ""
    # Our JSON has no line breaks outside of strings, and inside they are escaped; a sender of
    # events could still break lines between tokens.
    data = "\n".join(f"data: {line}" for line in frame.text.split("\n"))
    return f"{cursor}event: {frame.kind}\n{data}\n\n"
