"""What a shopper meets beside the straight way: languages, slow lines, two tabs, every state."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pillow_heif
import psycopg
import pytest
from actors import PATIENCE, Simulator, encoded
from complaints import Complaints
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Response, Route, expect
from tools import installed_from_npm

from devstack.stack import Stack

KILOBYTE = 1024
SLOW_LINE = {
    "offline": False, "latency": 50, "downloadThroughput": 10**7, "uploadThroughput": 40 * KILOBYTE,
}  # fmt: skip


def photo(width: int = 800, height: int = 1200, quality: int = 80) -> bytes:
    """A photo that does not become small by being compressed."""
    noise = Image.effect_noise((width // 4, height // 4), 80).resize((width, height))
    return encoded(noise.convert("RGB"), quality=quality)


def take(page: Page, content: bytes, name: str = "me.jpg", kind: str = "image/jpeg") -> None:
    """Choose a photo of one's own."""
    file = {"name": name, "mimeType": kind, "buffer": content}
    page.locator("#photo").set_input_files(file)
    expect(page.locator("#chosen")).to_have_text(name)


def choose(page: Page, garment: int = 0) -> None:
    """Choose a sample photo and a garment."""
    page.locator("[data-photo]").first.click()
    page.locator("#preview").wait_for()
    page.locator(".garment:visible").nth(garment).click()


def ends(page: Page, status: str = "success") -> None:
    """Wait until the stage shows an end."""
    page.locator(f"#stage[data-status={status}]").wait_for()


@pytest.fixture
def posts(page: Page) -> list[str]:
    """Every try-on that the page starts."""
    found: list[str] = []
    page.on("request", lambda r: found.append(r.url) if r.method == "POST" else None)
    return found


def started(posts: list[str]) -> int:
    return sum(url.endswith("/api/try-on") for url in posts)


