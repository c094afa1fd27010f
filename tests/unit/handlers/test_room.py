"""Room: who takes too long makes room for fewer, who is in time for a few more."""

import pytest

from handlers.room import LEAST, Room


class Times:
    """Batches one after the other: each learns how long its first message took."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.now = 100.0

    def batch(self, took_s: float) -> None:
        came, self.now = self.now, self.now + took_s
        self.room.learn(came, self.now, 0)


def filled(room: Room) -> int:
    """Let come as many as there is room for; return how many that were."""
    here = 0
    while room.has(here):
        here += 1
    return here


def test_at_first_there_is_room_for_the_most() -> None:
    assert filled(Room(100, 1.0)) == 100


@pytest.mark.parametrize(("longest_s", "left"), [(0.5, 100), (1.0, 100), (1.25, 80), (9.0, 50)])
def test_answers_that_are_late_make_room_for_fewer_in_proportion(
    longest_s: float, left: int
) -> None:
    room = Room(100, 1.0)
    times = Times(room)
    filled(room)
    times.batch(longest_s)
    assert filled(room) == left


def test_what_counts_is_how_many_there_were_not_how_many_there_might_have_been() -> None:
    room = Room(10_000, 1.0)
    times = Times(room)
    for here in range(80):
        assert room.has(here)
    times.batch(2.0)
    assert filled(room) == 40


def test_there_is_always_room_for_a_small_batch() -> None:
    room = Room(100, 1.0)
    times = Times(room)
    for _ in range(20):
        filled(room)
        times.batch(60.0)
    assert filled(room) == LEAST


def test_room_grows_again_while_it_is_needed_up_to_the_most() -> None:
    room = Room(100, 1.0)
    times = Times(room)
    filled(room)
    times.batch(60.0)
    bounds = []
    for _ in range(20):
        bounds.append(filled(room))
        times.batch(0.1)
    assert bounds[0] == 50
    assert bounds == sorted(bounds)
    assert bounds[-1] == 100


def test_room_that_nobody_is_refused_for_comes_back_with_time() -> None:
    room = Room(1000, 1.0)
    times = Times(room)
    filled(room)
    times.batch(60.0)
    for _ in range(20):
        assert room.has(0)
        times.batch(0.5)
    assert filled(room) == 1000


def test_after_a_pause_there_is_room_for_the_most() -> None:
    room = Room(1000, 1.0)
    times = Times(room)
    filled(room)
    times.batch(60.0)
    times.now += 100_000.0
    times.batch(0.1)
    assert filled(room) == 1000


def test_few_are_not_late_for_their_number() -> None:
    room = Room(1000, 1.0)
    times = Times(room)
    for here in range(LEAST):
        assert room.has(here)
    times.batch(60.0)
    assert filled(room) == 1000


def test_it_settles_where_answers_are_in_time() -> None:
    room = Room(4096, 0.2)
    times = Times(room)
    for _ in range(400):
        here = filled(room)
        times.batch(0.02 + 0.002 * here)  # so many fit: 90
    assert 80 <= filled(room) <= 100


def test_what_came_before_it_shrank_does_not_shrink_it_again() -> None:
    room = Room(200, 1.0)
    filled(room)
    room.learn(10.0, 12.0, 60)
    assert filled(room) == 100
    room.learn(11.9, 14.0, 0)  # it waited for the slow one
    assert filled(room) == 100
    room.learn(12.0, 14.0, 0)
    assert filled(room) == 50


def test_while_nobody_new_came_those_who_are_left_count() -> None:
    room = Room(100, 1.0)
    filled(room)
    room.learn(10.0, 10.5, 80)
    assert not room.has(100)
    room.learn(10.4, 12.4, 0)
    assert filled(room) == 40
