"""Deliveries: in time, again where the script says so, and again where nobody answered."""

from datetime import datetime, timedelta
from random import Random

import httpx
import pytest

from gateway.demo.bodies.sample import SHOP, Sample
from gateway.demo.deliveries import Deliveries
from gateway.demo.goods import read_catalog, read_network
from gateway.demo.purchases import Shoppers
from gateway.demo.script import Script
from gateway.demo.sender import Sent
from tests.unit.gateway.demo.conftest import NOW


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s


class Door:
    """Takes deliveries, or answers with an error."""

    def __init__(self) -> None:
        self.signed = 0
        self.taken: list[bytes] = []
        self.error: httpx.HTTPError | None = None

    def sign(self, sample: Sample) -> Sent:
        self.signed += 1
        return Sent(SHOP, {"n": str(self.signed)}, f"{self.signed}".encode() + sample.body)

    async def deliver(self, sent: Sent) -> None:
        if self.error:
            raise self.error
        self.taken.append(sent.body)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def deliveries(time: Time, door: Door, chance: Random) -> Deliveries:
    script = Script(Shoppers(read_catalog(), chance), read_network().locations, chance)
    return Deliveries(script, door, {}, clock=time, chance=chance)


async def live(deliveries: Deliveries, time: Time, seconds: float) -> None:
    end_s = time.passed_s + seconds
    while time.passed_s < end_s:
        time.passed_s += await deliveries.look()


async def test_a_gentle_stream_comes_in(deliveries: Deliveries, time: Time, door: Door) -> None:
    await live(deliveries, time, 120.0)
    assert 80 < len(door.taken) < 300


async def test_repeats_are_the_same_bytes(deliveries: Deliveries, time: Time, door: Door) -> None:
    await live(deliveries, time, 300.0)
    assert door.signed == len(set(door.taken))
    assert 5 < len(door.taken) - door.signed < 100


async def test_what_nobody_answered_comes_again_as_it_was_signed(
    deliveries: Deliveries, time: Time, door: Door
) -> None:
    door.error = httpx.ConnectError("down")
    with pytest.raises(httpx.ConnectError):
        await live(deliveries, time, 10.0)
    door.error = None
    await live(deliveries, time, 10.0)
    assert any(body.startswith(b"1{") for body in door.taken)


async def test_what_was_refused_is_given_up(deliveries: Deliveries, time: Time, door: Door) -> None:
    request = httpx.Request("POST", "http://127.0.0.1/webhooks/shop-main")
    refused = httpx.Response(401, request=request)
    door.error = httpx.HTTPStatusError("no", request=request, response=refused)
    with pytest.raises(httpx.HTTPStatusError):
        await live(deliveries, time, 10.0)
    door.error = None
    await live(deliveries, time, 10.0)
    assert not any(body.startswith(b"1{") for body in door.taken)
