"""`examples/lovable`, built as its developer builds it and driven as a shopper does."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from actors import PATIENCE, ROOT, Simulator
from complaints import Complaints
from frontends import served
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tools import installed_from_npm

from devstack.stack import Stack

EXAMPLE = ROOT / "examples" / "lovable"
PHOTO = ROOT / "vton" / "demo" / "static" / "photos" / "amara.jpg"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


@pytest.fixture(scope="session")
def example(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it is served, built for this stack under strict."""
    installed_from_npm(EXAMPLE)
    built = tmp_path_factory.mktemp("example")
    settings = {
        "VITE_BACKEND_URL": stack.web_url,
        "VITE_SUPABASE_URL": stack.child_environ["SUPABASE_URL"],
        "VITE_SUPABASE_ANON_KEY": stack.child_environ["SUPABASE_PUBLISHABLE_KEY"],
    }
    for command in (
        ["tsc", "--noEmit"],
        ["vite", "build", "--outDir", str(built), "--emptyOutDir"],
    ):
        done = subprocess.run(
            ["npx", "--no-install", *command], cwd=EXAMPLE, env={**os.environ, **settings},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    files = {
        f"/{path.relative_to(built)}": (TYPES[path.suffix], path.read_bytes())
        for path in built.rglob("*.*")
    }
    with served({"/": files["/index.html"], **files}) as address:
        yield address


@pytest.fixture
def shopper(context: BrowserContext, complaints: Complaints, example: str) -> Page:
    """Somebody who has just made an account."""
    page = context.new_page()
    complaints.listen(page)
    page.goto(example)
    sign_up(page, ("Email", "Password", "Create account", "Sign out"))
    return page


def sign_up(page: Page, labels: tuple[str, str, str, str]) -> None:
    """Make an account, in the language of the labels."""
    email, password, create, leave = labels
    page.get_by_label(email).fill(f"{uuid4().hex}@example.com")
    page.get_by_label(password).fill("correct horse")
    page.get_by_role("button", name=create).click()
    page.get_by_role("button", name=leave).wait_for()


def choose(page: Page, garment: int = 0) -> None:
    """Choose a photo and a garment."""
    page.locator("input[type=file]").set_input_files(PHOTO)
    page.locator("input[name=garment]").nth(garment).check(force=True)


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name)


def test_a_shopper_tries_on_and_the_next_garment_with_the_same_photo(
    shopper: Page, simulator: Simulator
) -> None:
    simulator.change(delay=2)
    choose(shopper)
    button(shopper, "Try it on").click()
    expect(shopper.get_by_role("status")).to_contain_text("The garment is being fitted.")
    picture = shopper.get_by_alt_text("You, wearing")
    assert picture.evaluate("i => i.decode().then(() => i.naturalWidth)") > 300
    expect(shopper.get_by_role("listitem")).to_have_count(1)

    button(shopper, "Another garment, same photo").click()
    expect(shopper.get_by_text("The same photo as before")).to_be_visible()
    shopper.locator("input[name=garment]").nth(1).check(force=True)
    button(shopper, "Try it on").click()
    expect(shopper.get_by_role("listitem")).to_have_count(2)

    shopper.on("dialog", lambda dialog: dialog.accept())
    shopper.get_by_role("listitem").first.get_by_role("button", name="Delete").click()
    expect(shopper.get_by_role("listitem")).to_have_count(1)


def test_a_double_click_pays_once(shopper: Page, simulator: Simulator) -> None:
    choose(shopper)
    button(shopper, "Try it on").dblclick()
    shopper.get_by_alt_text("You, wearing").wait_for()

    assert len(simulator.submits()) == 1


def test_a_failure_is_said_and_tried_again(shopper: Page, simulator: Simulator) -> None:
    button(shopper, "Try it on").click()
    expect(shopper.get_by_text("Please choose a photo and a garment.")).to_be_visible()
    simulator.change(faults=[{"at": "submit", "kind": "failed"}])
    choose(shopper)
    button(shopper, "Try it on").click()
    expect(shopper.get_by_text("The try-on did not work out.").first).to_be_visible()

    button(shopper, "Try again").click()

    shopper.get_by_alt_text("You, wearing").wait_for()


def test_a_reload_takes_it_up_and_it_can_be_cancelled(shopper: Page, simulator: Simulator) -> None:
    simulator.change(delay=60)
    choose(shopper)
    button(shopper, "Try it on").click()
    expect(shopper.get_by_role("status")).to_contain_text("The garment is being fitted.")

    shopper.reload()
    expect(shopper.get_by_role("status")).to_contain_text("The garment is being fitted.")
    button(shopper, "Cancel").click()

    expect(button(shopper, "Try it on")).to_be_enabled()
    assert len(simulator.submits()) == 1


def test_an_expired_token_is_renewed_by_its_get_auth_token(
    shopper: Page, complaints: Complaints
) -> None:
    refused: list[str] = []

    def refuse_once(route: Any) -> None:
        if refused:
            return route.continue_()
        refused.append(route.request.headers["authorization"])
        spoilt = {**route.request.headers, "authorization": "Bearer x"}
        return route.continue_(headers=spoilt)

    shopper.route("**/api/try-on", refuse_once)
    choose(shopper)
    button(shopper, "Try it on").click()

    shopper.get_by_alt_text("You, wearing").wait_for()
    assert refused
    complaints.expect("status of 401")


def test_it_is_all_in_indonesian_on_a_phone(
    chromium: Browser, example: str, simulator: Simulator
) -> None:
    context = chromium.new_context(locale="id-ID", viewport={"width": 390, "height": 780})
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    simulator.change(faults=[{"at": "submit", "kind": "failed"}])
    page.goto(example)
    sign_up(page, ("Email", "Kata sandi", "Buat akun", "Keluar"))
    choose(page)
    button(page, "Coba sekarang").click()

    expect(page.get_by_text("Gambar tidak berhasil dibuat.").first).to_be_visible()
    button(page, "Coba lagi").click()
    expect(page.get_by_role("heading", name="Ini hasilnya")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "id"
    sideways = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(sideways) <= 0
    context.close()
