"""What becomes of an order's unassigned units: held where something is unmapped, sold, or routed."""

import msgspec

from config.ids import LocationId, Sku
from handlers.draft import Draft
from handlers.lifecycle import derive_state
from handlers.sell import book_sale
from store.ports import OrderFile
from store.records import Order, OrderLine

PLACE = "UNMAPPED_PLACE"
ITEM = "UNMAPPED_ITEM"


def settle_or_route(draft: Draft, file: OrderFile, *, place: str = "") -> OrderFile:
    """Hold the order where something is unmapped; else have it routed, or book it as sold.

    `place` is what the channel calls the place; a held order remembers it.
    """
    order = file.order
    place = place or place_of(order)
    unmapped = sorted({line.item or line.line_ref for line in _to_place(order) if not line.sku})
    no_place = order.method in {"pickup", "handed_over"} and order.location is None
    _show(draft, file, unmapped, place if no_place else None)
    reasons = ((ITEM,) if unmapped else ()) + ((f"{PLACE}:{place}",) if no_place else ())
    if reasons:
        return _held(draft, file, reasons)
    file = draft.save(
        msgspec.structs.replace(file, order=msgspec.structs.replace(order, hold_reasons=()))
    )
    if order.method == "handed_over":
        return book_sale(draft, file)
    if _to_place(order):
        draft.route(order.id)
        return file
    return _accepted(draft, file)


def remap(draft: Draft, file: OrderFile) -> OrderFile:
    """Look up the lines and the place that had no mapping when the order came."""
    order = file.order
    lines = tuple(
        line if line.sku else msgspec.structs.replace(line, sku=sku_of(draft, order.source, line))
        for line in order.lines
    )
    place = order.location or location_of(draft, order.source, place_of(order))
    order = msgspec.structs.replace(order, lines=lines, location=place)
    return draft.save(msgspec.structs.replace(file, order=order))


def sku_of(draft: Draft, source: str, line: OrderLine) -> Sku:
    """Map by the channel's item id, else by a SKU of the channel that is one of ours, else to none."""
    found = draft.desk.found
    mapped = found.sku_of_item.get((source, line.item))
    if mapped:
        return mapped
    own = Sku(line.channel_sku)
    return own if own in found.skus else Sku("")


def location_of(draft: Draft, source: str, place: str) -> LocationId | None:
    """Return our location for a channel's place, None without one."""
    return draft.facts.directory.location_of(source, place) if place else None  # type: ignore[arg-type]  # NewType of the same string


def _to_place(order: Order) -> list[OrderLine]:
    return [line for line in order.lines if line.requires_shipping and line.unassigned > 0]


def place_of(order: Order) -> str:
    """Return what the channel calls the place that a held order waits for; '' where it does not."""
    reasons = (reason.partition(":") for reason in order.hold_reasons)
    return next((place for code, _, place in reasons if code == PLACE), "")


def _show(draft: Draft, file: OrderFile, unmapped: list[str], place: str | None) -> None:
    """Open or close the order's work items about what the catalog and the network do not know."""
    order = file.order
    if unmapped:
        draft.work_items.open(
            ITEM, order.id, {"source": order.source, "items": unmapped}, file=file
        )
    else:
        draft.work_items.resolve(ITEM, order.id)
    if place is not None:
        draft.work_items.open(PLACE, order.id, {"source": order.source, "place": place}, file=file)
    else:
        draft.work_items.resolve(PLACE, order.id)


def _held(draft: Draft, file: OrderFile, reasons: tuple[str, ...]) -> OrderFile:
    if file.order.hold_reasons == reasons:
        return file
    order = msgspec.structs.replace(file.order, hold_reasons=reasons)
    file = msgspec.structs.replace(file, order=order)
    order = msgspec.structs.replace(order, state=derive_state(file))
    name = "held" if order.state == "held" else "changed"
    return draft.order_event(msgspec.structs.replace(file, order=order), name, ", ".join(reasons))


def _accepted(draft: Draft, file: OrderFile) -> OrderFile:
    """Nothing is to be placed (any more): the order waits for nothing but its fulfilments."""
    draft.work_items.resolve("UNFILLABLE", file.order.id)
    file = msgspec.structs.replace(file, undecided=False)
    if file.order.state not in {"captured", "held"}:
        return draft.save(file)
    accepted = msgspec.structs.replace(file.order, state="accepted")
    file = draft.order_event(msgspec.structs.replace(file, order=accepted), "accepted")
    state = derive_state(file)
    if state == "accepted":
        return file
    order = msgspec.structs.replace(file.order, state=state)
    return draft.order_event(msgspec.structs.replace(file, order=order), "changed")
