"""Holds: stock kept for somebody until it expires, or until an order confirms it."""

from datetime import timedelta

import msgspec

from config.errors import InvalidTransition, NotFound, Rejected
from config.ids import HoldId, LocationId, MarketId
from handlers.actions import EndHold, PlaceHold
from handlers.desk import HoldWish
from handlers.directory import Directory
from handlers.draft import Draft
from handlers.message import Message
from handlers.outcome import Applied
from routing.sourcing.eligibility import may_serve
from store.gate_port import Cell
from store.ports import HoldFile, Shift
from store.records import Hold

encode = msgspec.json.encode


def ask_for_hold(draft: Draft, message: Message, command: PlaceHold) -> Applied:
    """Check a hold and have its stock found after all messages are applied.

    Raises:
        Rejected: the market or the location is not known, or nobody collects there.
    """
    directory = draft.facts.directory
    if command.market not in directory.markets:
        raise Rejected(f"there is no market {command.market!r}")
    if command.location:
        _check_place(directory, command.market, command.location)
    hold = Hold(
        id=HoldId(draft.facts.new_id()),
        market=command.market,
        state="held",
        owner=command.owner,
        lines=(),
        created_at=draft.facts.now,
        expires_at=draft.facts.now + timedelta(seconds=command.ttl_s),
        epoch="",
    )
    draft.step(lambda desk: desk.to_hold.__setitem__(message.id, HoldWish(hold, message)))
    return "applied", None, ""


def _check_place(directory: Directory, market: MarketId, location: LocationId) -> None:
    place = directory.locations.get(location)
    if place is None:
        raise Rejected(f"there is no location {location!r}")
    if place.market != market:
        raise Rejected(f"location {location!r} is in market {place.market!r}, not in {market!r}")
    if not may_serve(place, market, "pickup"):
        raise Rejected(f"nobody collects at {location!r}; choose a store, or leave location out")


def end_hold(draft: Draft, command: EndHold) -> tuple[Applied, bytes]:
    """Give a hold's stock back; ending it twice is harmless. Returns its row as JSON.

    Raises:
        NotFound: no such hold. InvalidTransition: an order has confirmed it.
    """
    file = draft.hold(command.hold_id)
    if file is None:
        raise NotFound(f"there is no hold {command.hold_id}")
    if file.hold.state == "confirmed":
        raise InvalidTransition(f"hold {command.hold_id} is confirmed by an order; cancel that")
    if file.hold.state != "held":
        return ("ignored", None, f"the hold is {file.hold.state} already"), encode(file.hold)
    if command.expired and file.hold.expires_at > draft.facts.now:
        return ("ignored", None, "the hold has not expired"), encode(file.hold)
    cells: dict[Cell, Shift] = {}
    for line in file.hold.lines:
        cell = Cell(line.sku, line.location)
        cells[cell] = cells.get(cell, Shift()).plus(Shift(held=-line.quantity))
    state = "expired" if command.expired else "released"
    draft.move("hold_released", file.hold.market, cells, reason=state)
    hold = msgspec.structs.replace(file.hold, state=state)
    draft.save_hold(HoldFile(hold, file.lock))
    return ("applied", None, ""), encode(hold)
