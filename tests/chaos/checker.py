"""The judge: history and evidence in, violated invariants out; pure, and in the invariants' order."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

import msgspec

from config.limits import GATE_GRACE_S
from handlers.commands import Command, RecordPayment, RecordRefund
from handlers.sources.channel import Decoded
from store.records import Fulfilment, Order
from tests.chaos import shop
from tests.chaos.evidence import Evidence, Row
from tests.chaos.history import Note
from tests.chaos.letters import EPOCH, Letter, placed_orders
from tests.integration.handlers import invariants

_SECOND_US: Final = 1_000_000
_LEVELS: Final = ("on_hand", "unavailable", "safety", "held", "allocated")
_MANY: Final = 5
MORE_FOR_EACH_PROCESS: Final[Mapping[str, int]] = {
    "descriptors": 64,
    "sockets": 48,
    "threads": 16,
    "tasks": 48,
    "memory_bytes": 64 * 1024 * 1024,
}
"""What pools, caches and two open screens may add in each process of a role, however long it worked:
the pools alone have 32 connections to Redis, 10 to a database, and a thread for each of SQLite's."""


class Violation(msgspec.Struct, frozen=True):
    """An invariant that does not hold, with what shows it."""

    invariant: str
    what: str

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.invariant}: {self.what}"


class Case:
    """What is judged."""

    def __init__(
        self, letters: Sequence[Letter], notes: Sequence[Note], evidence: Evidence
    ) -> None:
        """Sort the answers by their letter."""
        self.letters = letters
        self.notes = notes
        self.evidence = evidence
        self.answers: dict[int, list[Note]] = {}
        for note in notes:
            if note.what == "answered":
                self.answers.setdefault(note.letter, []).append(note)


def judge(case: Case) -> list[Violation]:
    """Return every violation found, the first invariant first."""
    return [Violation(name, what) for name, check in CHECKS.items() for what in _first(check(case))]


def _first(found: Iterator[str]) -> list[str]:
    every = list(found)
    more = [f"… and {len(every) - _MANY} more"] if len(every) > _MANY else []
    return [*every[:_MANY], *more]


# I1


def _stock(case: Case) -> Iterator[str]:
    tables = case.evidence.tables
    if case.evidence.workers == 1:
        yield from _oversold(tables["stock_movements"])
    yield from _short(tables["stock_levels"], tables["stock_movements"])
    levels = [SimpleNamespace(**row) for row in tables["stock_levels"]]
    moved = [
        SimpleNamespace(lines=msgspec.json.encode(row["lines"]))
        for row in tables["stock_movements"]
    ]
    groups = _groups(case)
    yield from _asserted(invariants.levels_are_the_sum_of_movements, levels, moved)
    yield from _asserted(invariants.allocations_are_the_fulfilments, levels, groups)
    for order in _orders(case):
        yield from _asserted(invariants.lines_add_up, order, groups.get(order.id, []))


def _oversold(movements: list[Row]) -> Iterator[str]:
    """Replay the ledger batch by batch: what a batch takes must be there before its own shifts."""
    free: Counter[tuple[str, str]] = Counter()
    batches: dict[int, list[Row]] = {}
    for row in sorted(movements, key=lambda row: row["at_us"]):
        batches.setdefault(row["at_us"], []).append(row)
    for rows in batches.values():
        takes = [row for row in rows if row["kind"] in {"allocated", "held"}]
        for row in [*takes, *(row for row in rows if row not in takes)]:
            for sku, where, columns in row["lines"]:
                free[sku, where] += columns.get("on_hand", 0) - sum(
                    columns.get(name, 0) for name in _LEVELS[1:]
                )
                if row in takes and free[sku, where] < 0:
                    yield f"{sku} at {where} was sold below nothing by {row['operation_id']}"


def _short(levels: list[Row], movements: list[Row]) -> Iterator[str]:
    """Nothing may be short at the end, but where a till told of goods that had left already."""
    at_tills = {
        (sku, where)
        for row in movements
        for sku, where, columns in row["lines"]
        if columns.get("on_hand", 0) < columns.get("allocated", 0)
    }
    for row in levels:
        free = row["on_hand"] - sum(row[name] for name in _LEVELS[1:])
        if free < 0 and (row["sku"], row["location"]) not in at_tills:
            yield f"{row['sku']} at {row['location']} is {-free} short"


# I2, I3, I6, I9: the senders' side


def _one_order(case: Case) -> Iterator[str]:
    found = Counter((row["source"], row["external_id"]) for row in case.evidence.tables["orders"])
    yield from (f"order {key} is there {count} times" for key, count in found.items() if count > 1)
    for letter in placed_orders(list(case.letters)):
        ids = {answer["order_id"] for answer in _told(case, letter) if answer.get("order_id")}
        if len(ids) > 1:
            yield f"letter {letter.number} was answered with the orders {sorted(ids)}"


