"""Routes of operators: imports, tokens, exceptions, messages, availability, locations."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, FromQuery

from config.clock import Clock, to_us
from config.errors import NotFound, Rejected
from config.ids import LocationId, MarketId, Sku
from gateway.api.asking import Anything, Asking, answer, read
from gateway.security import OPERATOR, Tokens
from handlers.actions import ImportCatalog, ImportStock
from handlers.directory import Directory
from store.gate_port import Gate, GateClosed
from store.readers import Reader
from store.records import Level
from store.tokens import Actor, TokenRow, TokenStore

encode = msgspec.json.encode
_FEW = 5
NewId = Callable[[], str]
Close = Callable[[str], object]


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token's scopes, and a note for people."""

    scopes: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=50)]
    note: Annotated[str, msgspec.Meta(max_length=100)] = ""


def imports_routes(asking: Asking, tokens: Tokens, directory: Directory) -> Router:
    """Return the router of `/v1/imports`."""

    @post("/stock", summary="Set levels, all or none", name="imports.stock", status_code=200)
    async def stock(request: Anything) -> Response[bytes]:
        principal = await tokens.of(request)
        principal.must(OPERATOR)
        task = await read(request, ImportStock)
        if unknown := sorted({row.location for row in task.rows} - set(directory.locations)):
            raise Rejected(f"there are no locations {', '.join(unknown)}", unknown=unknown)
        outcome = await asking.ask(request, principal, task)
        return answer(encode({"reason": outcome.reason}), outcome)

    @post("/catalog", summary="Set items, all or none", name="imports.catalog", status_code=200)
    async def catalog(request: Anything) -> Response[bytes]:
        principal = await tokens.of(request)
        principal.must(OPERATOR)
        outcome = await asking.ask(request, principal, await read(request, ImportCatalog))
        return answer(encode({"reason": outcome.reason}), outcome)

    return Router("/v1/imports", route_handlers=[stock, catalog], tags=["operations"])


def tokens_routes(
    store: TokenStore, tokens: Tokens, clock: Clock, *, new_id: NewId, close_sessions: Close
) -> Router:
    """Return the router of `/v1/tokens`; revoking one closes its sockets at once."""

    @post("/", summary="Make a token; shown once", name="tokens.create", status_code=201)
    async def create(request: Anything) -> dict[str, Any]:
        principal = await tokens.of(request)
        principal.must(OPERATOR)
        new = await read(request, NewToken)
        if not (new.note + "".join(new.scopes)).isprintable():
            raise Rejected("scopes and note must be printable text")
        row = TokenRow(new_id(), new.scopes, new.note, to_us(clock.now()))
        made = await store.create(row, Actor(principal.name, principal.token_id))
        return {"id": row.id, "token": made, "scopes": list(row.scopes)}

    @delete("/{token_id:str}", summary="Revoke a token", name="tokens.revoke", status_code=204)
    async def revoke(request: Anything, token_id: FromPath[str]) -> None:
        principal = await tokens.of(request)
        principal.must(OPERATOR)
        by = Actor(principal.name, principal.token_id)
        if not await store.revoke(token_id, to_us(clock.now()), by):
            raise NotFound(f"there is no live token {token_id}")
        tokens.forget()
        close_sessions(token_id)

    return Router("/v1/tokens", route_handlers=[create, revoke], tags=["operations"])


def looking_routes(reader: Reader, gate: Gate, tokens: Tokens, directory: Directory) -> Router:
    """Return the router of what operators and systems look at."""

    @get("/exceptions", summary="Work items, newest first", name="exceptions.search")
    async def exceptions(
        request: Anything, status: FromQuery[str] = "open", after: FromQuery[str] = ""
    ) -> Response[bytes]:
        (await tokens.of(request)).must("orders:read")
        rows = await reader.exceptions(state="" if status == "all" else status, after=after)
        return answer(b'{"exceptions":[' + b",".join(rows) + b"]}")

    @get("/messages", summary="The newest messages, without bodies", name="messages.search")
    async def messages(
        request: Anything, source: FromQuery[str] = "", outcome: FromQuery[str] = ""
    ) -> dict[str, Any]:
        (await tokens.of(request)).must(OPERATOR)
        rows = await reader.messages(source=source, outcome=outcome)
        names = ("id", "source", "key", "topic", "received_us", "outcome", "reason", "order_id")
        return {"messages": [{name: getattr(row, name) for name in names} for row in rows]}

    @get("/locations", summary="The places of the network", name="locations")
    async def locations(request: Anything) -> dict[str, Any]:
        principal = await tokens.of(request)
        places = [
            {"id": p.id, "name": p.name, "kind": p.kind, "market": p.market, "pickup": p.pickup}
            for p in directory.network.locations
            if principal.may("orders:read") or principal.may(f"board:{p.id}")
        ]
        return {"locations": places}

    @get("/availability/{sku:str}", summary="What can be promised", name="availability")
    async def availability(
        request: Anything, sku: FromPath[str], market: FromQuery[str] = ""
    ) -> dict[str, Any]:
        (await tokens.of(request)).must("orders:read")
        rows = await reader.levels(sku, market)
        if not rows:
            raise NotFound(f"nothing is known of {sku}")
        free, fresh = await _from_gate(gate, Sku(sku), rows)
        return {
            "sku": sku,
            "freshness": fresh,
            "locations": [
                {"location": row["location"], "band": _band(free[row["location"]])} for row in rows
            ],
        }

    handlers: list[Any] = [exceptions, messages, locations, availability]
    return Router("/v1", route_handlers=handlers, tags=["operations"])


async def _from_gate(
    gate: Gate, sku: Sku, rows: list[dict[str, Any]]
) -> tuple[dict[LocationId, int], str]:
    """Return units free per location, from the gate or (when it is closed) from the ledger."""
    markets = {MarketId(row["market"]) for row in rows}
    names = tuple(Level.__struct_fields__)
    levels = [Level(**{name: row[name] for name in names}) for row in rows]
    free = {level.location: level.available for level in levels}
    try:
        for market in markets:
            free |= (await gate.available(market, frozenset({sku}))).get(sku, {})
    except GateClosed:
        return free, "ledger"
    return free, "gate"


def _band(units: int) -> str:
    if units <= 0:
        return "none"
    return "few" if units <= _FEW else "many"