@contextmanager
def throttled(page: Page) -> Iterator[None]:
    """A line that takes 40 KB a second from the page."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", SLOW_LINE)
    yield
    free = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", free)
    session.detach()


# -- words -----------------------------------------------------------------------------------


def test_an_indonesian_reads_indonesian(
    chromium: Browser, stack: Stack, simulator: Simulator
) -> None:
    context = chromium.new_context(locale="id-ID", viewport={"width": 390, "height": 780})
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    simulator.change(faults=[{"at": "submit", "kind": "error", "times": None}])
    page.goto(stack.web_url)
    page.get_by_role("button", name="Lanjutkan sebagai pengguna contoh").click()
    expect(page.get_by_role("heading", name="Apa yang ingin Anda coba?")).to_be_focused()
    page.get_by_role("button", name="Coba sekarang").click()
    expect(page.locator("#go-problem")).to_contain_text("Silakan pilih foto.")
    choose(page)
    page.get_by_role("button", name="Coba sekarang").click()
    ends(page, "failed")

    expect(page.locator("#stage-problem")).to_contain_text("Gambar tidak berhasil dibuat.")
    expect(page.locator("#stage-problem")).to_contain_text("Coba lagi, atau gunakan foto lain.")
    assert page.locator("html").get_attribute("lang") == "id"
    context.close()


# -- sending ---------------------------------------------------------------------------------


def test_how_far_an_upload_has_got_is_seen_and_it_can_be_cancelled(
    page: Page, create_account: Callable[[], str], database: psycopg.Connection[Any]
) -> None:
    email = create_account()
    take(page, photo())
    page.locator(".garment:visible").first.click()

    with throttled(page):
        page.locator("#go").click()
        expect(page.locator("#go")).to_have_text("Sending your photo…")
        page.wait_for_function("() => document.getElementById('sent').value > 0.2")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#go")).to_have_text("Try it on")

    query = (
        "select count(*) from try_on_history join auth.users u on u.id = user_id where email = %s"
    )
    assert database.execute(query, [email]).fetchone() == (0,)
    expect(page.locator("#stage")).to_be_hidden()
    page.locator("#go").click()
    ends(page)


def test_a_double_click_pays_once(
    page: Page, create_account: Callable[[], str], posts: list[str], simulator: Simulator
) -> None:
    create_account()
    choose(page)

    page.locator("#go").dblclick()
    ends(page)

    assert started(posts) == 1
    assert len(simulator.submits()) == 1


def test_a_lost_answer_is_asked_for_again_and_paid_once(
    page: Page, create_account: Callable[[], str], simulator: Simulator, complaints: Complaints
) -> None:
    create_account()
    choose(page)
    lost: list[Route] = []

    def lose(route: Route) -> None:
        if not lost:
            lost.append(route)
            route.fetch()
            return route.abort("connectionreset")
        return route.continue_()

    page.route("**/api/try-on", lose)
    page.locator("#go").click()
    page.locator("#go-problem").get_by_role("button", name="Try again").click()
    ends(page)

    assert len(simulator.submits()) == 1
    complaints.expect("ERR_CONNECTION_RESET")


def test_a_huge_photo_is_made_smaller_before_it_is_sent(
    page: Page, create_account: Callable[[], str]
) -> None:
    create_account()
    twelve_megapixels = photo(3000, 4000, 92)
    take(page, twelve_megapixels)
    page.locator(".garment:visible").first.click()

    with page.expect_request("**/api/try-on") as sent:
        page.locator("#go").click()
    ends(page)

    size = int(sent.value.all_headers()["content-length"])
    assert 10 * KILOBYTE < size < len(twelve_megapixels) / 2


def test_a_heic_that_the_browser_cannot_show_is_sent_as_it_is(
    page: Page, create_account: Callable[[], str]
) -> None:
    create_account()
    file = BytesIO()
    pillow_heif.from_pillow(Image.open(BytesIO(photo()))).save(file, quality=60)
    take(page, file.getvalue(), "me.heic", "image/heic")
    page.locator(".garment:visible").first.click()

    page.locator("#go").click()
    ends(page)

    assert page.locator("#after").evaluate("i => i.decode().then(() => i.naturalWidth)") > 300


# -- the result, and what comes next ----------------------------------------------------------


def test_the_picture_is_compared_with_the_photo_by_keyboard(
    page: Page, create_account: Callable[[], str]
) -> None:
    create_account()
    choose(page)
    page.locator("#go").click()
    ends(page)

    slider = page.get_by_role("slider", name="Compare with your photo")
    slider.press("End")

    assert page.locator("#after").evaluate("i => i.style.clipPath") == "inset(0px 0px 0px 100%)"
    slider.press("Home")
    assert page.locator("#after").evaluate("i => i.style.clipPath").startswith("inset(0px 0px 0px")


def test_the_next_garment_takes_the_same_photo_without_sending_it(
    page: Page, create_account: Callable[[], str], posts: list[str]
) -> None:
    create_account()
    choose(page)
    page.locator("#go").click()
    ends(page)
    page.get_by_role("button", name="Another garment, same photo").click()
    expect(page.locator("#chosen")).to_have_text("The same photo")
    bodies: list[str] = []
    page.on("request", lambda r: bodies.append((r.post_data_buffer or b"").decode("latin1")))

    page.locator(".garment:visible").nth(1).click()
    page.locator("#go").click()
    expect(page.locator("#cards li")).to_have_count(2)

    (body,) = [body for body in bodies if "garmentId" in body]
    assert "photoOf" in body
    assert len(body) < KILOBYTE


def test_how_long_it_will_take_is_told(
    page: Page, create_account: Callable[[], str], simulator: Simulator
) -> None:
    simulator.change(delay=3)
    create_account()
    choose(page)

    def answer(route: Route) -> None:
        answered = route.fetch()
        body = answered.json()
        if body["data"]["status"] == "processing":
            body["data"]["etaSeconds"] = 42
        route.fulfill(response=answered, json=body)

    page.route("**/status", answer)
    page.locator("#go").click()

    expect(page.locator("#elapsed")).to_contain_text(re.compile("about 4[0-2] s left"))


def test_another_tab_takes_up_what_this_one_started(
    page: Page, create_account: Callable[[], str], simulator: Simulator, stack: Stack
) -> None:
    simulator.change(delay=3)
    create_account()
    choose(page)
    page.locator("#go").click()
    ends(page, "processing")

    other = page.context.new_page()
    other.goto(stack.web_url)

    ends(other)
    ends(page)
    assert len(simulator.submits()) == 1


def test_it_says_that_it_is_offline_and_goes_on_afterwards(
    page: Page, context: BrowserContext, create_account: Callable[[], str], simulator: Simulator,
    complaints: Complaints,
) -> None:  # fmt: skip
    simulator.change(delay=2)
    create_account()
    choose(page)
    page.locator("#go").click()
    ends(page, "processing")

    context.set_offline(True)
    expect(page.get_by_text("You are offline.")).to_be_visible()
    page.wait_for_event("requestfailed")
    context.set_offline(False)

    expect(page.get_by_text("You are offline.")).to_be_hidden()
    ends(page)
    complaints.expect("ERR_INTERNET_DISCONNECTED")


# -- weight and access ------------------------------------------------------------------------


def test_who_is_signed_out_loads_little_and_keeps_it(context: BrowserContext, stack: Stack) -> None:
    page = context.new_page()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(stack.web_url)
    page.wait_for_load_state("networkidle")
    sizes = {a.url: int(a.header_value("content-length") or len(a.body())) for a in answers}

    page.reload()
    kept = page.evaluate(
        """() => performance.getEntriesByType('resource').filter((e) => e.name.includes('/static/'))
             .map((e) => e.transferSize)"""
    )

    assert 10 * KILOBYTE < sum(sizes.values()) < 300 * KILOBYTE
    assert not [url for url in sizes if "/photos/" in url]
    assert len(kept) > 10
    assert set(kept) == {0}


@pytest.fixture(scope="session")
def axe() -> str:
    """What checks a page for those who do not see it, or do not use a mouse."""
    return (installed_from_npm() / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def complaints_of_axe(page: Page, axe: str) -> list[str]:
    """What it finds wrong with the page as it is now, against WCAG 2.2 AA and good practice."""
    page.evaluate(axe + "; window.axe = axe")
    found = page.evaluate("() => axe.run()")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_in_any_state(
    chromium: Browser, stack: Stack, simulator: Simulator, axe: str, scheme: Any, width: int
) -> None:
    context = chromium.new_context(
        bypass_csp=True, color_scheme=scheme, reduced_motion="reduce",
        viewport={"width": width, "height": 900},
    )  # fmt: skip
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.goto(stack.web_url)
    page.locator(".garment input").first.wait_for(state="attached")
    states = {"signed out": complaints_of_axe(page, axe)}
    page.locator("#continue-as-sample").click()
    page.locator("#greeting").wait_for()
    choose(page)
    states["signed in"] = complaints_of_axe(page, axe)
    simulator.change(delay=3)
    page.locator("#go").click()
    ends(page, "processing")
    states["processing"] = complaints_of_axe(page, axe)
    ends(page)
    states["success"] = complaints_of_axe(page, axe)
    page.locator("#stage-delete").click()
    states["a question"] = complaints_of_axe(page, axe)
    page.locator("#confirm-yes").click()
    simulator.change(delay=0, faults=[{"at": "submit", "kind": "error", "times": None}])
    page.locator("#go").click()
    ends(page, "failed")
    states["failed"] = complaints_of_axe(page, axe)
    context.close()

    assert {name: found for name, found in states.items() if found} == {}
