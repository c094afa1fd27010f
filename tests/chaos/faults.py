"""The faults of a run, drawn from its seed: what happens to whom, when, and for how long."""

from collections.abc import Sequence
from random import Random
from typing import Final, Literal

import msgspec

from tests.chaos.house import DatabaseKind

What = Literal[
    "kill", "stop", "empty", "lock", "reset", "delay", "hole", "drop", "throttle", "restart"
]
Target = Literal["serve", "worker", "relay", "redis", "nats", "postgres", "sqlite", "http"]
LEASE_OUTLIVED_S: Final = 17.0

_COMMON: Final[Sequence[tuple[What, Target, int]]] = (
    ("kill", "serve", 6),
    ("kill", "relay", 6),
    ("restart", "serve", 2),
    ("restart", "relay", 2),
    ("stop", "serve", 4),
    ("stop", "relay", 4),
    ("kill", "redis", 3),
    ("stop", "redis", 3),
    ("empty", "redis", 3),
    ("kill", "nats", 3),
    ("stop", "nats", 3),
    ("empty", "nats", 2),
    ("reset", "http", 3),
    ("delay", "http", 2),
    ("hole", "http", 3),
    ("drop", "http", 6),
    ("throttle", "http", 1),
    ("reset", "redis", 2),
    ("delay", "redis", 3),
    ("hole", "redis", 4),
    ("drop", "redis", 8),
    ("reset", "nats", 2),
    ("delay", "nats", 2),
    ("hole", "nats", 4),
    ("drop", "nats", 6),
    ("throttle", "nats", 1),
)
_OF: Final[dict[DatabaseKind, Sequence[tuple[What, Target, int]]]] = {
    "sqlite": (("lock", "sqlite", 5),),
    "postgres": (
        ("kill", "postgres", 2),
        ("reset", "postgres", 4),
        ("delay", "postgres", 3),
        ("hole", "postgres", 4),
        ("drop", "postgres", 8),
        ("throttle", "postgres", 1),
    ),
}

_WORKERS: Final[Sequence[tuple[What, Target, int]]] = (
    ("kill", "worker", 10),
    ("stop", "worker", 6),
)
_ROLES: Final = frozenset({"serve", "worker", "relay"})


class Fault(msgspec.Struct, frozen=True):
    """One fault; `amount` is how many replies are lost, how slow it is, and the like."""

    at_s: float
    what: What
    target: Target
    lasts_s: float
    amount: float

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.at_s:7.1f} s  {self.what:<8} {self.target:<8} for {self.lasts_s:.1f} s"


def draw(
    seed: int,
    seconds: float,
    kind: DatabaseKind,
    *,
    per_s: float,
    workers: int = 1,
    spare_roles: bool = False,
) -> list[Fault]:
    """Return the faults of a run, in order; none begins in its first two seconds.

    Spared roles are never ended, so that whatever they leak adds up.
    """
    chance = Random(seed + 2)  # noqa: S311 - the same for everybody who names the seed
    choices = [*_COMMON, *_OF[kind], *(_WORKERS if workers > 1 else ())]
    if spare_roles:
        choices = [one for one in choices if one[0] == "stop" or one[1] not in _ROLES]
    weights = [weight for _, _, weight in choices]
    faults: list[Fault] = []
    at_s = 2.0
    while (at_s := at_s + chance.expovariate(per_s)) < seconds:
        what, target, _ = chance.choices(choices, weights)[0]
        faults.append(
            Fault(
                round(at_s, 2),
                what,
                target,
                round(_lasts_s(what, target, chance), 2),
                chance.random(),
            )
        )
    return faults


def _lasts_s(what: What, target: Target, chance: Random) -> float:
    if what == "stop" and target == "relay" and chance.random() < 0.2:
        return LEASE_OUTLIVED_S
    if what == "hole" and chance.random() < 0.2:
        return chance.uniform(5.0, 9.0)
    return chance.uniform(0.2, 3.5)
