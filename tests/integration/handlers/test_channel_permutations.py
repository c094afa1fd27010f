"""What each channel really sends about one purchase, in any order and twice, ends in the same state.

Left out, as it hangs on who commits first: a cancel of units that are on their way at that moment.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.ids import SourceId
from handlers.completer import Completer, Platform
from handlers.message import Message
from handlers.sources import registry
from handlers.sources.channel import Account, Channel, Request
from store.records import Order
from tests.integration.handlers import asking
from tests.integration.handlers.asking import POS, SHOP, message, order
from tests.integration.handlers.channel_stories import STORIES, Sent, Story
from tests.integration.handlers.world import World

_numbers = iter(range(1, 10**6))
_KEYS: Any = object()


def opened(provider: str, source: SourceId, **options: Any) -> Channel:
    account = Account(id=source, market="uk", secrets=(b"hush",), options=options, keys=_KEYS)
    return registry.open_channel(provider, account)


def decoded(channel: Channel, source: SourceId, sent: Sent) -> Message:
    """Return the message that the edge makes of a delivery."""
    topic, body, headers = sent
    raw = msgspec.json.encode(body)
    named = {"x-shopify-topic": topic, **headers}
    request = Request("POST", named, {}, raw, datetime(2026, 11, 23, 12, tzinfo=UTC))
    found = channel.decode(request)
    return message(*found.commands, source=source, key=found.key, body=raw)


class Shelf:
    """The orders that a platform shows, in their last version."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}

    async def read(self, order_ref: str) -> bytes | None:
        found = self.documents.get(order_ref)
        return msgspec.json.encode(found) if found else None


async def deliver(
    world: World, source: SourceId, messages: Sequence[Message], cut: int, platform: Platform | None
) -> None:
    for start in range(0, len(messages), cut):
        await world.ask(*messages[start : start + cut])
        if platform is not None:
            async with world.intake() as intake:
                platforms = {source: platform}
                await Completer(
                    world.reader, intake, platforms, clock=world.clock, ids=world.ids
                ).complete_due(source)
    await world.sweep()


def told(placed: Order) -> dict[str, Any]:
    """Return what must be the same whatever came first: no ids, times or versions."""
    return {
        "state": placed.state,
        "total": placed.total_minor,
        "lines": sorted(
            (
                line.channel_sku or line.item,
                line.ordered - line.cancelled,
                line.allocated,
                line.handed_off,
                line.delivered,
                line.refunded,
            )
            for line in placed.lines
        ),
        "tenders": sorted((t.state, t.authorised_minor, t.captured_minor) for t in placed.tenders),
        "refunds": sorted((r.state, r.amount_minor) for r in placed.refunds),
    }


@st.composite
def orders_of_arrival(draw: st.DrawFn) -> tuple[Story, list[int], int]:
    """Return a story, and the places in it in the order in which they arrive, some of them twice."""
    story = draw(st.sampled_from(STORIES))
    places = range(len(story[3](1)))
    again = draw(st.lists(st.sampled_from(places), max_size=4))
    return story, draw(st.permutations([*places, *again])), draw(st.integers(1, 6))


async def run(world: World, story: Story, places: Sequence[int] | None, cut: int) -> dict[str, Any]:
    """Deliver a purchase of its own; None: each once, as it happened."""
    provider, source, options, sent, documents = story
    number = next(_numbers)
    channel, shelf = opened(provider, source, **options), Shelf()
    shelf.documents = documents(number) if documents else {}
    if provider == "stripe":
        await world.send(order(str(number)))
    bodies = sent(number)
    messages = [
        msgspec.structs.replace(decoded(channel, source, bodies[i]), id=f"{number}-{n}")
        for n, i in enumerate(range(len(bodies)) if places is None else places)
    ]
    before = await _on_hand(world)
    await deliver(
        world, source, messages, cut, Platform(channel, shelf) if shelf.documents else None
    )
    after = await _on_hand(world)
    ref = f"S{number}" if provider == "square" else str(number)
    owner = SHOP if provider == "stripe" else source
    assert not [one for one in await world.inbox() if one.outcome == "quarantined"]
    assert not (await world.reader.counts())["parked"]
    stock = after if provider == "square" else {k: after[k] - before[k] for k in after}
    return {**told(await world.order(ref, owner)), "stock": stock}


async def _on_hand(world: World) -> dict[str, int]:
    return {sku: (await world.level(sku)).on_hand for sku in ("LAMP", "RUG")}


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked=orders_of_arrival())
async def test_what_a_channel_sends_ends_in_the_same_state_however_it_arrives(
    sqlite_world: World, asked: tuple[Story, list[int], int]
) -> None:
    story, places, cut = asked
    await sqlite_world.stock(LAMP_leeds=10**6, RUG_leeds=10**6)
    await sqlite_world.staff(asking.catalog("LAMP", "v1", source=POS))
    shuffled = await run(sqlite_world, story, places, cut)
    assert shuffled == await run(sqlite_world, story, None, 1)
