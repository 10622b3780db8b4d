"""A real Chromium, driven by playwright, and what tests do on the demo's page."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

HOW_TO_GET_CHROMIUM = "no Chromium: apt-get install chromium, or set CHROMIUM to the path of one"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DEADLINE_MS = 30_000
LAUNCH_MS = 90_000
"""Milliseconds that a browser may take to start, while others start beside it."""

OpenPage = Callable[..., Awaitable["DemoPage"]]


def find_chromium() -> str | None:
    """The browser's path: CHROMIUM, else what the system has."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


class DemoPage:
    """One reader's page, with the errors that its console showed."""

    def __init__(self, page: Page, base_url: str, tolerated: str) -> None:
        self.page = page
        self.base_url = base_url
        self.problems: list[str] = []
        self.requested: list[str] = []
        self._tolerated = re.compile(tolerated) if tolerated else None
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.on("request", lambda request: self.requested.append(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if self._tolerated is None or not self._tolerated.search(message.text):
            self.problems.append(f"{message.type}: {message.text}")

    async def log_in(self, user: str) -> None:
        """Choose a demo user and wait until the page is connected as them, and the upgrade is over."""
        await self.page.click(f"#switcher [data-user={user}]")
        await expect(self.page.locator("#connection-text")).to_have_text("Connected, WebSocket")
        await expect(self.page.locator(f"#switcher [data-user={user}]")).to_have_attribute("aria-pressed", "true")

    async def becomes(self, expression: str, argument: Any = None) -> Any:
        """Wait until a JavaScript expression or function is true; its value."""
        handle = await self.page.wait_for_function(expression, arg=argument)
        return await handle.json_value()

    async def text(self, selector: str) -> str:
        return await self.page.inner_text(selector)

    async def changes(self, selector: str) -> str:
        """Wait until an element's text differs from what it is now; the new text."""
        before = await self.text(selector)
        await self.becomes("([s, old]) => document.querySelector(s).innerText !== old", [selector, before])
        return await self.text(selector)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium; the test is skipped where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip(HOW_TO_GET_CHROMIUM)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=LAUNCH_MS)
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(browser: Browser, demo_server: str) -> AsyncIterator[OpenPage]:
    """Open the demo in a context of its own: another reader. At the end no console may hold an error.

    `tolerated` is a regular expression of console messages that belong to the test.
    """
    opened: list[DemoPage] = []
    expect.set_options(timeout=DEADLINE_MS)

    async def open_one(
        *, width: int = 1440, height: int = 900, scheme: str = "dark", tolerated: str = "", **context: Any
    ) -> DemoPage:
        options = {"viewport": {"width": width, "height": height}, "color_scheme": scheme, "locale": "en-US", **context}
        own = await browser.new_context(**options)
        own.set_default_timeout(DEADLINE_MS)
        page = DemoPage(await own.new_page(), demo_server, tolerated)
        opened.append(page)
        await page.page.goto(demo_server)
        return page

    yield open_one
    problems = [problem for page in opened for problem in page.problems]
    for page in opened:
        await page.page.context.close()
    assert problems == []
