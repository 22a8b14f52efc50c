"""A browser in front of the running stack, and Node beside it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from complaints import Complaints
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tools import required_or_skip

from devstack.stack import Stack

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_PATHS = (
    "/usr/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)
REPORT_VIOLATIONS = """
addEventListener('securitypolicyviolation', (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
"""


def find_chromium(playwrights: str) -> str | None:
    """The browser named by CHROMIUM, or the first that is installed, also by Playwright."""
    named = os.environ.get("CHROMIUM")
    found = (*CHROMIUM_PATHS, *map(shutil.which, CHROMIUM_NAMES), playwrights)
    candidates = [named] if named else found
    return next((path for path in candidates if path and Path(path).exists()), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this process."""
    with sync_playwright() as playwright:
        path = find_chromium(playwright.chromium.executable_path)
        if path is None:
            required_or_skip("no Chromium found; install it, or set CHROMIUM to its path")
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser that has never been here, on a desktop."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, locale="en-GB", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(REPORT_VIOLATIONS)
    yield context
    context.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Every test fails when the browser complained of something it did not expect."""
    complaints = Complaints()
    yield complaints

    assert complaints == []


@pytest.fixture
def page(context: BrowserContext, complaints: Complaints, stack: Stack) -> Page:
    """The page, open, nobody signed in."""
    page = context.new_page()
    complaints.listen(page)
    page.goto(stack.web_url)
    page.locator(".garment input").first.wait_for(state="attached")
    return page


@pytest.fixture
def create_account(page: Page) -> Callable[[], str]:
    """Sign up on the page, as somebody without a history; returns the address."""

    def create() -> str:
        email = f"{uuid4().hex}@example.com"
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("button", name="Sign out").wait_for()
        return email

    return create


@pytest.fixture(scope="session")
def node() -> str:
    """Node, 20 or later."""
    path = shutil.which("node")
    if path is None:
        required_or_skip("node is not installed")
    assert path is not None
    return path
