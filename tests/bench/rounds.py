"""Both sides of a ratio in turns, so that what else the machine does falls on each alike."""

from collections.abc import Callable, Mapping
from statistics import median

Side = Callable[[], float]
Figures = dict[str, list[float]]


def alternate(sides: Mapping[str, Side], rounds: int) -> Figures:
    """Measure every side once per round; every other round goes through them backwards."""
    figures: Figures = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides)[:: 1 if number % 2 == 0 else -1]
        for name in order:
            figures[name].append(sides[name]())
    return figures


def middle(values: list[float]) -> float:
    """Return the median."""
    return float(median(values))


def ratio(over: list[float], under: list[float]) -> float:
    """Return the median of the rounds' own ratios, which slow drift does not touch."""
    return middle([a / b if b else 0.0 for a, b in zip(over, under, strict=True)])


def percentile(values: list[float], part: float) -> float:
    """Return the value that this part of all values does not exceed (nearest rank)."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(part * len(ordered) + 0.999999) - 1))]
