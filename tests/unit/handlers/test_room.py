"""Room: who takes too long makes room for fewer, who is in time for a few more."""

import random
from collections import deque

import pytest

from config.limits import BATCH_MESSAGES_MAX, ROOM_MESSAGES_MIN
from handlers.room import Room


class Times:
    """Batches one after the other, each as long as it is said to take."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.now = 100.0

    def batch(self, took_s: float, *, among: int) -> None:
        came, self.now = self.now, self.now + took_s
        self.room.learn(came, self.now, among)


def filled(room: Room) -> int:
    """Let come as many as there is room for; return how many that were."""
    here = 0
    while room.has(here):
        here += 1
    return here


def test_at_first_there_is_room_for_the_most() -> None:
    assert filled(Room(100, 1.0)) == 100


@pytest.mark.parametrize(("took_s", "left"), [(0.5, 100), (1.0, 100), (1.25, 80), (9.0, 50)])
def test_answers_that_are_late_make_room_for_fewer_in_proportion(took_s: float, left: int) -> None:
    room = Room(100, 1.0)
    times = Times(room)
    times.batch(took_s, among=filled(room))
    assert filled(room) == left


def test_what_counts_is_how_many_there_were_not_how_many_there_might_have_been() -> None:
    room = Room(10_000, 1.0)
    Times(room).batch(2.0, among=80)
    assert filled(room) == 40


def test_few_are_not_late_for_their_number() -> None:
    room = Room(1000, 1.0)
    Times(room).batch(60.0, among=ROOM_MESSAGES_MIN)
    assert filled(room) == 1000


def test_there_is_always_room_for_a_small_batch() -> None:
    room = Room(100, 1.0)
    times = Times(room)
    for _ in range(20):
        times.batch(60.0, among=filled(room))
    assert filled(room) == ROOM_MESSAGES_MIN


def test_what_came_before_it_shrank_does_not_shrink_it_again() -> None:
    room = Room(200, 1.0)
    room.learn(10.0, 12.0, 200)
    assert filled(room) == 100
    room.learn(11.9, 14.0, 200)  # it waited for the slow one
    assert filled(room) == 100
    room.learn(12.0, 14.0, 100)
    assert filled(room) == 50


def test_room_grows_while_it_is_needed_by_an_eighth_in_the_time_of_an_answer() -> None:
    room = Room(1000, 1.0)
    times = Times(room)
    times.batch(60.0, among=filled(room))
    bounds = []
    for _ in range(100):  # a batch ends ten times in the time that an answer takes
        bounds.append(filled(room))
        times.now += 0.1
        room.learn(times.now - 1.0, times.now, bounds[-1])
    assert bounds[0] == 500
    assert bounds == sorted(bounds)
    assert 1.1 < bounds[10] / bounds[0] < 1.15
    assert bounds[-1] == 1000


def test_room_that_is_needed_grows_fast_while_answers_are_quick() -> None:
    """A stall with few under way took nearly all the room; those who were sent away come again."""
    room = Room(4096, 2.0)
    times = Times(room)
    times.batch(3.0, among=ROOM_MESSAGES_MIN + 1)
    assert filled(room) == ROOM_MESSAGES_MIN
    for _ in range(50):
        times.batch(0.06, among=filled(room))
    assert filled(room) > 256


def test_room_that_nobody_is_refused_for_comes_back_with_time() -> None:
    room = Room(1000, 1.0)
    times = Times(room)
    times.batch(60.0, among=filled(room))
    for _ in range(20):
        assert room.has(0)
        times.batch(0.5, among=1)
    assert filled(room) == 1000


def test_after_a_pause_there_is_room_for_the_most() -> None:
    room = Room(1000, 1.0)
    times = Times(room)
    times.batch(60.0, among=filled(room))
    times.now += 100_000.0
    times.batch(0.1, among=1)
    assert filled(room) == 1000


@pytest.mark.parametrize("offered_per_s", [1_000, 1_600, 5_000])
@pytest.mark.parametrize("answer_s", [0.2, 2.0])
def test_under_a_flood_most_are_answered_in_time_and_the_pace_is_kept(
    offered_per_s: int, answer_s: float
) -> None:
    """One server of 800 messages/s with batches, and senders that know nothing of each other."""
    took, pace = _flood(Room(4096, answer_s), offered_per_s, answer_s)
    took.sort()
    assert took[len(took) // 2] <= answer_s
    assert took[int(len(took) * 0.99)] <= 1.25 * answer_s
    assert pace >= 0.8 * _PER_S


_PER_S = 800.0
_BATCH_S = 0.01
"""What a batch costs, however few messages it has."""


def _flood(room: Room, offered_per_s: int, answer_s: float) -> tuple[list[float], float]:
    """Return how long those took who were taken after the beginning, and how many a second they were."""
    chance = random.Random(1)  # noqa: S311 - a model
    now, next_at, took = 0.0, 0.0, list[float]()
    queue, running, done_at = deque[tuple[float, int]](), list[tuple[float, int]](), 0.0
    begin_s, end_s = 10 * answer_s, 10 * answer_s + 40
    while now < end_s:
        if running and done_at <= next_at:
            now = done_at
            took += [now - came for came, _ in running if came > begin_s]
            room.learn(running[0][0], now, running[-1][1])
            running = []
        else:
            now = next_at
            next_at += chance.expovariate(offered_per_s)
            under_way = len(queue) + len(running)
            slow = bool(queue) and now - queue[0][0] > answer_s
            if not slow and room.has(under_way):
                queue.append((now, under_way + 1))
        if not running and queue:
            running = [queue.popleft() for _ in range(min(len(queue), BATCH_MESSAGES_MAX))]
            done_at = now + _BATCH_S + len(running) / _PER_S
    return took, len(took) / (end_s - begin_s)
