"""The page, driven as a person drives it, on the running stack."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from actors import Simulator, jpeg
from complaints import Complaints
from playwright.sync_api import Page, Route, expect

from devstack.stack import SAMPLE_EMAIL

STATUSES = """
() => {
  const stage = document.getElementById('stage');
  window.seen = [];
  const look = () => stage.dataset.status && window.seen.at(-1) !== stage.dataset.status
    && window.seen.push(stage.dataset.status);
  new MutationObserver(look).observe(stage, { attributes: true });
}
"""
WITHOUT_KEY = """
const parse = JSON.parse;
JSON.parse = (text) => {
  const value = parse(text);
  return value?.publishableKey ? { ...value, publishableKey: '' } : value;
};
"""
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
WIDTH = "image => image.decode().then(() => image.naturalWidth)"


def choose(page: Page, photo: str = "Amara", garment: int = 0) -> str:
    """Choose a sample photo and a garment; returns the garment's name."""
    page.get_by_role("button", name=photo).click()
    page.locator("#preview").wait_for()
    card = page.locator(".garment:visible").nth(garment)
    card.click()
    return card.locator(".name").inner_text()


def try_on(page: Page, status: str = "success") -> None:
    """Press the button, and wait until the stage shows a status."""
    page.get_by_role("button", name="Try it on").click()
    page.locator(f"#stage[data-status={status}]").wait_for()


def cards(page: Page) -> Any:
    """The try-ons in the history."""
    return page.locator("#cards li")


