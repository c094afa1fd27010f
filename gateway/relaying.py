"""The program of the relay as a child: its settings, then news of commits, come through its input.

A process of its own, so that publishing and the answers to webhooks do not share one interpreter; it
imports no more than a relay needs. The end of its input is the end of its parent.
"""

import asyncio
import os

import msgspec
import uvloop

from config import log
from gateway.relay import RelaySettings, open_relay
from gateway.signals import stop_signal
from outbox.relay import Relay

_INPUT = 0
_NEWS_BYTES_MAX = 65_536


async def work(settings: RelaySettings) -> None:
    """Relay until a signal, or until the parent is gone."""
    async with (
        stop_signal() as stopped,
        open_relay(settings) as relay,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(relay.run(), name="relay")
        loop = asyncio.get_running_loop()
        loop.add_reader(_INPUT, _hear, relay, stopped)
        await stopped.wait()
        loop.remove_reader(_INPUT)
        task.cancel()


def _hear(relay: Relay, stopped: asyncio.Event) -> None:
    if os.read(_INPUT, _NEWS_BYTES_MAX):
        relay.notify()
    else:
        stopped.set()


def main() -> None:
    """Read the settings, one line of JSON, and work."""
    log.configure()
    settings = msgspec.json.decode(_line(), type=RelaySettings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(settings))


def _line() -> bytes:
    """Read a line byte by byte: what follows it is for the loop."""
    line = bytearray()
    while (byte := os.read(_INPUT, 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


if __name__ == "__main__":
    main()
