"""`/webhooks/{source}`: verify over the raw bytes, decode, hand to the intake, answer.

An ASGI application before the framework, whose own handling costs more than all of this.
"""

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, cast
from urllib.parse import parse_qsl

import msgspec
from litestar.types import HTTPScope, Receive, Scope, Send

from config import crash
from config.clock import Clock, to_ms
from config.errors import ImvError, NotFound, Overloaded, Unauthenticated, Unreadable
from config.ids import IdFactory, MessageId, SourceId
from config.log import get_log
from gateway.bodies import check_depth, headers_of, read_body, trace_of
from gateway.metrics import Metrics
from gateway.problems import problem_of
from gateway.rates import Rates, address_of
from handlers.commands import Suspect
from handlers.intake import Intake
from handlers.message import Message, Outcome
from handlers.sources.channel import Answer, Channel, Decoded, Request

_log = get_log("edge")
WEBHOOKS: Final = "/webhooks/"
_TARGET: Final = WEBHOOKS.encode()
_UNKNOWN: Final = SourceId("unknown")
_STATUS: Final = {"accepted": 202, "parked": 202, "quarantined": 202}
_SECRET: Final = ("authorization", "cookie", "signature", "hmac", "token")
_HANDSHAKES: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a webhook is answered with."""

    outcome: str
    message_id: str
    order_id: str | None = None
    reason: str = ""


class Webhooks:
    """The ASGI application behind `/webhooks`."""

    def __init__(  # noqa: PLR0913 - wired once
        self,
        *,
        channels: Mapping[SourceId, Channel],
        intake: Intake,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        refusals: Rates,
        limited: Mapping[SourceId, Rates],
        body_bytes_max: int,
    ) -> None:
        """Take one channel for each configured source, the way in, and who is limited to what."""
        self._channels = channels
        self._intake = intake
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._refusals = refusals
        self._limited = limited
        self._body_bytes_max = body_bytes_max

    def door(self, method: bytes, target: bytes) -> ImvError | None:
        """Return why a request would be refused whatever it says; see `gateway.transport.Door`.

        A refusal must cost little when there are many, so this is asked before anything is read.
        """
        if method != b"POST" or not target.startswith(_TARGET) or self._intake.has_room():
            return None
        path = target.removeprefix(_TARGET).partition(b"?")[0].decode("latin-1")
        refusal = Overloaded()
        self._metrics.turned_away(self._known(path), refusal.slug)
        return refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error of ours becomes a problem, a defect a bare 500."""
        http = cast("HTTPScope", scope)  # chosen for HTTP only
        path = http["path"]
        source = SourceId(path.removeprefix(WEBHOOKS).strip("/"))
        request_id = str(scope.get("state", {}).get("request_id", ""))
        started = self._clock.monotonic()
        known = self._known(source)
        try:
            answer, outcome = await self._answer(source, http, receive)
        except Exception as failure:  # noqa: BLE001 - a defect is answered, and shown in the log only
            error = failure if isinstance(failure, ImvError) else _defect(source, failure)
            status, body, headers = problem_of(error, request_id)
            self._metrics.webhook(known, error.slug, self._clock.monotonic() - started)
            await _send(send, status, body, headers)
            return
        self._metrics.webhook(known, outcome, self._clock.monotonic() - started)
        crash.here("webhook.before_answer")
        await _send(send, answer.status, answer.body, {"content-type": answer.content_type})
        crash.here("webhook.answered")

    def _known(self, path: str) -> SourceId:
        """Return the configured source that a path below `/webhooks/` names, for counting."""
        source = SourceId(path.strip("/"))
        return source if source in self._channels else _UNKNOWN

    async def _answer(
        self, source: SourceId, scope: HTTPScope, receive: Receive
    ) -> tuple[Answer, str]:
        method = str(scope["method"])
        headers = headers_of(scope)
        body = await read_body(receive, headers, self._body_bytes_max)
        request = Request(
            method=method,
            headers=headers,
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            body=body,
            received_at=self._clock.now(),
        )
        if method in _HANDSHAKES:
            return _handshake(self._channels.get(source), request), "handshake"
        if method != "POST":
            raise NotFound("webhooks are sent with POST")
        channel = await self._verified(source, request, address_of(scope["client"]))
        if rates := self._limited.get(source):
            rates.take(source)
        crash.here("webhook.verified")
        message = self._message(source, channel, request)
        crash.here("webhook.decoded")
        outcome = await self._intake.submit(message)
        return _answer_of(outcome), outcome.name

    async def _verified(self, source: SourceId, request: Request, address: str) -> Channel:
        """Verify; the sender learns nothing of what was wrong, nor that the source exists.

        Only what is refused is counted, so that nobody can use up what a genuine sender needs.
        """
        channel = self._channels.get(source)
        if channel is None:
            _cost_of_verifying(request.body)
            self._refusals.take(address)
            raise Unauthenticated
        try:
            await channel.verify(request)
        except Unauthenticated as refused:
            self._refusals.take(address)  # first: a flood must not flood the log either
            _log.warning("webhook.refused", source=source, reason=refused.detail)
            raise Unauthenticated from None
        return channel

    def _message(self, source: SourceId, channel: Channel, request: Request) -> Message:
        """Decode; what is genuine but not readable is kept in quarantine, never lost."""
        digest = hashlib.sha256(request.body).digest()
        try:
            check_depth(request.body)
            decoded = channel.decode(request)
            _check_text(decoded.key + decoded.topic)
        except Unreadable as error:
            decoded = Decoded(
                key=f"unreadable:{digest.hex()}",
                topic="unreadable",
                commands=(Suspect(reason=error.detail[:500]),),
            )
        return Message(
            id=MessageId(self._ids.new(to_ms(request.received_at))),
            source=source,
            key=decoded.key,
            topic=decoded.topic,
            fingerprint=decoded.fingerprint or digest,
            headers=_kept_headers(request.headers),
            body=request.body,
            received_at=request.received_at,
            tasks=decoded.commands,
            by=f"webhook of {source}",
            traceparent=trace_of(request.headers),
        )


def _defect(source: SourceId, failure: Exception) -> ImvError:
    _log.error("webhook.defect", source=source, exc_info=failure)
    return ImvError()


def _check_text(text: str) -> None:
    """Refuse what no database column can hold."""
    if "\x00" in text:
        raise Unreadable("an id holds a NUL character")


def _handshake(channel: Channel | None, request: Request) -> Answer:
    answer = channel.handshake(request) if channel else None
    if answer is None:
        raise NotFound("webhooks are sent with POST")
    return answer


def _cost_of_verifying(body: bytes) -> None:
    """Spend what a real check would, so that an unknown source answers like a bad signature."""
    hmac.compare_digest(hmac.digest(b"nobody", body, "sha256"), bytes(32))


def _answer_of(outcome: Outcome) -> Answer:
    body = Taken(outcome.name, outcome.message_id, outcome.order_id, outcome.reason)
    return Answer(_STATUS.get(outcome.name, 200), msgspec.json.encode(body))


def _kept_headers(headers: Mapping[str, str]) -> bytes:
    """Return the headers that a replay needs as JSON; nothing secret among them."""
    kept = {name: value for name, value in headers.items() if not _is_secret(name)}
    return msgspec.json.encode(kept)


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    """Tell whether a header's value is not to be kept; senders repeat the same few names."""
    return any(word in name for word in _SECRET)


async def _send(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    lines.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})