def _acknowledged(case: Case) -> Iterator[str]:
    inbox = {(row["source"], row["key"]): row for row in case.evidence.tables["inbox"]}
    orders = {row["id"] for row in case.evidence.tables["orders"]}
    for letter in case.letters:
        told = _told(case, letter)
        if letter.kind in {"forged", "hold"} or not told:
            continue
        row = inbox.get((letter.source, _key(letter)))
        if row is None:
            yield f"letter {letter.number} ({letter.topic}) was acknowledged and is not kept"
            continue
        if row["outcome"] == "quarantined":
            yield f"letter {letter.number} ({letter.topic}) is in quarantine: {row['reason']}"
        for answer in told:
            if answer.get("order_id") and answer["order_id"] not in orders:
                yield f"letter {letter.number}: its order {answer['order_id']} is not there"
    yield from _unanswered(case)
    yield from _missing_orders(case)


def _unanswered(case: Case) -> Iterator[str]:
    """Nothing that a sender repeats for ever may stay unanswered once everything is well."""
    for note in case.notes:
        if note.what == "gave_up":
            yield f"letter {note.letter} was never answered"
        if note.what == "answered" and note.status >= 400 and note.status not in _LATER:
            letter = case.letters[note.letter]
            if letter.kind in {"genuine", "conflict"} or note.status >= 500:
                yield f"letter {letter.number} was refused with {note.status}: {note.body[:120]}"


_LATER: Final = frozenset({408, 409, 425, 429, 503})


def _missing_orders(case: Case) -> Iterator[str]:
    """An order whose letter was acknowledged is there, once what is thin was fetched."""
    there = {(row["source"], row["external_id"]) for row in case.evidence.tables["orders"]}
    for letter in placed_orders(list(case.letters)):
        if _told(case, letter) and (letter.source, letter.order_ref) not in there:
            yield f"order {letter.order_ref} of {letter.source} was acknowledged and is not there"


def _replays(case: Case) -> Iterator[str]:
    for letter in case.letters:
        if letter.kind == "hold":
            bodies = {n.body for n in _answers(case, letter) if n.status == 201}
            if len(bodies) > 1:
                yield f"letter {letter.number}: its hold was answered with {sorted(bodies)}"
            continue
        told = [a for a in _told(case, letter) if a["outcome"] != "quarantined"]
        same = {(a["message_id"], a.get("order_id", "")) for a in told}
        if len(same) > 1:
            yield f"letter {letter.number} was answered with {sorted(same)}"
        fresh = [a for a in told if a["outcome"] != "duplicate"]
        if len(fresh) > 1:
            yield f"letter {letter.number} was new {len(fresh)} times"


def _forged(case: Case) -> Iterator[str]:
    keys = {(row["source"], row["key"]) for row in case.evidence.tables["inbox"]}
    orders = {row["external_id"] for row in case.evidence.tables["orders"]}
    for letter in case.letters:
        if letter.kind != "forged":
            continue
        if taken := [note.status for note in _answers(case, letter) if note.status < 400]:
            yield f"letter {letter.number} is forged and was answered with {taken}"
        if (letter.source, _key(letter)) in keys or letter.order_ref in orders:
            yield f"letter {letter.number} is forged and had an effect"


# I4, I5: the consumers' side


def _events(case: Case) -> Iterator[str]:
    committed = Counter(row["id"] for row in case.evidence.tables["outbox"])
    published = Counter(seen.id for seen in case.evidence.stream)
    for one, count in committed.items():
        if count > 1:
            yield f"event {one} is committed {count} times"
        if not published[one]:
            yield f"event {one} is committed and not in the stream"
    for one, count in published.items():
        if count > 1:
            yield f"event {one} is in the stream {count} times"
        if not committed[one]:
            yield f"event {one} is in the stream and was never committed"


def _versions(case: Case) -> Iterator[str]:
    last: dict[str, int] = {}
    for seen in case.evidence.stream:
        if seen.subject.split(".")[2] not in {"order", "fulfilment", "inventory"}:
            continue
        before = last.get(seen.entity_id, 0)
        if seen.version != before + 1:
            yield f"{seen.subject}: version {seen.version} came after {before}"
        last[seen.entity_id] = seen.version
    stored: list[Order | Fulfilment] = [*_orders(case)]
    stored += [one for group in _groups(case).values() for one in group]
    for record in stored:
        if last.get(record.id, 0) != record.version:
            yield f"{record.id} has version {record.version}, consumers saw {last.get(record.id, 0)}"


# I7, I8, I12


def _holds(case: Case) -> Iterator[str]:
    latest_us = case.evidence.now_us - int(GATE_GRACE_S * _SECOND_US)
    for row in case.evidence.tables["holds"]:
        if row["state"] == "held" and row["expires_us"] < latest_us:
            late_s = (case.evidence.now_us - row["expires_us"]) / _SECOND_US
            yield f"hold {row['id']} is held {late_s:.0f} s beyond its end"


def _screens(case: Case) -> Iterator[str]:
    for topic, shown in case.evidence.screens.items():
        place = topic.partition(":")[2]
        board = {
            row["id"]: row["document"]["version"]
            for row in case.evidence.tables["fulfilments"]
            if row["open"] and row["location"] == place
        }
        for one in sorted(board.keys() | shown.keys()):
            if board.get(one) != shown.get(one):
                yield f"{topic}: {one} is at {shown.get(one)}, the database has {board.get(one)}"


