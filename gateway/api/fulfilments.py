"""`/v1/fulfilments`: what staff do with the goods of an order at their location."""

from typing import Annotated, get_args

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath

from config.errors import Forbidden, NotFound, Rejected
from config.ids import FulfilmentId
from gateway.api.asking import Anything, Asking, answer, read
from gateway.security import Tokens
from handlers.actions import ActOnFulfilment, FulfilmentAction, ShortUnits
from handlers.commands import Text
from store.readers import Reader


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version that the decision was made on, and what some actions need besides."""

    version: Annotated[int, msgspec.Meta(ge=0)]
    reason: Text = ""
    tracking: Text = ""
    lines: tuple[ShortUnits, ...] = ()


def fulfilments_routes(reader: Reader, asking: Asking, tokens: Tokens) -> Router:
    """Return the router of `/v1/fulfilments`."""

    @post(
        "/{fulfilment_id:str}/{action:str}",
        summary="Move a fulfilment on",
        name="fulfilments.act",
        status_code=200,
    )
    async def act(
        request: Anything, fulfilment_id: FromPath[str], action: FromPath[str]
    ) -> Response[bytes]:
        principal = await tokens.of(request)
        fulfilment = await reader.fulfilment(FulfilmentId(fulfilment_id))
        if fulfilment is None:
            if not principal.may("orders:write"):
                raise Forbidden("this token may not see this fulfilment")
            raise NotFound(f"there is no fulfilment {fulfilment_id}")
        if not principal.may("orders:write"):
            principal.must(f"board:{fulfilment.location}")
        asked = await read(request, Act)
        task = ActOnFulfilment(
            fulfilment_id=fulfilment.id,
            action=_action(action),
            version=asked.version,
            reason=asked.reason,
            tracking=asked.tracking,
            lines=asked.lines,
        )
        key = request.headers.get("idempotency-key", "").strip().strip('"') or None
        outcome = await asking.ask(request, principal, task, key=key)
        return answer(outcome.answer or b"{}", outcome)

    return Router("/v1/fulfilments", route_handlers=[act], tags=["fulfilments"])


def _action(text: str) -> FulfilmentAction:
    known = get_args(FulfilmentAction)
    if text not in known:
        raise Rejected(f"there is no action {text[:40]!r}; there are: {', '.join(known)}")
    action: FulfilmentAction = text  # type: ignore[assignment]  # it is one of the literals
    return action
