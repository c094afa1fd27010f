"""`/v1/holds`: keep stock for a while, give it back, look at it."""

from litestar import Response, Router, delete, get, post
from litestar.params import FromPath
from msgspec.json import encode

from config.errors import NotFound
from config.ids import HoldId
from gateway.api.asking import Anything, Asking, answer, key_of, read
from gateway.security import Tokens
from handlers.actions import EndHold, PlaceHold
from store.readers import Reader


def holds_routes(reader: Reader, asking: Asking, tokens: Tokens) -> Router:
    """Return the router of `/v1/holds`."""

    @post("/", summary="Hold stock with an expiry", name="holds.place", status_code=201)
    async def place(request: Anything) -> Response[bytes]:
        principal = await tokens.of(request)
        principal.must("orders:write")
        key = key_of(request)
        outcome = await asking.ask(request, principal, await read(request, PlaceHold), key=key)
        return answer(outcome.answer or b"{}", outcome, 201)

    @get("/{hold_id:str}", summary="One hold", name="holds.one")
    async def one(request: Anything, hold_id: FromPath[str]) -> Response[bytes]:
        (await tokens.of(request)).must("orders:read")
        hold = await reader.hold(HoldId(hold_id))
        if hold is None:
            raise NotFound(f"there is no hold {hold_id}")
        return answer(encode(hold))

    @delete("/{hold_id:str}", summary="Give a hold back", name="holds.release", status_code=200)
    async def release(request: Anything, hold_id: FromPath[str]) -> Response[bytes]:
        principal = await tokens.of(request)
        principal.must("orders:write")
        outcome = await asking.ask(request, principal, EndHold(hold_id=HoldId(hold_id)))
        return answer(outcome.answer or b"{}", outcome)

    return Router("/v1/holds", route_handlers=[place, one, release], tags=["holds"])
