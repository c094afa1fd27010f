"""How a `/v1` request becomes a message of the batch, and its outcome an answer."""

import hashlib
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response

from config import crash
from config.clock import Clock, to_ms
from config.errors import Conflict, Rejected, Unreadable
from config.ids import IdFactory, MessageId, SourceId
from config.limits import BODY_BYTES_MAX
from gateway.bodies import check_depth, trace_of
from gateway.security import Principal
from handlers.actions import Task
from handlers.intake import Intake
from handlers.message import Message, Outcome

Anything = Request[Any, Any, Any]
T = TypeVar("T")
_KEY_CHARACTERS_MAX = 255


class KeyMissing(Rejected):
    """Send an Idempotency-Key header: a new one for each thing you want done."""

    slug = "idempotency-key-missing"


class InFlight(Conflict):
    """A request with this Idempotency-Key is under way; ask again in a moment."""

    slug = "idempotency-key-in-flight"


class Asking:
    """Sends what people and programs ask through the same batch as webhooks."""

    def __init__(self, intake: Intake, clock: Clock, ids: IdFactory) -> None:
        """Take the way in."""
        self._intake = intake
        self._clock = clock
        self._ids = ids
        self._under_way: set[tuple[str, str]] = set()

    def now(self) -> datetime:
        """Return the present time."""
        return self._clock.now()

    async def ask(
        self,
        request: Anything,
        principal: Principal,
        task: Task,
        *,
        key: str | None = None,
    ) -> Outcome:
        """Do one task; with a key it is done once, and a repeat gets the first answer.

        Raises:
            InFlight: the same key is under way here. KeyReused: it was used for something else.
        """
        body = await request.body()
        now = self._clock.now()
        message_id = MessageId(self._ids.new(to_ms(now)))
        inbox_source = SourceId(f"api:{principal.token_id}")
        message = Message(
            id=message_id,
            source=inbox_source,
            key=key or message_id,
            topic=f"{request.method} {request.scope['path_template']}",
            fingerprint=_fingerprint(request, body),
            body=body,
            received_at=now,
            tasks=(task,),
            by=principal.name,
            traceparent=trace_of(request.headers),
            operator=True,
        )
        claim = (inbox_source, message.key)
        if claim in self._under_way:
            raise InFlight
        self._under_way.add(claim)
        try:
            outcome = await self._intake.submit(message)
        finally:
            self._under_way.discard(claim)
        crash.here("command.before_answer")
        return outcome


def key_of(request: Anything) -> str:
    """Return the idempotency key, quoted or bare; KeyMissing without one.

    Source: draft-ietf-httpapi-idempotency-key-header.
    """
    key = request.headers.get("idempotency-key", "").strip().strip('"')
    if not key:
        raise KeyMissing
    if len(key) > _KEY_CHARACTERS_MAX or not key.isprintable():
        raise Unreadable(
            f"an Idempotency-Key has at most {_KEY_CHARACTERS_MAX} printable characters"
        )
    return key


async def read(request: Anything, form: type[T]) -> T:
    """Decode the request's JSON body strictly; Unreadable names what is wrong."""
    body = await request.body()
    if len(body) > BODY_BYTES_MAX:
        raise Unreadable(f"the body may have at most {BODY_BYTES_MAX} bytes")
    check_depth(body)
    try:
        return msgspec.json.decode(body or b"{}", type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"body: {str(error)[:300]}") from error


def answer(content: bytes, outcome: Outcome | None = None, status: int = 200) -> Response[bytes]:
    """Answer with JSON that is ready; a repeat says so in `Idempotency-Replayed`."""
    replayed = outcome is not None and outcome.name == "duplicate"
    headers = {"Idempotency-Replayed": "true"} if replayed else {}
    return Response(
        content=content, status_code=status, media_type="application/json", headers=headers
    )


def _fingerprint(request: Anything, body: bytes) -> bytes:
    path = str(request.scope["path"])
    return hashlib.sha256(b"\x00".join((request.method.encode(), path.encode(), body))).digest()
