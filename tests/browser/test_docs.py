"""`/docs` in a browser: it shows the document, and our policy lets it."""

import re

from complaints import Complaints
from playwright.sync_api import BrowserContext, expect

from devstack.stack import Stack


def test_the_docs_show_every_operation(
    context: BrowserContext, complaints: Complaints, stack: Stack
) -> None:
    asked: list[str] = []
    page = context.new_page()
    complaints.listen(page)
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"{stack.web_url}/docs")

    expect(page.locator(".opblock")).to_have_count(8)
    page.locator("#operations-try-on-startTryOn .opblock-summary-control").click()
    expect(page.get_by_text("garmentId *")).to_be_visible()
    elsewhere = [url for url in asked if not url.startswith((stack.web_url, "data:"))]
    assert elsewhere == []


def test_the_docs_call_the_api(
    context: BrowserContext, complaints: Complaints, stack: Stack
) -> None:
    page = context.new_page()
    complaints.listen(page)
    page.goto(f"{stack.web_url}/docs")
    page.locator("#operations-health-isLive .opblock-summary-control").click()

    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()

    answer = page.locator(".live-responses-table")
    expect(answer).to_contain_text(re.compile(r'"status": "ok"'))
