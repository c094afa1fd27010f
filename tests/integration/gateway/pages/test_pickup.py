"""The pickup board, as somebody in a store sees and uses it."""

from datetime import timedelta

import pytest
from playwright.async_api import BrowserContext, Page, expect

from outbox.ports import Connected, Disconnected, StreamPosition
from tests.integration.gateway.pages.conftest import Edge
from tests.stream_fakes import START, fulfilment

HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'


async def opened(edge: Edge, page: Page) -> Page:
    await page.goto(f"http://{edge.host}/pickup/S-001")
    return page


async def live(edge: Edge, page: Page) -> Page:
    await opened(edge, page)
    await expect(page.locator("#status-text")).to_have_text("Live")
    return page


async def test_the_board_shows_rows_in_their_columns(edge: Edge, page: Page) -> None:
    edge.world.change("1", "assigned")
    edge.world.change("2", "ready")
    await live(edge, page)
    await expect(page.locator("[data-column='0'] .card")).to_contain_text("#1")
    await expect(page.locator("[data-column='4'] .card")).to_contain_text("#2")
    card = page.locator("[data-id='1']")
    for text in ("Ada L.", "Green tea", "2 \N{MULTIPLICATION SIGN}", "TEA-1", "Pickup"):
        await expect(card).to_contain_text(text)
    await expect(page.locator("#place")).to_have_text("Soho")
    await expect(page.locator("#summary")).to_have_text("2 open orders")


async def test_the_board_follows_what_happens(edge: Edge, page: Page) -> None:
    edge.world.change("1", "assigned")
    await live(edge, page)
    edge.world.change("1", "picking")
    await expect(page.locator("[data-column='2'] .card")).to_have_attribute("data-id", "1")
    edge.world.change("1", "collected")
    await expect(page.locator(".card")).to_have_count(0)
    await expect(page.locator("#news")).to_have_text("Order #1: left the board")


async def test_a_button_posts_the_action_with_version_and_csrf(edge: Edge, page: Page) -> None:
    edge.world.change("1", "assigned")
    await live(edge, page)
    edge.answering.clear()
    button = page.get_by_role("button", name="Acknowledge")
    await button.click()
    await expect(button).to_have_attribute("aria-disabled", "true")
    await button.click(force=True)
    edge.answering.set()
    await expect(page.locator("[data-column='1'] .card")).to_have_attribute("data-id", "1")
    assert edge.posted == [("1", "acknowledge", {"version": 1}, "csrf-1")]


async def test_the_keyboard_alone_works_an_order_and_keeps_its_place(
    edge: Edge, page: Page
) -> None:
    edge.world.change("1", "assigned")
    edge.world.change("2", "assigned")
    await live(edge, page)
    await page.locator("[data-id='2'] button").focus()
    for column, step in (("1", "start"), ("2", "pick"), ("3", "stage")):
        await page.keyboard.press("Enter")
        await expect(page.locator(f"[data-column='{column}'] .card")).to_have_count(1)
        focused = page.locator("[data-id='2'] button:focus")
        await expect(focused).to_have_attribute("data-action", step)
        await expect(focused).to_be_enabled()  # the event may come before the answer to the click
    edge.world.change("2", "cancelled")
    await expect(page.locator("#board")).to_be_focused()


@pytest.mark.parametrize(
    ("method", "state", "actions"),
    [
        ("pickup", "assigned", ["acknowledge"]),
        ("pickup", "acknowledged", ["start", "pick"]),
        ("pickup", "picking", ["pick"]),
        ("pickup", "picked", ["stage"]),
        ("pickup", "staged", ["ready"]),
        ("pickup", "ready", ["collect"]),
        ("ship", "picking", ["pick"]),
        ("ship", "picked", ["pack"]),
        ("ship", "packed", ["hand-off"]),
    ],
)
async def test_each_state_offers_its_own_actions(
    edge: Edge, page: Page, method: str, state: str, actions: list[str]
) -> None:
    edge.world.table.commit({**fulfilment("1", state), "method": method})
    await live(edge, page)
    buttons = page.locator("[data-id='1'] button")
    await expect(buttons).to_have_count(len(actions))
    assert await buttons.evaluate_all("all => all.map(one => one.dataset.action)") == actions


async def test_a_conflict_shows_the_present_row(edge: Edge, page: Page) -> None:
    edge.world.change("1", "assigned")
    await live(edge, page)
    row = {**fulfilment("1", "picking"), "version": 5}
    edge.problem = (409, {"title": "stale", "detail": "The row has changed.", "row": row})
    await page.get_by_role("button", name="Acknowledge").click()
    card = page.locator("[data-column='2'] .card")
    await expect(card.get_by_role("alert")).to_have_text(
        "Somebody was faster. This is the order now."
    )
    await expect(card.get_by_role("button", name="All picked")).to_be_visible()


