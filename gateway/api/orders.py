"""`/v1/orders`: search, one order, its timeline and its route; place and cancel by hand."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from config.errors import NotFound, Rejected
from config.ids import MarketId, OrderId
from config.limits import ORDER_LINES_MAX
from gateway.api.asking import Anything, Asking, answer, key_of, read
from gateway.api.bodies import Route
from gateway.security import Tokens
from handlers.actions import PlaceByHand
from handlers.commands import (
    CancelOrder,
    Currency,
    Delivery,
    LineAsked,
    LineQuantity,
    OrderKey,
    PlaceOrder,
    Text,
)
from handlers.directory import Directory
from routing.sourcing.explain import explain
from routing.sourcing.problem import RoutePlan
from store.readers import Reader
from store.records import Order

ASSISTED = "assisted"
_REF_CHARACTERS_MAX = 200
encode = msgspec.json.encode
decode_plan = msgspec.json.Decoder(RoutePlan).decode


class NewOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order placed by hand (assisted selling, customer service). SKUs and places are ours."""

    market: str
    lines: Annotated[tuple[LineAsked, ...], msgspec.Meta(min_length=1, max_length=ORDER_LINES_MAX)]
    currency: Currency
    order_ref: Annotated[str, msgspec.Meta(max_length=200)] = ""
    number: Text = ""
    placed_at: datetime | None = None
    delivery: Delivery = Delivery()
    total_minor: int = 0
    tax_minor: int = 0
    shipping_minor: int = 0
    customer_label: Annotated[str, msgspec.Meta(max_length=40)] = ""
    hold_id: Text = ""


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to cancel; everything that is open when `lines` is empty."""

    reason: Text = ""
    lines: tuple[LineQuantity, ...] = ()


class Found(msgspec.Struct, frozen=True):
    """A page of orders, newest first; pass `after` on to go on."""

    orders: list[Order]
    after: str | None


def orders_routes(  # noqa: C901 - the routes of one entity, each a few lines
    reader: Reader, asking: Asking, tokens: Tokens, directory: Directory
) -> Router:
    """Return the router of `/v1/orders`."""

    @get("/", summary="Search orders", name="orders.search")
    async def search(
        request: Anything,
        source: FromQuery[str] = "",
        external_id: FromQuery[str] = "",
        order_state: Annotated[str, QueryParameter(name="state")] = "",
        after: FromQuery[str] = "",
    ) -> Found:
        (await tokens.of(request)).must("orders:read")
        page = await reader.search_orders(
            source=source, external_id=external_id, state=order_state, after=after
        )
        return Found(page.orders, page.after)

    @get("/{order_id:str}", summary="One order with its fulfilments", name="orders.one")
    async def one(request: Anything, order_id: FromPath[str]) -> Response[bytes]:
        (await tokens.of(request)).must("orders:read")
        return answer(await _order_json(reader, OrderId(order_id)))

    @get("/{order_id:str}/timeline", summary="What happened to the order", name="orders.timeline")
    async def timeline(request: Anything, order_id: FromPath[str]) -> Response[bytes]:
        (await tokens.of(request)).must("orders:read")
        _, history, _ = await _parts(reader, OrderId(order_id))
        return answer(b'{"id":' + encode(order_id) + b',"timeline":' + history + b"}")

    @get("/{order_id:str}/route", summary="Why it was routed so", name="orders.route")
    async def route(request: Anything, order_id: FromPath[str]) -> Response[bytes]:
        (await tokens.of(request)).must("orders:read")
        _, _, plan = await _parts(reader, OrderId(order_id))
        return answer(encode(await _explained(reader, order_id, plan)))

    @post("/", summary="Place an order by hand", name="orders.place", status_code=201)
    async def place(request: Anything) -> Response[bytes]:
        principal = await tokens.of(request)
        principal.must("orders:write")
        key = key_of(request)
        new = await read(request, NewOrder)
        if MarketId(new.market) not in directory.markets:
            raise Rejected(f"there is no market {new.market!r}")
        source = f"{ASSISTED}:{new.market}"
        # A key belongs to its token, so what it names by default does too.
        ref = new.order_ref or f"{principal.token_id}:{key}"[:_REF_CHARACTERS_MAX]
        order = _place(new, source, ref, asking.now())
        outcome = await asking.ask(request, principal, PlaceByHand(order), key=key)
        return answer(encode({"order_id": outcome.order_id}), outcome, 201)

    @post("/{order_id:str}/cancel", summary="Cancel units or the order", name="orders.cancel")
    async def cancel(request: Anything, order_id: FromPath[str]) -> Response[bytes]:
        principal = await tokens.of(request)
        principal.must("orders:write")
        key = key_of(request)
        asked = await read(request, Cancel)
        order = await reader.order(OrderId(order_id))
        if order is None:
            raise NotFound(f"there is no order {order_id}")
        command = CancelOrder(
            order=OrderKey(source=order.source, ref=order.external_id),
            reason=asked.reason or "cancelled by hand",
            lines=asked.lines,
        )
        outcome = await asking.ask(request, principal, command, key=key)
        return answer(encode({"order_id": outcome.order_id, "reason": outcome.reason}), outcome)

    handlers: list[Any] = [search, one, timeline, route, place, cancel]
    return Router("/v1/orders", route_handlers=handlers, tags=["orders"])


def _place(new: NewOrder, source: str, ref: str, now: datetime) -> PlaceOrder:
    return PlaceOrder(
        order=OrderKey(source=source, ref=ref),
        version=1,
        number=new.number,
        placed_at=new.placed_at or now,
        currency=new.currency,
        lines=new.lines,
        delivery=new.delivery,
        total_minor=new.total_minor,
        tax_minor=new.tax_minor,
        shipping_minor=new.shipping_minor,
        customer_label=new.customer_label,
        hold_id=new.hold_id,
    )


async def _parts(reader: Reader, order_id: OrderId) -> tuple[bytes, bytes, bytes | None]:
    parts = await reader.order_parts(order_id)
    if parts is None:
        raise NotFound(f"there is no order {order_id}")
    return parts


async def _explained(reader: Reader, order_id: str, stored: bytes | None) -> Route:
    if stored is None:
        return Route(order_id, None)
    plan = decode_plan(stored)
    network = await reader.network(plan.inputs.network)
    if network is None:
        return Route(order_id, plan)
    why = explain(plan, network)
    return Route(order_id, plan, why.rejected, why.inputs_hash)


async def _order_json(reader: Reader, order_id: OrderId) -> bytes:
    document, _, _ = await _parts(reader, order_id)
    groups = await reader.fulfilments_of(order_id)
    return document[:-1] + b',"fulfilments":' + encode(groups) + b"}"
