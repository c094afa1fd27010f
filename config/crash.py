"""Named points on the way where `IMV_CRASH_AT=<point>[:N]` kills the process at its Nth pass."""

import os
import signal
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from config.errors import Misconfigured

VARIABLE: Final = "IMV_CRASH_AT"
POINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "webhook.verified": "the signature is good, nothing is decoded",
        "webhook.decoded": "a message was made of the body, it is not on the queue",
        "intake.taken": "the batch was drained from the queue and has not begun",
        "batch.read": "the transaction is open and everything it needs is read",
        "batch.applied": "every message is applied in memory, nothing is decided",
        "gate.before_reserve": "the plans are made, the gate was not asked",
        "gate.reserved": "the gate has granted, the ledger knows nothing",
        "batch.taken": "the ledger's levels are taken inside the transaction",
        "batch.written": "everything is written, nothing is committed",
        "batch.committed": "the transaction is committed, nobody has heard of it",
        "batch.told": "the relay was told, the gate was not",
        "gate.shifted": "the gate knows what the ledger freed, the senders know nothing",
        "gate.given_back": "a failed batch gave its units back to the gate, it has not run again",
        "gate.repaired": "the keeper put too generous cells right, the batch has not run again",
        "webhook.before_answer": "the outcome is known, no byte of the answer has left",
        "webhook.answered": "the answer was handed to the server",
        "command.before_answer": "a `/v1` command is committed, its answer has not left",
        "relay.leased": "partitions are leased or renewed, nothing is stamped",
        "relay.stamped": "batches are stamped, none is loaded",
        "relay.loaded": "batches are loaded, nothing of them is published",
        "relay.half_published": "some messages of a batch were sent, its marker was not",
        "relay.published": "the stream has a batch, the database does not know it",
        "relay.judged": "a doubtful batch's marker was read, nothing follows from it yet",
        "relay.restamped": "a batch follows another marker, it is not published again",
        "relay.put_back": "what a lost stream had is pending again, none of it is published",
        "relay.marked": "published batches are marked and their stamps cleared",
        "screen.positioned": "a snapshot has its position, its rows are not read",
        "screen.read": "a snapshot's rows are read, no screen has them",
        "keeper.begun": "the lease to build is taken and the gate closed, the epoch is the old one",
        "keeper.epoch_replaced": "the ledger has the new epoch, the gate is empty",
        "keeper.filled": "every cell is in the gate, it is not open",
        "keeper.opened": "the gate is open, the ledger does not say so",
        "reaper.voided": "orphaned operations are void in the ledger, their units still taken",
        "reaper.returned": "the orphans' units are back at the gate",
        "completer.fetched": "the order behind a thin notification is read, not sent in",
        "completer.submitted": "that order is committed, its notification is still due",
        "sweeper.found": "due work was found, none of it is done",
        "restore.checked": "the backup is whole, nothing is written",
        "restore.copied": "the backup is a draft beside the database, not renewed",
        "restore.migrated": "its tables are ours, its incarnation is the old one",
        "restore.renewing": "its renewal is written, not committed",
        "restore.renewed": "it is renewed, nothing else has changed",
        "restore.log_kept": "what the old database's log holds is copied aside",
        "restore.folded": "the old database's log is in its file and gone",
        "restore.kept": "the old database has its second name, the backup is not in its place",
        "restore.replaced": "the backup is in its place, nobody was told",
    }
)
"""Every point with what holds there; `imv chaos points` lists them."""

_armed = ""  # the one global that `here` looks at: it must cost next to nothing
_passes_left = 1


def here(point: str) -> None:
    """Die by SIGKILL if this point is armed and its pass has come."""
    if _armed and point == _armed:
        _pass()


def arm(environ: Mapping[str, str]) -> None:
    """Read once what the environment asks for; nothing is armed without it.

    Raises:
        Misconfigured: there is no such point, or the pass is not a number from 1 on.
    """
    global _armed, _passes_left
    _armed, _passes_left = _read(environ.get(VARIABLE, ""))
    if _armed:
        sys.stderr.write(f"imv: armed to die at pass {_passes_left} of {_armed}\n")


def _read(text: str) -> tuple[str, int]:
    point, _, number = text.partition(":")
    if point and point not in POINTS:
        raise Misconfigured(
            f"{VARIABLE}: there is no point {point!r}; unset it and see `imv chaos points`"
        )
    if not (number or "1").isdecimal() or int(number or 1) < 1:
        raise Misconfigured(f"{VARIABLE}: {number!r} is not a number of passes, as in {point}:2")
    return point, int(number or 1)


def _pass() -> None:
    global _passes_left  # noqa: PLW0603 - see `arm`
    _passes_left -= 1
    if _passes_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
