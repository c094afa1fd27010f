"""Trouble is told once, then at intervals; attempts are ever further apart."""

from itertools import islice

import structlog

from config.clock import SystemClock
from config.errors import EngineDown
from outbox.trouble import BACKOFF_S_MAX, INTERVAL_S, Trouble, delays


class _Clock(SystemClock):
    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def test_delays_begin_at_once_and_stay_bounded() -> None:
    first = list(islice(delays(), 20))
    assert first[0] == 0
    assert first == sorted(first)
    assert first[-1] == BACKOFF_S_MAX


def test_trouble_is_told_once_then_at_intervals_and_when_it_is_over() -> None:
    clock = _Clock()
    with structlog.testing.capture_logs() as lines:
        trouble = Trouble(clock, "relay.hindered")
        for seconds in (0, 1, INTERVAL_S - 1, INTERVAL_S):
            clock.seconds = seconds
            trouble.tell(EngineDown())
        trouble.over()
        trouble.over()
    assert [line["log_level"] for line in lines] == ["error", "error", "info"]
