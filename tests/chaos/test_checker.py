"""The judge sees each kind of damage: evidence of a real calm run, with one thing made wrong."""

import asyncio
import copy
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.chaos import checker, history, storm
from tests.chaos.checker import CHECKS, Case
from tests.chaos.evidence import Evidence, Gate
from tests.chaos.history import Note
from tests.chaos.letters import Letter
from tests.chaos.runs import storm_once
from tests.engines import needed

Damage = Callable[[Case], None]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """What a few seconds without any fault leave behind."""
    folder = tmp_path_factory.mktemp("calm")
    plan = storm.draw(5, 5.0, "sqlite", faults_per_s=1e-9)
    with needed():
        outcome = asyncio.run(storm_once(plan, folder))
    assert outcome.violations == []
    return _read(folder / "house")


def _read(house: Path) -> Case:
    return Case(
        msgspec.json.decode((house / "letters.json").read_bytes(), type=list[Letter]),
        history.read(house / "history.jsonl"),
        msgspec.json.decode((house / "evidence.json").read_bytes(), type=Evidence),
    )


def _lost_movement(case: Case) -> None:
    movements = case.evidence.tables["stock_movements"]
    movements.remove(next(row for row in movements if row["kind"] == "allocated"))


def _sold_twice(case: Case) -> None:
    """A reservation of everything that was ever there, after the last one."""
    movements = case.evidence.tables["stock_movements"]
    last = max(movements, key=lambda row: row["at_us"])
    line = next(row for row in movements if row["kind"] == "allocated")["lines"][0]
    more = {"kind": "allocated", "operation_id": "x", "at_us": last["at_us"] + 1}
    movements.append({**last, **more, "lines": [[line[0], line[1], {"allocated": 10**6}]]})


def _second_order(case: Case) -> None:
    orders = case.evidence.tables["orders"]
    orders.append({**orders[0], "id": "another"})


def _forgotten_message(case: Case) -> None:
    inbox = case.evidence.tables["inbox"]
    inbox.remove(next(row for row in inbox if not row["source"].startswith("api")))


def _refusal(case: Case) -> None:
    genuine = next(letter.number for letter in case.letters if letter.kind == "genuine")
    case.answers[genuine] = [Note(at_s=1.0, what="answered", letter=genuine, status=500)]
    case.notes = [*case.notes, *case.answers[genuine]]


def _lost_event(case: Case) -> None:
    case.evidence.stream.pop(3)


def _doubled_event(case: Case) -> None:
    case.evidence.stream.append(case.evidence.stream[-1])


def _swapped_versions(case: Case) -> None:
    stream = case.evidence.stream
    one = next(i for i, seen in enumerate(stream) if seen.version == 1 and _is_order(seen.subject))
    two = next(
        i
        for i, seen in enumerate(stream)
        if seen.entity_id == stream[one].entity_id and seen.version == 2
    )
    stream[one], stream[two] = stream[two], stream[one]


def _is_order(subject: str) -> bool:
    return subject.split(".")[2] == "order"


def _other_answer(case: Case) -> None:
    letter, answers = next(
        (number, notes)
        for number, notes in case.answers.items()
        if len(notes) > 1 and '"applied"' in notes[0].body and "order_id" in notes[0].body
    )
    body = msgspec.json.decode(answers[0].body) | {"message_id": "another"}
    changed = msgspec.structs.replace(answers[0], body=msgspec.json.encode(body).decode())
    case.answers[letter] = [changed, *answers[1:]]


def _late_hold(case: Case) -> None:
    hold = case.evidence.tables["holds"][0]
    hold.update(state="held", expires_us=case.evidence.now_us - 60_000_000)


def _wrong_screen(case: Case) -> None:
    rows = next(rows for rows in case.evidence.screens.values() if rows)
    rows[next(iter(rows))] += 1


def _taken_forgery(case: Case) -> None:
    forged = next(letter for letter in case.letters if letter.kind == "forged")
    orders = case.evidence.tables["orders"]
    orders[0] = {**orders[0], "external_id": forged.order_ref}


def _wrong_gate(case: Case) -> None:
    gates: dict[str, Gate] = case.evidence.gates
    cells = gates["uk"].cells
    cells[next(iter(cells))] += 1


def _lost_payment(case: Case) -> None:
    order = next(row for row in case.evidence.tables["orders"] if row["document"].get("tenders"))
    order["document"]["tenders"] = []


def _doubled_payment(case: Case) -> None:
    one, other, *_ = case.evidence.tables["orders"]
    tender = next(
        row["document"]["tenders"][0]
        for row in case.evidence.tables["orders"]
        if row["document"].get("tenders")
    )
    for row in (one, other):
        row["document"]["tenders"] = [tender]


def _leaked_sockets(case: Case) -> None:
    held = case.evidence.held_after
    held["relay"] = msgspec.structs.replace(held["relay"], sockets=10_000)


def _leaked_memory(case: Case) -> None:
    held = case.evidence.held_after
    held["serve"] = msgspec.structs.replace(held["serve"], memory_bytes=2**40)


_DAMAGE: list[tuple[str, Damage]] = [
    ("I1", _lost_movement),
    ("I1", _sold_twice),
    ("I2", _second_order),
    ("I3", _forgotten_message),
    ("I3", _refusal),
    ("I4", _lost_event),
    ("I4", _doubled_event),
    ("I5", _swapped_versions),
    ("I6", _other_answer),
    ("I7", _late_hold),
    ("I8", _wrong_screen),
    ("I9", _taken_forgery),
    ("I10", _leaked_sockets),
    ("I10", _leaked_memory),
    ("I11", _lost_payment),
    ("I11", _doubled_payment),
    ("I12", _wrong_gate),
]


@pytest.mark.parametrize(("invariant", "damage"), _DAMAGE)
def test_damage_is_named_by_the_invariant_that_it_violates(
    calm: Case, invariant: str, damage: Damage
) -> None:
    case = Case(calm.letters, list(calm.notes), copy.deepcopy(calm.evidence))
    damage(case)
    named = [violation.invariant.split()[0] for violation in checker.judge(case)]
    assert invariant in named
    assert named == sorted(named, key=lambda name: int(name[1:]))


def test_a_calm_run_violates_nothing_and_every_check_has_its_damage(calm: Case) -> None:
    assert checker.judge(calm) == []
    assert {name.split()[0] for name in CHECKS} == {name for name, _ in _DAMAGE}