def _gate(case: Case) -> Iterator[str]:
    for row in case.evidence.tables["gates"]:
        gate = case.evidence.gates[row["market"]]
        if gate.epoch != row["epoch"]:
            yield f"the gate of {row['market']} is closed"
            continue
        for level in case.evidence.tables["stock_levels"]:
            ledger = level["on_hand"] - sum(level[name] for name in _LEVELS[1:])
            there = gate.cells.get(f"{level['sku']} {level['location']}", 0)
            if level["market"] == row["market"] and there != ledger:
                yield f"{level['sku']} at {level['location']}: gate {there}, ledger {ledger}"


# I10


def _leaks(case: Case) -> Iterator[str]:
    """What a role holds after the storm is within a bound of what it held before any work."""
    for role, before in case.evidence.held_before.items():
        after = case.evidence.held_after.get(role)
        if after is None:
            yield f"the {role} is not there"
            continue
        for what, more in MORE_FOR_EACH_PROCESS.items():
            had, has = getattr(before, what), getattr(after, what)
            if has > had + more * after.processes:
                yield f"the {role} holds {has} {what}, it began with {had}"


# I11


def _money(case: Case) -> Iterator[str]:
    """Each amount that was told and acknowledged is on one order, and no other money is anywhere."""
    told, every = _amounts(case, told_only=True), _amounts(case, told_only=False)
    found: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for order in _orders(case):
        for one in order.tenders:
            found[one.id], kept[one.id] = found[one.id] + 1, kept[one.id] + one.captured_minor
        for back in order.refunds:
            found[back.id], kept[back.id] = found[back.id] + 1, kept[back.id] - back.amount_minor
    for ref, amount in told.items():
        if kept[ref] != amount:
            yield f"{ref} is {amount} and the orders have {kept[ref]} of it"
    for ref, count in found.items():
        if count > 1 or ref not in every:
            yield f"{ref} is on {count} orders, and was {'' if ref in every else 'never '}told"


def _amounts(case: Case, *, told_only: bool) -> dict[str, int]:
    """Return what letters tell of money: captures, and refunds as less than nothing."""
    amounts: dict[str, int] = {}
    for letter in case.letters:
        if letter.kind != "genuine" or (told_only and not _told(case, letter)):
            continue
        for command in _commands(letter):
            match command:
                case RecordPayment(state="captured"):
                    amounts[f"{letter.source}:{command.payment_ref}"] = command.amount_minor
                case RecordRefund(state="succeeded"):
                    amounts[f"{letter.source}:{command.refund_ref}"] = -command.amount_minor
                case _:
                    pass
    return amounts


CHECKS: Final[Mapping[str, Callable[[Case], Iterator[str]]]] = {
    "I1 never oversold, levels are the sum of movements": _stock,
    "I2 one order per idempotency key": _one_order,
    "I3 what was acknowledged is there": _acknowledged,
    "I4 every committed event is in the stream exactly once": _events,
    "I5 versions rise without gaps": _versions,
    "I6 a repeat gets the first answer": _replays,
    "I7 no hold outlives its expiry": _holds,
    "I8 every screen converges to the database": _screens,
    "I9 nothing badly signed has any effect": _forged,
    "I10 nothing leaks": _leaks,
    "I11 money told is money on orders": _money,
    "I12 gate and ledger agree when quiet": _gate,
}


def _orders(case: Case) -> list[Order]:
    rows = case.evidence.tables["orders"]
    return [msgspec.convert(row["document"], Order) for row in rows]


def _groups(case: Case) -> dict[str, list[Fulfilment]]:
    groups: dict[str, list[Fulfilment]] = {}
    for row in case.evidence.tables["fulfilments"]:
        group = msgspec.convert(row["document"], Fulfilment)
        groups.setdefault(group.order_id, []).append(group)
    return groups


def _answers(case: Case, letter: Letter) -> list[Note]:
    return case.answers.get(letter.number, [])


def _told(case: Case, letter: Letter) -> list[dict[str, Any]]:
    """Return the bodies of the letter's acknowledgements."""
    return [msgspec.json.decode(note.body) for note in _answers(case, letter) if note.status < 300]


def _commands(letter: Letter) -> tuple[Command, ...]:
    """Return what a letter asks for, or the order behind it."""
    if letter.document is None:
        return _decoded(letter).commands
    channel = shop.CHANNELS[letter.source]
    return channel.decode_order(letter.document.content).commands


def _key(letter: Letter) -> str:
    return _decoded(letter).key


def _decoded(letter: Letter) -> Decoded:
    headers = shop.sign(letter.source, letter.topic, letter.body, event=letter.event, now=EPOCH)
    return shop.decoded(letter.source, headers, letter.body, EPOCH)


def _asserted(check: Callable[..., object], *arguments: Any) -> Iterator[str]:
    try:
        check(*arguments)
    except AssertionError as error:
        yield f"{check.__name__}: {str(error)[:400]}"
