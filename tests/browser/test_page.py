"""The demo's page in a real Chromium against a real server."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from kit.clients.browser import OpenPage
from kit.waiting import eventually

pytestmark = pytest.mark.browser

EVERY_USER = ("demo-free", "demo-premium", "demo-enterprise", "demo-admin")
SCREENSHOT = Path(__file__).parents[2] / "docs" / "page.png"
MONEY = re.compile(r"^\$[\d,]+\.\d\d$")


@pytest.mark.parametrize("user", EVERY_USER)
async def test_each_tier_logs_in_and_sees_its_own_portfolio(open_page: OpenPage, user: str) -> None:
    demo = await open_page()
    await expect(demo.page.locator("#welcome")).to_be_visible()

    await demo.page.click(f".tier[data-user={user}]")

    await expect(demo.page.locator("#connection-text")).to_have_text("Connected, WebSocket")
    await expect(demo.page.locator("#welcome")).to_be_hidden()
    await expect(demo.page.locator("#portfolio-value")).to_have_text(MONEY)
    name = {"demo-admin": "admin"}.get(user, user.removeprefix("demo-"))
    await expect(demo.page.locator("#portfolio-user")).to_contain_text(f"· {name}")
    await expect(demo.page.locator("#broadcast")).to_be_visible(visible=user == "demo-admin")


async def test_the_page_says_that_it_is_a_replay_and_of_which_day(open_page: OpenPage) -> None:
    demo = await open_page()
    label = demo.page.locator("#replay")

    await expect(label).to_contain_text(
        re.compile(r"Replay of (May|June) \d+, 2012, daily prices shipped by bokeh_sampledata")
    )
    await demo.log_in("demo-free")
    await expect(demo.page.locator("#market-text")).to_have_text(re.compile("Market (open|closed|pre-open)"))
    await demo.changes("#replay-date")


@pytest.mark.parametrize("user", EVERY_USER[1:])
async def test_quotes_change_and_are_drawn(open_page: OpenPage, user: str) -> None:
    demo = await open_page()
    await demo.log_in(user)

    for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT"):
        card = demo.page.locator(f".card[data-symbol={symbol}]")
        await expect(card).to_have_attribute("data-state", "on")
        await expect(card.locator(".delta")).to_have_text(re.compile(r"[▲▼•] [+-]?\$\d+\.\d\d \([+-]?\d+\.\d\d%\)"))
    await demo.changes(".card[data-symbol=AAPL] .price")
    await demo.becomes("() => document.querySelector('.card[data-symbol=AAPL] .now').getAttribute('d')?.length > 20")


async def test_a_symbol_is_unsubscribed_and_subscribed_again(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-premium")
    card = demo.page.locator(".card[data-symbol=IBM]")
    toggle = card.get_by_role("button", name="Quotes of IBM")
    await expect(toggle).to_have_attribute("aria-pressed", "true")
    await expect(card).to_have_attribute("data-state", "on")

    await toggle.click()

    await expect(card).to_have_attribute("data-state", "off")
    await expect(card.locator(".meta")).to_have_text("Not subscribed")
    still = await card.locator(".price").inner_text()
    for _ in range(3):  # while others go on
        await demo.changes(".card[data-symbol=AAPL] .price")
    assert await card.locator(".price").inner_text() == still

    await toggle.focus()
    await demo.page.keyboard.press("Enter")
    await expect(card).to_have_attribute("data-state", "on")
    await demo.changes(".card[data-symbol=IBM] .price")


async def test_a_free_user_is_refused_quotes_and_the_panel_says_why(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-free")
    refusal = demo.page.locator("#refusals .item").first

    await expect(refusal).to_contain_text("SUBSCRIPTION_ERROR: TIER_REQUIRED")
    await expect(refusal.locator(".why")).to_have_text(re.compile("premium", re.IGNORECASE))
    await expect(demo.page.locator("#refusals .item")).to_have_count(1)
    for card in await demo.page.locator(".card").all():
        await expect(card).to_have_attribute("data-state", "refused")
        await expect(card.locator(".meta")).to_contain_text("Refused: TIER_REQUIRED")
    await expect(demo.page.locator("#portfolio-value")).to_have_text(MONEY)


async def test_what_else_is_refused_is_reported_with_code_and_reason(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-premium")
    refusals = demo.page.locator("#refusals .item")

    for number, (what, title) in enumerate(
        (
            ("symbol", "SUBSCRIPTION_ERROR: SYMBOL_INVALID"),
            ("foreign", "SUBSCRIPTION_ERROR: USER_MISMATCH"),
            ("broadcast", "SUBSCRIPTION_ERROR: ADMIN_REQUIRED"),
            ("session", "AUTH_REQUIRED"),
        ),
        start=1,
    ):
        await demo.page.click(f"[data-try={what}]")
        await expect(refusals).to_have_count(number)
        await expect(refusals.first.locator("b")).to_have_text(title)
        await expect(refusals.first.locator(".why")).not_to_be_empty()
    await expect(demo.page.locator("#connection")).to_have_attribute("data-state", "connected")


async def test_trades_execute_fail_and_close_and_the_portfolio_follows(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-premium")
    trades = demo.page.locator("#trades .item")

    first = trades.filter(has=demo.page.locator(".badge", has_text=re.compile("Buy|Sell"))).first
    await expect(first.locator("b")).to_have_text(re.compile(r"^[A-Z]+ [\d,]+ × \$[\d,.]+$"))
    await expect(first.locator(".why")).not_to_be_empty()
    failed = demo.page.locator("#trades .item[data-kind=failed]").first
    await expect(failed.locator(".why")).to_have_text(re.compile(r"\((INSUFFICIENT_FUNDS|RISK_LIMIT|ORDER_LIMIT)\)$"))
    await expect(trades.filter(has_text="position").first).to_contain_text("→")
    before = await demo.text("#portfolio-value")
    assert await demo.changes("#portfolio-value") != before
    assert MONEY.match(await demo.text("#portfolio-value"))
    await demo.becomes("() => document.querySelector('#portfolio-chart .value').getAttribute('d')?.length > 20")


async def test_notifications_arrive(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-free")

    await expect(demo.page.locator("#notifications .item").first.locator(".why")).not_to_be_empty()


async def test_an_admins_broadcast_reaches_everybody_as_text(open_page: OpenPage) -> None:
    reader, admin = await open_page(), await open_page()
    await reader.log_in("demo-free")
    await admin.log_in("demo-admin")
    markup = '<img src=x onerror="window.broken = true">'

    await admin.page.fill("#broadcast-event", "maintenance")
    await admin.page.fill("#broadcast-data", json.dumps({"title": "At six", "message": markup}))
    await admin.page.click("#broadcast button[type=submit]")

    await expect(admin.page.locator("#broadcast-result")).to_contain_text("Sent")
    for demo in (reader, admin):
        item = demo.page.locator("#notifications .item[data-kind=broadcast]").first
        await expect(item.locator("b")).to_have_text("At six")
        await expect(item.locator(".amount")).to_have_text("maintenance")
        await expect(item.locator(".why")).to_have_text(markup)
        assert await demo.page.evaluate("window.broken") is None

    await admin.page.fill("#broadcast-data", "only text")
    await admin.page.click("#broadcast button[type=submit]")
    await expect(reader.page.locator("#notifications .item[data-kind=broadcast]").first).to_contain_text("only text")


async def test_a_broadcast_that_is_refused_says_why(open_page: OpenPage) -> None:
    admin = await open_page()
    await admin.log_in("demo-admin")

    await admin.page.fill("#broadcast-event", "no spaces allowed")
    await admin.page.click("#broadcast button[type=submit]")

    await expect(admin.page.locator("#broadcast-result")).to_contain_text("event is 1 to 64 of")
    await expect(admin.page.locator("#refusals .item").first).to_contain_text("INVALID_PAYLOAD")


async def test_a_lost_connection_is_shown_and_recovers(open_page: OpenPage) -> None:
    demo = await open_page(tolerated="ERR_INTERNET_DISCONNECTED|WebSocket connection to")
    await demo.log_in("demo-premium")
    await demo.changes(".card[data-symbol=AAPL] .price")

    await demo.page.context.set_offline(True)

    await expect(demo.page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
    await expect(demo.page.locator("#connection-text")).to_contain_text("Reconnecting")
    await expect(demo.page.locator("#refusals .item").last).to_contain_text("CONNECTION_LOST")
    await expect(demo.page.locator(".card[data-symbol=AAPL]")).to_have_attribute("data-state", "asking")

    await demo.page.context.set_offline(False)

    await expect(demo.page.locator("#connection")).to_have_attribute("data-state", "connected")
    await expect(demo.page.locator(".card[data-symbol=AAPL]")).to_have_attribute("data-state", "on")
    await demo.changes(".card[data-symbol=AAPL] .price")


async def test_quotes_that_stop_are_shown_as_stale(open_page: OpenPage) -> None:
    """By the page's own clock: a server that hangs, or is out of reach, says nothing."""
    demo = await open_page(tolerated="ERR_INTERNET_DISCONNECTED|WebSocket connection to")
    await demo.log_in("demo-premium")
    card, market = demo.page.locator(".card[data-symbol=AAPL]"), demo.page.locator("#market")
    await demo.changes(".card[data-symbol=AAPL] .price")
    await expect(card).to_have_attribute("data-stale", "false")
    while True:
        await expect(market).to_have_attribute("data-state", "open")
        await demo.page.context.set_offline(True)
        await expect(demo.page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
        if await market.get_attribute("data-state") == "open":
            break  # else the day ended meanwhile, and nothing is stale while the market is closed
        await demo.page.context.set_offline(False)

    await expect(card).to_have_attribute("data-stale", "true")
    await expect(card.locator(".state")).to_have_text(re.compile(r"^No quote since \d\d:\d\d:\d\d$"))
    if os.environ.get("STALE_SCREENSHOT"):
        await demo.page.screenshot(path=os.environ["STALE_SCREENSHOT"])

    await demo.page.context.set_offline(False)

    await expect(card).to_have_attribute("data-stale", "false")
    await demo.changes(".card[data-symbol=AAPL] .price")


async def test_the_page_follows_deltas(open_page: OpenPage) -> None:
    demo = await open_page()
    frames: list[str] = []
    demo.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    await demo.log_in("demo-premium")

    def count(event: str) -> int:
        return sum(frame.startswith(f'42["{event}",') for frame in frames)

    # The first ones are whole; nearly all that follow are not.
    await eventually(lambda: count("watchlist:quote:delta") > 2 * count("watchlist:quote") > 0)


async def test_trades_and_notifications_are_there_after_a_reload(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-premium")
    for panel in ("trades", "notifications"):
        await expect(demo.page.locator(f"#{panel} .item").nth(1)).to_be_visible()
    shown = "(list) => [...document.querySelectorAll(`#${list} .item`)].map((item) => item.textContent)"
    before = {panel: await demo.page.evaluate(shown, panel) for panel in ("trades", "notifications")}

    await demo.page.reload()

    await expect(demo.page.locator("#connection-text")).to_have_text("Connected, WebSocket")
    for panel, items in before.items():
        # Twenty at most are kept of each room, and others come meanwhile.
        await demo.becomes(f"([list, newest]) => ({shown})(list).includes(newest)", [panel, items[0]])
        after = await demo.page.evaluate(shown, panel)
        assert after.count(items[0]) == 1
        kept = [item for item in after if item in items]
        assert kept == [item for item in items if item in kept], "in the same order"
    assert await demo.page.locator("#refusals .item").count() == 0


async def test_a_session_that_the_server_ends_is_reported_with_the_reason(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-premium")
    stored = json.loads(await demo.page.evaluate("sessionStorage.getItem('tradecast-demo-login')"))

    # Logged out elsewhere.
    answer = await demo.page.request.post(
        f"{demo.base_url}/demo/logout", data={"sessionID": stored["sessionID"]}, headers={"Accept": "application/json"}
    )

    assert (await answer.json()) == {"revoked": True}
    await expect(demo.page.locator("#connection-text")).to_have_text("Session ended")
    await expect(demo.page.locator("#banner")).to_contain_text(re.compile(r"\(SESSION_\w+\)"))
    await demo.page.click("#banner-action")
    await expect(demo.page.locator("#connection-text")).to_have_text("Connected, WebSocket")
    await expect(demo.page.locator("#banner")).to_be_hidden()


async def test_users_are_switched_and_nothing_of_the_last_one_stays(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-enterprise")
    await expect(demo.page.locator("#portfolio-value")).to_have_text(re.compile(r"^\$\d,\d{3},\d{3}\.\d\d$"))

    await expect(demo.page.locator("#trades .item").first).to_be_visible()
    await demo.page.evaluate("document.querySelector('#trades .item').id = 'of-the-last-user'")

    await demo.log_in("demo-free")

    await expect(demo.page.locator("#portfolio-value")).to_have_text(re.compile(r"^\$\d\d,\d{3}\.\d\d$"))
    await expect(demo.page.locator("#of-the-last-user")).to_have_count(0)
    await expect(demo.page.locator("#refusals .item").first).to_contain_text("TIER_REQUIRED")
    await demo.page.click("#logout")
    await expect(demo.page.locator("#connection-text")).to_have_text("Logged out")
    await expect(demo.page.locator("#welcome")).to_be_visible()
    await expect(demo.page.locator("#trades .item")).to_have_count(0)


async def test_a_reload_keeps_the_log_in(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-premium")

    await demo.page.reload()

    await expect(demo.page.locator("#connection-text")).to_have_text("Connected, WebSocket")
    await expect(demo.page.locator("#portfolio-user")).to_contain_text("Petra Premium")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 640), (900, 1000), (1440, 900)])
@pytest.mark.parametrize("user", ["", "demo-free", "demo-admin"])
async def test_nothing_overflows_to_the_side(open_page: OpenPage, width: int, height: int, user: str) -> None:
    demo = await open_page(width=width, height=height, scheme="light")
    if user:
        await demo.log_in(user)
        await expect(demo.page.locator("#trades .item").first).to_be_visible()
        await expect(demo.page.locator("#portfolio-value")).to_have_text(MONEY)

    sizes = await demo.page.evaluate(
        """() => [document.documentElement.scrollWidth, innerWidth,
            [...document.querySelectorAll('.panel, .card, .top-inner')].filter((e) => e.offsetParent
                && e.scrollWidth > e.clientWidth + 1).map((e) => e.className)]"""
    )
    assert sizes[0] <= sizes[1]
    assert sizes[2] == []


async def test_everything_comes_from_the_server_itself(open_page: OpenPage) -> None:
    demo = await open_page()
    await demo.log_in("demo-premium")
    await expect(demo.page.locator("#trades .item").first).to_be_visible()

    assert len(demo.requested) > 8
    assert [url for url in demo.requested if not url.startswith(demo.base_url)] == []


async def test_the_screenshot_of_the_readme(open_page: OpenPage, tmp_path: Path) -> None:
    """Written to docs/page.png where SCREENSHOT is set (it then waits for a good moment), and else only taken."""
    wanted = bool(os.environ.get("SCREENSHOT"))
    demo = await open_page()
    demo.page.set_default_timeout(90_000)
    await demo.log_in("demo-premium")
    await expect(demo.page.locator("#trades .item").nth(2)).to_be_attached()
    await demo.page.click("[data-try=foreign]")
    await demo.page.click("[data-try=session]")
    await expect(demo.page.locator("#refusals .item")).to_have_count(2)
    # Charts that have some points, several positions, and not the end of a day.
    await demo.becomes(
        """([points, held]) =>
            document.querySelector('#portfolio-chart .value').getAttribute('d')?.split('L').length > points
            && document.querySelectorAll('#positions [data-held=true]').length >= held
            && document.querySelector('#market').dataset.state === 'open'
            && document.querySelector('.card[data-symbol=AAPL] .end').getAttribute('cx') > 190""",
        [30, 3] if wanted else [3, 1],
    )
    target = SCREENSHOT if wanted else tmp_path / "page.png"
    target.parent.mkdir(exist_ok=True)

    await demo.page.screenshot(path=target)

    assert target.read_bytes().startswith(b"\x89PNG")
    assert target.stat().st_size > 40_000