async def test_a_problem_is_shown_in_its_own_words(edge: Edge, page: Page) -> None:
    edge.world.change("1", "assigned")
    await live(edge, page)
    edge.problem = (503, {"title": "Unavailable", "detail": "The database does not answer."})
    await page.get_by_role("button", name="Acknowledge").click()
    card = page.locator("[data-id='1']")
    await expect(card.get_by_role("alert")).to_have_text("The database does not answer.")
    await expect(card.get_by_role("button")).to_have_attribute("aria-disabled", "false")


async def test_a_stale_hub_freezes_the_board_and_says_since_when(edge: Edge, page: Page) -> None:
    edge.world.change("1", "assigned")
    await live(edge, page)
    edge.world.stream.say(Disconnected("gone"))
    await expect(page.locator("#banner")).to_have_text(
        "Frozen since 09:00 — showing the last known state"
    )
    await expect(page.locator(".card")).to_have_count(1)
    edge.world.stream.say(Connected(StreamPosition("1", 1)))
    await expect(page.locator("#status-text")).to_have_text("Live")
    await expect(page.locator("#banner")).to_be_hidden()


async def test_a_lost_connection_freezes_the_board_and_resumes(
    edge: Edge, page: Page, context: BrowserContext
) -> None:
    edge.world.change("1", "assigned")
    await live(edge, page)
    await context.set_offline(offline=True)
    await expect(page.locator("#status-text")).to_have_text("Frozen since 09:00")
    edge.world.change("2", "assigned")
    queries = edge.world.table.queries
    await context.set_offline(offline=False)
    await expect(page.locator(".card")).to_have_count(2)
    await expect(page.locator("#status-text")).to_have_text("Live")
    assert edge.world.table.queries == queries, "a resume needs no snapshot"


async def test_a_silent_server_is_not_called_live(edge: Edge, page: Page) -> None:
    await page.clock.install()
    edge.world.change("1", "assigned")
    await live(edge, page)
    edge.authenticator.reachable = False  # and so the board cannot come back
    await page.clock.run_for(31_000)
    await expect(page.locator("#status-text")).to_contain_text("Frozen since")
    await expect(page.locator(".card")).to_have_count(1)


async def test_a_new_stream_replaces_what_is_shown(edge: Edge, page: Page) -> None:
    edge.world.change("1", "assigned")
    await live(edge, page)
    edge.world.table.tables["board:S-001"].clear()
    edge.world.table.commit(fulfilment("9", "ready"))
    edge.world.stream.restart("2")
    await expect(page.locator(".card")).to_have_attribute("data-id", "9")
    await expect(page.locator("#status-text")).to_have_text("Live")


async def test_hostile_text_stays_text(edge: Edge, page: Page) -> None:
    row = fulfilment("1", "assigned")
    row |= {"order_number": HOSTILE, "customer_label": HOSTILE, "method": HOSTILE}
    row["lines"] = [{"line_id": "1", "sku": HOSTILE, "title": HOSTILE, "quantity": 1}]
    edge.world.table.commit({**row, "promise_latest": "nonsense"})
    await live(edge, page)
    await expect(page.locator("[data-id='1'] .number")).to_have_text(HOSTILE)
    assert await page.evaluate("window.hurt") is None
    assert await page.locator(".card img, .card script").count() == 0


async def test_without_a_session_the_board_asks_for_a_token(
    edge: Edge, page: Page, context: BrowserContext
) -> None:
    await context.clear_cookies()
    edge.world.change("1", "assigned")
    await opened(edge, page)
    dialog = page.get_by_role("dialog", name="Sign in")
    await dialog.get_by_label("Access token").fill("wrong")
    await dialog.get_by_role("button", name="Sign in").click()
    await expect(dialog.get_by_role("alert")).to_have_text("This token is not valid.")
    await dialog.get_by_label("Access token").fill("board")
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(page.locator(".card")).to_have_count(1)


async def test_a_board_out_of_scope_is_refused_in_words(edge: Edge, page: Page) -> None:
    await page.goto(f"http://{edge.host}/pickup/S-002")
    await expect(page.locator("#banner")).to_have_text(
        "Your token does not open this location's board."
    )


async def test_before_anything_is_known_no_column_says_that_it_is_empty(
    edge: Edge, page: Page
) -> None:
    edge.world.table.reachable = False
    await opened(edge, page)
    await expect(page.locator("#place")).to_have_text("Soho")
    await expect(page.locator("#status-text")).not_to_have_text("Live")
    assert set(await page.locator(".column .count").all_inner_texts()) == {"\N{EN DASH}"}
    await expect(page.get_by_text("Nobody is waiting")).to_be_hidden()
    edge.world.table.reachable = True
    await expect(page.get_by_text("Nobody is waiting")).to_be_visible()
    assert set(await page.locator(".column .count").all_inner_texts()) == {"0"}


