"""`imv up --demo`: a newcomer's first look at a store's pickup screen."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser import chromium
from tests.e2e import instance as at

_ARGUMENTS = ("up", "--demo", "--json", "--port", "0", "--data")
_CARDS = """() => Object.fromEntries(
    [...document.querySelectorAll("article")].map((card) => [card.dataset.id, card.dataset.state])
)"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await browser.new_page(viewport={"width": 1920, "height": 1080})


async def test_the_demo_shows_orders_that_arrive_and_move_by_themselves(
    tmp_path: Path, page: Page
) -> None:
    with at.running(*_ARGUMENTS, str(tmp_path / "data")) as up:
        await page.goto(f"{up.http}/pickup/S-001")
        await page.fill("input", up.ready["token"])
        await page.keyboard.press("Enter")
        first = await at.until(lambda: _cards(page), within_s=60)
        await at.until(lambda: _arrived(page, first), within_s=60)
        await at.until(lambda: _moved(page, first), within_s=60)
        assert "Live" in await page.inner_text("#status")


async def _cards(page: Page) -> dict[str, str]:
    """Return the state of each card on the board, by its fulfilment's id."""
    found: dict[str, str] = await page.evaluate(_CARDS)
    return found


async def _arrived(page: Page, first: dict[str, str]) -> bool:
    return bool(set(await _cards(page)) - set(first))


async def _moved(page: Page, first: dict[str, str]) -> bool:
    now = await _cards(page)
    return any(now[card] != state for card, state in first.items() if card in now)
