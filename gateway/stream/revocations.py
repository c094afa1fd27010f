"""Closes the streams of tokens that were revoked elsewhere: by another worker, or by a command."""

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

from config.errors import Unavailable
from config.log import get_log
from gateway.stream.hub import Hub


class Revoked(Protocol):
    """Knows which tokens are revoked."""

    async def revoked(self, token_ids: Collection[str]) -> set[str]:
        """Return those of the tokens that are revoked; EngineDown without the database."""
        ...


class Revocations:
    """Looks every few seconds; one question for all streams of this process."""

    def __init__(self, tokens: Revoked, hub: Hub, *, forget: Callable[[], None]) -> None:
        """Take `forget`, after which every token is looked up again."""
        self._tokens = tokens
        self._hub = hub
        self._forget = forget
        self._log = get_log("gateway.stream")

    async def run(self) -> None:
        """Look until cancelled; without the database nobody can be told apart, so nobody goes."""
        while True:
            try:
                await self._look()
            except Unavailable as error:
                self._log.info("revocations.unknown", reason=error.detail)
            await asyncio.sleep(self._hub.pace.watch_s)

    async def _look(self) -> None:
        here = self._hub.token_ids
        gone = await self._tokens.revoked(here) if here else set()
        if gone:
            self._forget()  # first: who comes back at once must be refused
        for token_id in gone:
            self._hub.close_sessions(token_id)
