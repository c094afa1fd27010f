"""Sends letters as providers do: signed anew for each attempt, with retries until an answer counts."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Final

import httpx

from gateway.demo.platform import FakePlatform
from tests.chaos import shop
from tests.chaos.history import History
from tests.chaos.letters import Letter

ANSWER_S: Final = 5.0
"""How long senders wait for an answer; Shopify's limit."""
_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0)
"""Ever longer, as providers do (theirs are minutes): thousands that ask again every second would keep a
machine busy that has fallen behind, and this process, which carries every byte of the run, first."""
_AT_ONCE: Final = 64
_RETRIED: Final = frozenset({408, 425, 429, 409})


class Sender:
    """Delivers every letter until it is answered for good; a repeat is a delivery of its own."""

    def __init__(
        self, http: str, token: str, platform: FakePlatform, history: History, seed: int
    ) -> None:
        """Take the address, the token for holds, and the platform behind thin notices."""
        self._http = http
        self._token = token
        self._platform = platform
        self._history = history
        self._chance = Random(seed)  # noqa: S311 - see letters
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._public_key = shop.public_key()
        self.under_way = 0
        self.patience = asyncio.Event()
        """Set when senders shall give up on what is still unanswered."""

    async def send_all(self, letters: list[Letter]) -> None:
        """Send each when it is due; return when all are answered, or given up."""
        limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=16)
        async with (
            httpx.AsyncClient(base_url=self._http, timeout=ANSWER_S, limits=limits) as client,
            asyncio.TaskGroup() as group,
        ):
            for letter in letters:
                await asyncio.sleep(letter.after_s - self._history.now_s())
                group.create_task(self._deliver(client, letter))

    async def _deliver(self, client: httpx.AsyncClient, letter: Letter) -> None:
        if letter.document:
            document = letter.document
            self._platform.keep_order(document.provider, document.ref, document.content)
            if document.provider == "ebay":  # kept anew, as the platform forgets what is old
                self._platform.keep_key(document.provider, *self._public_key)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_answered(client, letter))
            for again_s in letter.again_s:
                await asyncio.sleep(again_s)
                group.create_task(self._until_answered(client, letter))

    async def _until_answered(self, client: httpx.AsyncClient, letter: Letter) -> None:
        attempt = 0
        self.under_way += 1
        try:
            while not self.patience.is_set():
                async with self._room:
                    if await self._attempt(client, letter):
                        return
                pause_s = _PAUSES_S[min(attempt, len(_PAUSES_S) - 1)]
                attempt += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s * self._chance.uniform(0.5, 1.5)):
                        await self.patience.wait()
            self._history.add("gave_up", letter=letter.number)
        finally:
            self.under_way -= 1

    async def _attempt(self, client: httpx.AsyncClient, letter: Letter) -> bool:
        """Post once; tell whether the sender is content with the answer."""
        self._history.add("sent", letter=letter.number)
        try:
            answer = await client.post(
                letter.path, content=letter.body, headers=self._headers(letter)
            )
        except httpx.HTTPError as error:
            self._history.add("lost", letter=letter.number, about=type(error).__name__)
            return False
        self._history.add(
            "answered", letter=letter.number, status=answer.status_code, body=answer.text
        )
        in_flight = "in-flight" in answer.text
        if answer.status_code == httpx.codes.CONFLICT and not in_flight:
            return True
        return answer.status_code < 500 and answer.status_code not in _RETRIED

    def _headers(self, letter: Letter) -> dict[str, str]:
        if letter.kind == "hold":
            return {
                "authorization": f"Bearer {self._token}",
                "idempotency-key": letter.event,
                "content-type": "application/json",
            }
        now = datetime.now(UTC)  # noqa: TID251 - a sender's clock
        body = letter.body + b" " if letter.kind == "forged" else letter.body
        return shop.sign(letter.source, letter.topic, body, event=letter.event, now=now)
