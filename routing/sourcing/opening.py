"""When work on an order can begin at a location: its opening hours and its cut-off."""

from functools import lru_cache
from typing import Final, get_args

from routing.network import Day, Location

DAYS: Final[tuple[Day, ...]] = get_args(Day)
DAY_MINUTES: Final = 24 * 60
_WEEK_HOURS: Final = 7 * 24.0
Hours = tuple[int, int]
Week = tuple[Hours | None, ...]
"""For each day from Monday on the minutes from which and until which work begins, None: not at all."""
Moment = tuple[int, int]
"""Local day of the week (0 is Monday) and minute of the day."""
ALWAYS: Final[Week] = ((0, DAY_MINUTES),) * 7


def week_of(location: Location, method: str) -> Week:
    """Return when work on orders begins: while open, and (for parcels) before the cut-off.

    Without opening hours a location is always open; with some, the days that are left out are closed.
    Hours that end before they begin last past midnight.
    """
    cut_off = location.cut_off if method == "ship" else None
    if not location.opening_hours and cut_off is None:
        return ALWAYS
    return tuple([_hours(location, day, cut_off) for day in DAYS])


@lru_cache(maxsize=4_096)
def wait_hours(week: Week, moment: Moment) -> float:
    """Return the hours until work can begin; a week where it never does."""
    day, minute = moment
    for ahead in range(-1, 8):
        hours = week[(day + ahead) % 7]
        now = minute - ahead * DAY_MINUTES
        if hours and (begin := max(now, hours[0])) < hours[1]:
            return (begin - now) / 60
    return _WEEK_HOURS


def _hours(location: Location, day: Day, cut_off: str | None) -> Hours | None:
    start, end = 0, DAY_MINUTES
    if location.opening_hours:
        if day not in location.opening_hours:
            return None
        start, end = map(_minute, location.opening_hours[day])
        end += DAY_MINUTES if end <= start else 0
    return start, end if cut_off is None else min(end, _minute(cut_off))


def _minute(time: str) -> int:
    return int(time[:2]) * 60 + int(time[3:])
