"""What a batch publishes about stock: levels that it adjusted or oversold, and availability."""

from collections import Counter
from typing import Literal

import msgspec

from config.clock import to_us
from config.limits import AVAILABILITY_S
from handlers.desk import Desk, Move
from handlers.draft import Draft
from handlers.stock import watch_levels, watched_exceptions
from store.gate_port import Cell
from store.ports import Lookup, MarketSku, Movement, Offer, Shift, Told, UnitOfWork
from store.records import Availability, AvailableUnits, InventoryLevel, Level

_EVERY_US = int(AVAILABILITY_S * 1_000_000)
Reason = Literal["count", "import", "short_pick"]


class Report(msgspec.Struct, frozen=True):
    """An event about a level: its name, the level it shows, and the operation that caused it."""

    name: Literal["adjusted", "oversold"]
    cell: Cell
    level: Level
    reason: Reason | Literal["oversold", "negative_on_hand"]
    cause: Move


async def publish_levels(desk: Desk, work: UnitOfWork, levels: dict[Cell, Level]) -> None:
    """Tell of every level that this batch adjusted, or left with less than is promised.

    `levels` are as they are after the batch. Most batches only take, and come here with none.
    """
    fallen = await _watch(desk, work, levels)
    reports = [*adjusted(desk.moves, levels), *_oversold(desk.moves, levels, fallen)]
    if not reports:
        return
    counts = Counter(report.cell for report in reports)
    newest = await work.raise_versions(counts)
    for report in reports:
        counts[report.cell] -= 1
        _publish(desk, report, newest[report.cell] - counts[report.cell])


async def _watch(desk: Desk, work: UnitOfWork, levels: dict[Cell, Level]) -> dict[Cell, str]:
    """Open and close the work items of changed levels; return those that are oversold by now."""
    watched = {cell: levels[cell] for cell, (_, shift) in desk.shifts.items() if _matters(shift)}
    if not watched:
        return {}
    open_ones = Lookup(exceptions=watched_exceptions(watched))
    desk.exceptions.update((await work.find(open_ones)).exceptions)
    draft = Draft(desk, "stock")
    fallen = watch_levels(draft, watched)
    draft.accept()
    return fallen


def _matters(shift: Shift) -> bool:
    """Tell whether a change may leave a level below what is promised, or end that."""
    return bool(shift.on_hand or shift.allocated)


def adjusted(moves: list[Move], levels: dict[Cell, Level]) -> list[Report]:
    """Return a report of every adjustment, in order, each with the level as it left it.

    Of a batch's other operations nobody tells when between two adjustments they came: all count as
    before the first.
    """
    left = dict(levels)
    reports = []
    for move in reversed(moves):
        if reason := _reason(move.movement):
            for cell, shift in reversed(move.lines.items()):
                if shift.on_hand or shift.safety:
                    reports.append(Report("adjusted", cell, left[cell], reason, move))
                    left[cell] = _before(left[cell], shift)
    return reports[::-1]


def _reason(movement: Movement) -> Reason | None:
    """Return why an operation adjusts levels; None for one that moves goods or promises.

    What an owner had counted already is given back to a sale of the same message: no adjustment.
    """
    if movement.kind == "counted":
        return None if movement.order_id else "count"
    if movement.kind == "adjusted":
        return "short_pick" if movement.order_id else "import"
    return None


def _before(level: Level, shift: Shift) -> Level:
    return msgspec.structs.replace(
        level,
        on_hand=level.on_hand - shift.on_hand,
        safety=level.safety - shift.safety,
        held=level.held - shift.held,
        allocated=level.allocated - shift.allocated,
    )


def _oversold(
    moves: list[Move], levels: dict[Cell, Level], fallen: dict[Cell, str]
) -> list[Report]:
    """Return a report of every level that fell; the last operation on it is named as its cause."""
    last = {cell: move for move in moves for cell in move.lines if cell in fallen}
    return [
        Report(
            "oversold",
            cell,
            levels[cell],
            "negative_on_hand" if code == "NEGATIVE_ON_HAND" else "oversold",
            last[cell],
        )
        for cell, code in fallen.items()
    ]


def _publish(desk: Desk, report: Report, version: int) -> None:
    level, cell, cause = report.level, report.cell, report.cause
    record = InventoryLevel(
        id=f"level:{cell.sku}@{cell.location}",
        version=version,
        sku=cell.sku,
        location=cell.location,
        market=cause.movement.market,
        on_hand=level.on_hand,
        unavailable=level.unavailable,
        safety=level.safety,
        held=level.held,
        allocated=level.allocated,
        available=level.available,
        reason=report.reason,
        source=cause.source,
        updated_at=desk.facts.now,
    )
    draft = Draft(desk, "stock", traceparent=cause.traceparent)
    draft.events.inventory(record, report.name)
    draft.accept()


async def publish_availability(desk: Desk, work: UnitOfWork) -> None:
    """Tell the availability of the SKUs that a batch was asked for, as it is with this commit.

    What was told within the last second is left: whoever asks sees that, and asks again.
    """
    if not desk.to_tell:
        return
    now_us = to_us(desk.facts.now)
    draft = Draft(desk, "stock")
    for key, offer in (await work.offers(desk.to_tell)).items():
        if is_news(offer) and is_due(offer, now_us):
            version = offer.told.version + 1 if offer.told else 1
            desk.changes.told[key] = Told(version, now_us, offer.units)
            draft.events.inventory(_availability(desk, key, offer, version), "availability_changed")
    draft.accept()


def is_news(offer: Offer) -> bool:
    """Tell whether the availability is another than was told last."""
    return bool(offer.units) if offer.told is None else offer.units != offer.told.units


def is_due(offer: Offer, now_us: int) -> bool:
    """Tell whether a SKU may be told of again; a clock that was set back holds up nothing."""
    return offer.told is None or not 0 <= now_us - offer.told.published_us < _EVERY_US


def _availability(desk: Desk, key: MarketSku, offer: Offer, version: int) -> Availability:
    return Availability(
        id=f"availability:{key.sku}@{key.market}",
        version=version,
        sku=key.sku,
        market=key.market,
        locations=tuple(AvailableUnits(place, n) for place, n in sorted(offer.units.items())),
        updated_at=desk.facts.now,
    )