def test_one_click_a_photo_a_garment_and_there_is_the_picture(
    page: Page, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.change(delay=5)

    page.get_by_role("button", name="Continue as sample user").click()
    expect(page.locator("#who")).to_have_text(SAMPLE_EMAIL)
    page.evaluate(STATUSES)
    name = choose(page)
    try_on(page)

    assert page.evaluate("window.seen") == ["queued", "processing", "success"]
    expect(page.get_by_role("heading", name="Here you are")).to_be_focused()
    expect(page.get_by_role("status")).to_have_text("Your picture is ready.")
    result = page.get_by_alt_text(f"You, wearing: {name}")
    assert result.evaluate(WIDTH) > 300
    assert page.get_by_alt_text("Your photo", exact=True).evaluate(WIDTH) > 300
    expect(page.get_by_text("AI-generated", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "result.png")
    assert download.value.suggested_filename.endswith(".png")
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")
    for shown in (cards(page).first, page.locator(".garment").first):
        small = re.compile("_thumbnail.webp")
        expect(shown.locator("img")).to_have_attribute("src", small)


def test_a_filter_shows_one_category_only(page: Page) -> None:
    all_of_them = page.locator(".garment:visible").count()
    page.get_by_role("button", name="Dresses").click()

    shown = page.locator(".garment:visible")
    assert 0 < shown.count() < all_of_them
    assert {card.get_attribute("data-category") for card in shown.all()} == {"dresses"}


def test_a_running_try_on_survives_a_reload(
    page: Page, create_account: Callable[[], str], simulator: Simulator
) -> None:
    simulator.change(delay=4)
    create_account()
    name = choose(page, photo="Ravi", garment=2)
    try_on(page, "processing")

    page.reload()

    expect(page.locator("#stage-eyebrow")).to_contain_text(name)
    page.locator("#stage[data-status=success]").wait_for()
    assert page.get_by_alt_text(f"You, wearing: {name}").evaluate(WIDTH) > 300
    assert page.get_by_alt_text("Your photo", exact=True).evaluate(WIDTH) > 100
    page.reload()
    expect(page.locator("#account")).to_be_visible()
    expect(cards(page)).to_have_count(1)
    expect(page.locator("#stage")).to_be_hidden()


def test_one_after_another_fill_the_history_newest_first(
    page: Page, create_account: Callable[[], str]
) -> None:
    create_account()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    first = choose(page, garment=0)
    try_on(page)
    expect(cards(page)).to_have_count(1)
    page.get_by_role("button", name="Another garment, same photo").click()
    second = choose(page, photo="Mei", garment=1)
    page.get_by_role("button", name="Try it on").click()
    expect(cards(page)).to_have_count(2)

    assert [card.locator(".name").inner_text() for card in cards(page).all()] == [second, first]
    cards(page).nth(1).locator(".open").click()
    expect(page.locator("#stage-eyebrow")).to_contain_text(first)
    assert page.get_by_alt_text(f"You, wearing: {first}").evaluate(WIDTH) > 300


def test_delete_asks_first_and_is_done_with_the_keyboard(
    page: Page, create_account: Callable[[], str]
) -> None:
    create_account()
    name = choose(page)
    try_on(page)
    expect(cards(page)).to_have_count(1)

    page.get_by_role("button", name=f"Delete try-on: {name}").press("Enter")
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(cards(page)).to_have_count(1)

    page.get_by_role("button", name=f"Delete try-on: {name}").press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(0)
    expect(page.locator("#stage")).to_be_hidden()
    page.reload()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()


def test_a_running_try_on_can_be_cancelled(
    page: Page, create_account: Callable[[], str], simulator: Simulator
) -> None:
    simulator.change(delay=30)
    create_account()
    choose(page)
    try_on(page, "processing")

    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel try-on").click()

    expect(page.locator("#stage")).to_be_hidden()
    expect(page.get_by_role("button", name="Try it on")).to_be_enabled()


def test_a_file_that_is_no_photo_is_refused_when_it_is_chosen(
    page: Page, create_account: Callable[[], str]
) -> None:
    create_account()
    page.get_by_label("Choose a photo").set_input_files(
        {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"not a picture"}
    )

    problem = page.locator("#photo-problem")
    expect(problem).to_contain_text("The file is not a picture that can be used.")
    expect(problem).to_contain_text("Choose a JPEG, PNG, WebP or HEIC photo.")
    expect(page.locator("#preview")).to_be_hidden()


def test_a_photo_that_the_service_refuses_is_refused_in_words(
    page: Page, create_account: Callable[[], str], complaints: Complaints
) -> None:
    create_account()
    page.locator(".garment").first.click()
    page.get_by_label("Choose a photo").set_input_files(
        {"name": "me.jpg", "mimeType": "image/jpeg", "buffer": jpeg()[:2000]}
    )
    page.get_by_role("button", name="Try it on").click()

    problem = page.locator("#go-problem")
    expect(problem).to_contain_text("The photo is damaged or incomplete.")
    expect(problem.get_by_role("button", name="Try again")).to_have_count(0)
    complaints.expect("status of 422")


def test_nothing_is_sent_before_both_are_chosen(
    page: Page, create_account: Callable[[], str]
) -> None:
    create_account()
    page.get_by_role("button", name="Try it on").click()

    expect(page.locator("#go-problem")).to_contain_text(
        "Please choose a photo. Please choose a garment."
    )


def test_a_failed_try_on_says_why_and_can_be_tried_again(
    page: Page, create_account: Callable[[], str], simulator: Simulator
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": "error", "times": None}])
    create_account()
    choose(page)
    try_on(page, "failed")
    expect(page.locator("#stage-problem")).to_contain_text("The try-on did not work out.")
    expect(cards(page).locator(".tag")).to_have_text("Did not work")

    simulator.reset()
    page.get_by_role("button", name="Try again").click()

    page.locator("#stage[data-status=success]").wait_for()
    expect(cards(page)).to_have_count(2)


def test_a_service_that_is_away_for_a_moment_does_not_end_the_waiting(
    page: Page, create_account: Callable[[], str], simulator: Simulator, complaints: Complaints
) -> None:
    simulator.change(delay=1)
    create_account()
    choose(page)
    trouble = iter(["cut", "busy"])

    def answer(route: Any) -> None:
        kind = next(trouble, None)
        if kind == "cut":
            route.abort("connectionreset")
        elif kind == "busy":
            route.fulfill(status=503, headers={"Retry-After": "1"}, body="<h1>Application error")
        else:
            route.continue_()

    page.route("**/status", answer)
    try_on(page)

    complaints.expect("ERR_CONNECTION_RESET", "status of 503")


def test_a_wrong_password_is_said_in_words(page: Page, complaints: Complaints) -> None:
    page.get_by_label("Email").fill("nobody@example.com")
    page.get_by_label("Password").fill("not the one")
    page.get_by_role("button", name="Sign in", exact=True).click()

    expect(page.locator("#sign-in-message")).to_contain_text("Email or password is wrong.")
    complaints.expect("status of 400")


def test_a_token_is_renewed_before_it_expires(
    page: Page, create_account: Callable[[], str]
) -> None:
    create_account()
    age = "s => JSON.stringify({ ...JSON.parse(s), expires_at: 1, access_token: 'old' })"
    page.evaluate(f"localStorage['vton.session'] = ({age})(localStorage['vton.session'])")

    page.reload()

    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    session = page.evaluate("JSON.parse(localStorage['vton.session'])")
    assert session["access_token"] != "old"


def test_who_is_no_longer_signed_in_is_asked_again(
    page: Page, create_account: Callable[[], str], complaints: Complaints
) -> None:
    create_account()
    spoil = "s => JSON.stringify({ ...JSON.parse(s), access_token: 'x', refresh_token: 'x' })"
    page.evaluate(f"localStorage['vton.session'] = ({spoil})(localStorage['vton.session'])")

    page.reload()

    expect(page.locator("#sign-in-message")).to_contain_text("Please sign in again")
    expect(page.get_by_role("button", name="Continue as sample user")).to_be_visible()
    complaints.expect("status of 401", "status of 400")


SESSION = "localStorage['vton.session']"


def change_session(page: Page, change: str, *, elsewhere: bool) -> None:
    """Change who is signed in, in this tab or as another one does."""
    page.evaluate(
        f"""elsewhere => {{
          const oldValue = {SESSION}, newValue = JSON.stringify(({change})(JSON.parse(oldValue)));
          {SESSION} = newValue;
          const init = {{ key: 'vton.session', oldValue, newValue }};
          if (elsewhere) dispatchEvent(new StorageEvent('storage', init));
        }}""",
        elsewhere,
    )


def note_a_running_one(page: Page) -> None:
    """As the page does of a try-on that is under way."""
    page.evaluate(
        """() => localStorage.setItem('vton.running', JSON.stringify({
          userId: JSON.parse(localStorage['vton.session']).user.id, tryOn: { sessionId: 'x' } }))"""
    )


def test_nothing_of_a_user_stays_when_their_tokens_are_refused(
    page: Page, create_account: Callable[[], str], complaints: Complaints
) -> None:
    create_account()
    choose(page)
    note_a_running_one(page)
    spoilt = "s => ({ ...s, expires_at: 1, access_token: 'x', refresh_token: 'x' })"
    change_session(page, spoilt, elsewhere=False)

    page.get_by_role("button", name="Try it on").click()

    expect(page.locator("#sign-in-message")).to_contain_text("Please sign in again")
    assert page.evaluate("Object.keys(localStorage)") == []
    expect(page.locator("#preview")).not_to_have_attribute("src", re.compile("."))
    complaints.expect("status of 401", "status of 400")


@pytest.mark.parametrize("change", ["s => null", "s => ({ ...s, user: { id: 'somebody' } })"])
def test_nothing_of_a_user_stays_when_another_tab_signs_out_or_in(
    page: Page, create_account: Callable[[], str], change: str
) -> None:
    create_account()
    choose(page)
    note_a_running_one(page)

    change_session(page, change, elsewhere=True)

    expect(page.locator("#preview")).not_to_have_attribute("src", re.compile("."))
    expect(page.locator("#chosen")).to_be_hidden()
    assert page.evaluate("Object.keys(localStorage)") == ["vton.session"]


@pytest.mark.parametrize("next_user", [False, True])
def test_a_renewal_that_is_late_signs_nobody_in_again(
    page: Page, create_account: Callable[[], str], complaints: Complaints, next_user: bool
) -> None:
    """Who signed out while their token was being renewed stays out, whoever is in by then."""
    create_account()
    old = page.evaluate(f"JSON.parse({SESSION})")
    change_session(page, "s => ({ ...s, expires_at: 1, access_token: 'old' })", elsewhere=False)
    held: list[Route] = []
    page.route("**/auth/v1/token?grant_type=refresh_token", lambda route: held.append(route))
    choose(page)
    page.get_by_role("button", name="Try it on").click()
    while not held:
        page.wait_for_timeout(20)

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    if next_user:
        create_account()
    with page.expect_request("**/auth/v1/logout?scope=local"):
        held[0].continue_()

    kept = page.evaluate(f"JSON.parse({SESSION} ?? 'null')")
    assert (kept is not None) == next_user
    assert kept is None or kept["user"]["id"] != old["user"]["id"]
    complaints.expect("status of 401", "status of 403")


def test_sign_out_leaves_nothing_behind(page: Page, create_account: Callable[[], str]) -> None:
    create_account()
    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#history")).to_be_hidden()
    assert page.evaluate("Object.keys(localStorage)") == []


def test_a_long_history_is_loaded_page_by_page(
    page: Page, create_account: Callable[[], str], database: psycopg.Connection[Any]
) -> None:
    email = create_account()
    database.execute(
        """insert into public.try_on_history
             (user_id, original_user_image_url, status, error_message, error_code, created_at)
           select id, 'user-uploads/' || id || '/' || n || '_original.jpg', 'failed', 'It failed.',
                  'provider_failed', now() - n * interval '1 minute'
           from auth.users, generate_series(1, 15) n where email = %s""",
        [email],
    )
    page.reload()
    expect(cards(page)).to_have_count(12)

    page.get_by_role("button", name="Load more").click()

    expect(cards(page)).to_have_count(15)
    expect(page.get_by_role("button", name="Load more")).to_be_hidden()


@pytest.mark.parametrize("width", [360, 390, 768])
def test_nothing_runs_out_of_a_small_screen(
    page: Page, create_account: Callable[[], str], width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 780})
    assert page.evaluate(SIDEWAYS) <= 0

    create_account()
    choose(page)
    assert page.evaluate(SIDEWAYS) <= 0
    try_on(page)
    expect(cards(page)).to_have_count(1)
    assert page.evaluate(SIDEWAYS) <= 0
    page.get_by_role("button", name="Delete", exact=True).click()
    assert page.evaluate(SIDEWAYS) <= 0


def test_it_is_all_done_with_the_keyboard(page: Page, create_account: Callable[[], str]) -> None:
    create_account()
    page.get_by_role("button", name="Jonas").press("Enter")
    page.locator("#preview").wait_for()
    page.locator(".garment input").first.press("Space")
    page.keyboard.press("ArrowRight")
    assert page.locator(".garment:has(:checked)").count() == 1

    page.get_by_role("button", name="Try it on").press("Enter")

    page.locator("#stage[data-status=success]").wait_for()


def test_a_missing_key_is_said_in_words(page: Page) -> None:
    page.add_init_script(WITHOUT_KEY)
    page.reload()

    expect(page.get_by_text("SUPABASE_PUBLISHABLE_KEY")).to_be_visible()
    expect(page.get_by_role("button", name="Continue as sample user")).to_be_hidden()
    expect(page.get_by_label("Email")).to_be_hidden()