async def test_a_location_that_does_not_exist_is_not_an_empty_board(
    edge: Edge, page: Page, context: BrowserContext
) -> None:
    address = f"http://{edge.host}"
    await context.add_cookies([{"name": "imv_session", "value": "operator", "url": address}])
    await page.goto(f"{address}/pickup/S-0O1")
    await expect(page.locator("#banner")).to_have_text("The network has no location S-0O1.")
    await expect(page.locator("#status-text")).not_to_have_text("Live")
    await expect(page.locator("#board")).to_be_hidden()
    await page.get_by_role("link", name="All locations", exact=True).last.click()
    await expect(page.get_by_role("link", name="Soho")).to_be_visible()


async def test_who_is_refused_may_use_another_token(
    edge: Edge, page: Page, context: BrowserContext
) -> None:
    address = f"http://{edge.host}"
    await context.add_cookies([{"name": "imv_session", "value": "orders", "url": address}])
    edge.world.change("1", "assigned")
    await opened(edge, page)
    await page.get_by_role("button", name="Use another token").click()
    await page.get_by_label("Access token").fill("board")
    await page.keyboard.press("Enter")
    await expect(page.locator(".card")).to_have_count(1)
    await expect(page.locator("#notice")).to_be_hidden()


async def test_on_a_phone_a_strip_leads_to_each_column(edge: Edge, page: Page) -> None:
    for number in range(8):
        edge.world.change(str(number), "assigned")
    edge.world.change("9", "ready")
    await page.set_viewport_size({"width": 390, "height": 844})
    await live(edge, page)
    jump = page.get_by_role("navigation", name="Columns").get_by_role("link", name="Ready 1")
    await expect(page.locator("[data-id='9']")).not_to_be_in_viewport()
    await jump.click()
    await expect(page.locator("[data-id='9']")).to_be_in_viewport()
    top, bottom = await page.evaluate(
        "[document.getElementById('column-4').getBoundingClientRect().top,"
        " document.querySelector('.top').getBoundingClientRect().bottom]"
    )
    assert top >= bottom, "the header does not cover the column"


async def test_a_long_order_number_stays_on_one_line(edge: Edge, page: Page) -> None:
    await page.set_viewport_size({"width": 1440, "height": 900})
    row = {**fulfilment("1", "assigned"), "order_number": "P-1795733544283"}
    edge.world.table.commit(row)
    await live(edge, page)
    lines = await page.locator("[data-id='1'] .number").evaluate(
        "one => one.getBoundingClientRect().height / parseFloat(getComputedStyle(one).lineHeight)"
    )
    assert lines < 1.5


async def test_a_card_that_comes_or_moves_draws_the_eye_for_a_moment(
    edge: Edge, page: Page
) -> None:
    edge.world.change("1", "assigned")
    await live(edge, page)
    await expect(page.locator(".card[data-fresh]")).to_have_count(0)
    edge.world.change("2", "assigned")
    await expect(page.locator("[data-id='2'][data-fresh]")).to_have_count(1)
    await expect(page.locator(".card[data-fresh]")).to_have_count(0)
    await expect(page).to_have_title("(2) S-001 · Pickup board")


async def test_every_control_is_large_enough_for_a_finger(edge: Edge, page: Page) -> None:
    edge.world.change("1", "acknowledged")
    await page.set_viewport_size({"width": 390, "height": 844})
    await live(edge, page)
    sizes = await page.locator("button:visible, a.brand, .jump").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert all(min(size) >= 44 for size in sizes)
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide == 390, "nothing scrolls sideways on a phone"


async def test_a_late_promise_says_so(edge: Edge, page: Page) -> None:
    promise = (START - timedelta(minutes=5)).isoformat()
    edge.world.table.commit({**fulfilment("1", "picking"), "promise_latest": promise})
    await live(edge, page)
    await expect(page.locator("[data-id='1'] .promise")).to_have_text("Late: promised 08:55")


async def test_the_index_lists_the_locations(edge: Edge, page: Page) -> None:
    await page.goto(f"http://{edge.host}/")
    link = page.get_by_role("link", name="Soho")
    assert await link.get_attribute("href") == "/pickup/S-001"


async def test_signing_out_leaves_nothing_behind(edge: Edge, page: Page) -> None:
    await page.goto(f"http://{edge.host}/")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    await expect(page.get_by_role("link", name="Soho")).to_have_count(0)
    await expect(page.locator("#sign-out")).to_be_hidden()
