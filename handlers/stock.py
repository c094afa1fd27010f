"""Stock facts: counts from the channels that own them, and imports by operators."""

from collections.abc import Iterable

from config.errors import Rejected
from config.ids import LocationId, MarketId, Sku, SourceId
from handlers.actions import ImportCatalog, ImportStock
from handlers.commands import Count, CountStock
from handlers.desk import Facts
from handlers.draft import Draft
from handlers.outcome import Applied, together
from handlers.work_items import What
from store.gate_port import Cell
from store.ports import Found, Shift
from store.records import Level

_WATCHED = ("NEGATIVE_ON_HAND", "OVERSOLD")


def cell_of(facts: Facts, found: Found, source: SourceId, count: Count) -> Cell | None:
    """Return our cell for a channel's count, None where its item or place has no mapping."""
    location = facts.directory.location_of(source, count.place)
    sku = found.sku_of_item.get((source, count.item))
    if sku is None and count.sku in found.skus:
        sku = Sku(count.sku)
    return Cell(sku, location) if sku and location else None


def count_stock(draft: Draft, source: SourceId, command: CountStock) -> Applied:
    """Set on-hand where the source owns the location's stock; elsewhere only show a difference."""
    return together([_count(draft, source, one) for one in command.counts])


def _count(draft: Draft, source: SourceId, count: Count) -> Applied:
    facts = draft.facts
    cell = cell_of(facts, draft.desk.found, source, count)
    if cell is None:
        return _unmapped(draft, source, count)
    draft.work_items.resolve("UNMAPPED_PLACE", f"{source}:{count.place}")
    draft.work_items.resolve("UNMAPPED_ITEM", f"{source}:{count.item or count.sku}")
    level = draft.level(cell)
    if count.version < level.counted_version:
        return "ignored", None, "stale: a newer count was applied before"
    on_hand = count.quantity
    if count.meaning == "available":
        # What the channel would still sell, plus what its own orders hold here, is what is there.
        on_hand += draft.committed(source, cell) + level.unavailable
    if not facts.directory.owns_stock(source, cell.location):
        return _compare(draft, source, cell, level, on_hand)
    # Channels with whole seconds count twice in one: nobody knows which is newer, so the lower stands.
    if count.version == level.counted_version and on_hand >= level.on_hand:
        return "ignored", None, "stale: a count of this version was applied before"
    change = Shift(on_hand=on_hand - level.on_hand, counted_version=count.version)
    draft.move("counted", _market(facts, cell.location), {cell: change}, reason=f"by {source}")
    return "applied", None, ""


def _compare(draft: Draft, source: SourceId, cell: Cell, level: Level, on_hand: int) -> Applied:
    subject = f"{source}:{cell.sku}@{cell.location}"
    if on_hand == level.on_hand:
        draft.work_items.resolve("STOCK_DIFFERENCE", subject)
        return "ignored", None, "this source does not own the location's stock; the levels agree"
    what: What = {
        "source": source,
        "sku": cell.sku,
        "theirs": on_hand,
        "ours": level.on_hand,
    }
    draft.work_items.open("STOCK_DIFFERENCE", subject, what, location=cell.location)
    return "ignored", None, "this source does not own the location's stock; the difference is shown"


def _unmapped(draft: Draft, source: SourceId, count: Count) -> Applied:
    place = draft.facts.directory.location_of(source, count.place)
    if place is None:
        what: What = {"source": source, "place": count.place}
        draft.work_items.open("UNMAPPED_PLACE", f"{source}:{count.place}", what)
        return "ignored", None, f"place {count.place} has no mapping"
    item = count.item or count.sku
    draft.work_items.open("UNMAPPED_ITEM", f"{source}:{item}", {"source": source, "items": [item]})
    return "ignored", None, f"item {item} has no mapping"


def import_stock(draft: Draft, command: ImportStock) -> Applied:
    """Set on-hand and safety stock of every row; one movement for each market.

    Raises:
        Rejected: a row's location is not in our network; no row is applied.
    """
    facts = draft.facts
    if unknown := sorted({row.location for row in command.rows} - set(facts.directory.locations)):
        raise Rejected(f"there are no locations {', '.join(unknown)}", unknown=unknown)
    by_market: dict[MarketId, dict[Cell, Shift]] = {}
    for row in command.rows:
        cell = Cell(row.sku, row.location)
        level = draft.level(cell)
        change = Shift(on_hand=row.on_hand - level.on_hand, safety=row.safety_stock - level.safety)
        by_market.setdefault(_market(facts, row.location), {})[cell] = change
    for market, cells in by_market.items():
        draft.move("adjusted", market, cells, reason=f"import by {draft.by}")
    return "applied", None, f"{len(command.rows)} levels"


def import_catalog(draft: Draft, command: ImportCatalog) -> Applied:
    """Add or replace items with what the channels call them."""
    draft.step(lambda desk: desk.changes.catalog.extend(command.items))
    for item in command.items:
        for source, external in item.external:
            draft.work_items.resolve("UNMAPPED_ITEM", f"{source}:{external}")
    return "applied", None, f"{len(command.items)} items"


def watched_exceptions(levels: Iterable[Cell]) -> set[tuple[str, str]]:
    """Return the work items that `watch_levels` may open or close."""
    return {(_subject(cell), code) for cell in levels for code in _WATCHED}


def watch_levels(draft: Draft, levels: dict[Cell, Level]) -> dict[Cell, str]:
    """Open a work item for every level that a batch left below zero, or promised beyond.

    Returns the levels that were not so before, each with the code.
    """
    fallen: dict[Cell, str] = {}
    for cell, level in sorted(levels.items()):
        subject = _subject(cell)
        what: What = {
            "sku": cell.sku,
            "on_hand": level.on_hand,
            "allocated": level.allocated,
        }
        wrong = {
            "NEGATIVE_ON_HAND": level.on_hand < 0,
            "OVERSOLD": level.allocated > max(level.on_hand, 0),
        }
        for code in _WATCHED:
            if not wrong[code]:
                draft.work_items.resolve(code, subject)
            elif draft.work_items.open(code, subject, what, location=cell.location):
                fallen.setdefault(cell, code)
    return fallen


def _subject(cell: Cell) -> str:
    return f"{cell.sku}@{cell.location}"


def _market(facts: Facts, location: LocationId) -> MarketId:
    return facts.directory.locations[location].market
