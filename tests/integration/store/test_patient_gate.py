"""A shift that finds the gate closed is told when it opens, once, and given up in time."""

from config.ids import LocationId, MarketId, OperationId, Sku
from config.limits import GATE_GRACE_S
from store.gate_port import Cell, GateClosed, Granted, Operation, Short
from store.patient_gate import PatientGate

_UK = MarketId("uk")
_SHIFT = Operation(OperationId("1"), ((Cell(Sku("A"), LocationId("S")), -5),))


class _Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class _Shutter:
    """A gate that is closed until it is opened; remembers what it was told."""

    def __init__(self) -> None:
        self.open = False
        self.told: list[tuple[Operation, ...]] = []

    async def shift(self, market: MarketId, operations: tuple[Operation, ...]) -> None:
        assert market == _UK
        if not self.open:
            raise GateClosed
        self.told.append(operations)

    async def available(
        self, _market: MarketId, _skus: frozenset[Sku]
    ) -> dict[Sku, dict[LocationId, int]]:
        raise GateClosed

    async def reserve(
        self, _market: MarketId, _operations: tuple[Operation, ...]
    ) -> tuple[Granted | Short, ...]:
        raise GateClosed

    async def undo(self, _market: MarketId, _operations: tuple[OperationId, ...]) -> None:
        raise GateClosed


async def test_a_shift_waits_for_the_gate_and_is_told_once() -> None:
    shutter, clock = _Shutter(), _Clock()
    gate = PatientGate(shutter, clock)  # type: ignore[arg-type]  # it only asks for seconds
    await gate.shift(_UK, (_SHIFT,))
    await gate.tell_again()
    assert shutter.told == []
    shutter.open = True
    await gate.tell_again()
    await gate.tell_again()
    assert shutter.told == [(_SHIFT,)]


async def test_a_shift_that_is_too_old_is_left_to_the_keeper() -> None:
    shutter, clock = _Shutter(), _Clock()
    gate = PatientGate(shutter, clock)  # type: ignore[arg-type]  # it only asks for seconds
    await gate.shift(_UK, (_SHIFT,))
    clock.seconds = GATE_GRACE_S
    shutter.open = True
    await gate.tell_again()
    assert shutter.told == []
