"""How much is measured: the sizes of a full run, and those of a quick one for CI."""

from pathlib import Path
from typing import Literal

import msgspec

DatabaseKind = Literal["sqlite", "postgresql"]
BOTH: tuple[DatabaseKind, ...] = ("sqlite", "postgresql")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for; a quick run proves the benchmark, not the gateway."""

    folder: Path
    quick: bool = False
    rounds: int = 5
    seconds: float = 5.0
    databases: tuple[DatabaseKind, ...] = BOTH
    postgres: str = ""
    """A PostgreSQL server to make databases on; without it each benchmark starts its own."""
    stored: int = 1_000_000
    """Orders in the larger database of `growth`."""

    def size(self, full: int, quick: int) -> int:
        """Return a number for this kind of run."""
        return quick if self.quick else full

    @property
    def warm_s(self) -> float:
        """How long a server is loaded before anything counts."""
        return 0.3 if self.quick else 2.0
