"""What a client sees of a try-on: the view and the middleware before it, without a stack.

The application is the real one; behind it are fakes. An origin that nobody has had before
makes the middleware meet an asker for the first time, so that most tests share one application.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from fakeredis import FakeStrictRedis
from fakes import START, World
from flask import request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import Config
from vton import log
from vton.app import create_app
from vton.errors import CATALOGUE, Problem
from vton.tryon.answers import StatusView
from vton.tryon.model import SessionState, Status, failed
from vton.tryon.ports.queue import TypicalDurations
from vton.tryon.ports.storage import SignedUrl
from vton.tryon.routes import TAG_SECONDS
from vton.tryon.schemas import POLL_SECONDS, SessionStatus, session_status
from vton.tryon.status_middleware import MAX_ORIGINS
from vton.wiring import Services, connect

SETTINGS = {
    "SUPABASE_URL": "https://example.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PIXAZO_API_KEY": "k",
    "RATE_LIMIT": "0",
    "CORS_ORIGINS": "https://*.shop.example",
}
NOW = START.timestamp()
PICTURE = SignedUrl("https://x.supabase.co/sign/a.png?token=t&u=ä", START + timedelta(hours=1))
logger = logging.getLogger("vton.test")


@dataclass
class FakeTokens:
    """`Tokens`: knows who signed in, and remembers whom it has verified. Says so in the log."""

    users: dict[str, str] = field(default_factory=dict)
    remembered: set[str] = field(default_factory=set)

    def verify(self, token: str) -> str:
        if token not in self.users:
            raise Problem("token_invalid")
        self.remembered.add(token)
        logger.info("request %s is %s's", log.request_id.get(), self.users[token])
        return self.users[token]

    def verified(self, token: str) -> str | None:
        if token not in self.remembered:
            return None
        logger.info("request %s is %s's", log.request_id.get(), self.users[token])
        return self.users[token]


class Shop:
    """The application on fakes. `viewed` has the method of each request that Flask answered."""

    def __init__(self) -> None:
        self.world = World()
        self.tokens = FakeTokens()
        self.viewed: list[str] = []
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        self.app = create_app(Config.from_env(SETTINGS), self._services())
        root.handlers[:] = handlers  # the application's own would write into pytest's
        root.setLevel(level)
        self.app.before_request(lambda: self.viewed.append(request.method))

    def _services(self) -> Services:
        world = self.world
        return replace(
            connect(Config.from_env(SETTINGS)), tokens=self.tokens, starter=world.starter,
            tryons=world.tryons, runner=world.runner, sweep=world.sweep, redis=FakeStrictRedis(),
        )  # fmt: skip

    def asker(self, **options: Any) -> "Asker":
        """Somebody who is signed in, on a page of an origin of their own."""
        user_id, token = str(uuid4()), uuid4().hex
        self.tokens.users[token] = user_id
        options.setdefault("origin", f"https://{uuid4().hex}.shop.example")
        return Asker(self, user_id, token, **options)


@dataclass
class Asker:
    """A user's page, which polls one session."""

    shop: Shop
    user_id: str
    token: str
    origin: str | None
    scheme: str = "https"
    session_id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def path(self) -> str:
        """The address of the session's status."""
        return f"/api/try-on/{self.session_id}/status"

    @property
    def client(self) -> FlaskClient:
        """A client without cookies."""
        return self.shop.app.test_client(use_cookies=False)

    def headers(self, **more: str) -> dict[str, str]:
        """What the page sends."""
        sent = {
            "Authorization": f"Bearer {self.token}",
            "X-Request-ID": "mine",
            "X-Forwarded-Proto": self.scheme,
        }
        if self.origin is not None:
            sent["Origin"] = self.origin
        return sent | {name.replace("_", "-"): value for name, value in more.items()}

    def poll(self, path: str | None = None, **headers: str) -> TestResponse:
        """Ask how the session is getting on."""
        return self.client.get(path or self.path, headers=self.headers(**headers))

    def poll_by_the_view(self, **headers: str) -> TestResponse:
        """The same with a token that is not remembered, which only the view takes."""
        self.shop.tokens.remembered.discard(self.token)
        before = len(self.shop.viewed)
        answer = self.poll(**headers)
        assert len(self.shop.viewed) == before + 1
        return answer

    def poll_by_the_middleware(self, **headers: str) -> TestResponse:
        """The same, and Flask must not have seen it."""
        before = len(self.shop.viewed)
        answer = self.poll(**headers)
        assert len(self.shop.viewed) == before
        return answer

    def is_answered_by_the_view(self, path: str | None = None, **headers: str) -> bool:
        """Whether a poll reaches Flask."""
        before = len(self.shop.viewed)
        self.poll(path, **headers)
        return len(self.shop.viewed) > before

    def becomes(self, state: SessionState, result: SignedUrl | None = PICTURE) -> None:
        """Have Redis know so much of the session."""
        self.shop.world.polls.states[self.user_id, self.session_id] = state
        if result is not None and state.status is Status.SUCCESS:
            self.shop.world.polls.results[self.session_id] = result

    def comes_back(self) -> None:
        """Be somebody whom the middleware knows."""
        self.becomes(SessionState(Status.QUEUED))
        self.poll_by_the_view()


@pytest.fixture(scope="module")
def shared() -> Shop:
    """One application for all tests that do not mind what it has answered before."""
    return Shop()


@pytest.fixture
def shop(shared: Shop) -> Iterator[Shop]:
    """The shared application, with nothing spoiled and no durations known."""
    shared.world.polls.typical = None
    yield shared
    shared.world.polls.typical = None


@pytest.fixture
def asker(shop: Shop) -> Asker:
    """Somebody whom the application has never met."""
    return shop.asker()


def whole(answer: TestResponse) -> tuple[str, list[tuple[str, str]], bytes]:
    """Every byte of an answer; headers have no order."""
    return answer.status, sorted(answer.headers), answer.data


# -- the middleware says what the view says -----------------------------------------------------

STATES = {
    "queued": SessionState(Status.QUEUED),
    "queued, with an eta": SessionState(Status.QUEUED, queued_at=NOW - 1),
    "processing": SessionState(Status.PROCESSING, queued_at=NOW),
    "processing, with an eta": SessionState(Status.PROCESSING, queued_at=NOW, began_at=NOW - 7.5),
    "processing, overdue": SessionState(Status.PROCESSING, queued_at=NOW, began_at=NOW - 99),
    "failed": failed("photo_rejected"),
    "failed, may be tried again": failed("deadline_exceeded"),
    "failed, by another release": SessionState(Status.FAILED, "new_code"),
    "success": SessionState(Status.SUCCESS),
}


@pytest.mark.parametrize("name", STATES)
def test_the_middleware_answers_byte_for_byte_what_the_view_does(asker: Asker, name: str) -> None:
    asker.shop.world.polls.typical = TypicalDurations(3, 40)
    asker.becomes(STATES[name])
    by_the_view = asker.poll_by_the_view()

    by_the_middleware = asker.poll_by_the_middleware()

    assert by_the_view.status_code == 200
    assert whole(by_the_middleware) == whole(by_the_view)


@pytest.mark.parametrize("name", STATES)
def test_also_that_nothing_has_changed(asker: Asker, name: str) -> None:
    asker.shop.world.polls.typical = TypicalDurations(3, 40)
    asker.becomes(STATES[name])
    tag = asker.poll_by_the_view().headers["ETag"]

    by_the_middleware = asker.poll_by_the_middleware(If_None_Match=tag)

    assert by_the_middleware.status_code == 304
    assert by_the_middleware.data == b""
    assert whole(by_the_middleware) == whole(asker.poll_by_the_view(If_None_Match=tag))


@pytest.mark.parametrize("origin", [None, "https://one.shop.example"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("tag", ["", 'W/"queued-None"'])
def test_with_and_without_an_origin_by_http_and_https(
    shop: Shop, origin: str | None, scheme: str, tag: str
) -> None:
    asker = shop.asker(origin=origin, scheme=scheme)
    asker.comes_back()

    assert whole(asker.poll_by_the_middleware(If_None_Match=tag)) == whole(
        asker.poll_by_the_view(If_None_Match=tag)
    )


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ('W/"queued-None"', 304),
        ('"queued-None"', 304),
        ('"other", W/"queued-None"', 304),
        ("*", 304),
        ('W/"processing-None"', 200),
        ('"queued"', 200),
        ("", 200),
        ("W/", 200),
        ('"queued-None', 200),
    ],
)
def test_both_read_if_none_match_alike(asker: Asker, sent: str, status: int) -> None:
    asker.comes_back()

    by_the_middleware = asker.poll_by_the_middleware(If_None_Match=sent)

    assert by_the_middleware.status_code == status
    assert whole(by_the_middleware) == whole(asker.poll_by_the_view(If_None_Match=sent))


@pytest.mark.parametrize("sent", ["", "not usable!", "a" * 65, "ünusable"])
def test_a_request_without_a_usable_id_gets_one_of_its_own(asker: Asker, sent: str) -> None:
    asker.comes_back()

    ids = {asker.poll_by_the_middleware(X_Request_ID=sent).headers["X-Request-ID"] for _ in "12"}

    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_a_query_string_changes_nothing(asker: Asker) -> None:
    asker.comes_back()
    plain = whole(asker.poll_by_the_middleware())

    assert not asker.is_answered_by_the_view(f"{asker.path}?x=1")
    assert whole(asker.poll(f"{asker.path}?x=1")) == plain


def test_what_was_one_answers_own_is_not_in_the_next(asker: Asker) -> None:
    asker.becomes(SessionState(Status.QUEUED))
    queued = asker.poll_by_the_view(X_Request_ID="first")
    asker.becomes(SessionState(Status.SUCCESS))

    success = asker.poll_by_the_middleware(X_Request_ID="second")

    assert queued.headers["Retry-After"] == str(POLL_SECONDS)
    assert "Retry-After" not in success.headers
    assert success.headers.getlist("X-Request-ID") == ["second"]
    assert len(success.headers.getlist("ETag")) == 1
    assert success.headers.getlist("Content-Length") == [str(len(success.data))]
    assert whole(success) == whole(asker.poll_by_the_view(X_Request_ID="second"))


def test_both_say_the_same_in_the_log(asker: Asker, caplog: pytest.LogCaptureFixture) -> None:
    asker.comes_back()
    caplog.set_level(logging.DEBUG)
    caplog.clear()

    def lines() -> list[tuple[str, str, str]]:
        found = [(r.name, r.levelname, r.getMessage()) for r in caplog.records]
        caplog.clear()
        return found

    asker.poll_by_the_view(X_Request_ID="one")
    by_the_view = lines()
    asker.poll_by_the_middleware(X_Request_ID="other")
    by_the_middleware = lines()

    assert by_the_view == [("vton.test", "INFO", f"request one is {asker.user_id}'s")]
    assert by_the_middleware == [("vton.test", "INFO", f"request other is {asker.user_id}'s")]


# -- what is not plain goes to the view ---------------------------------------------------------


def test_the_first_poll_of_an_origin_is_the_views_and_the_next_is_not(asker: Asker) -> None:
    asker.becomes(SessionState(Status.QUEUED))

    assert [asker.is_answered_by_the_view() for _ in range(3)] == [True, False, False]


def test_a_poll_without_a_token_goes_to_the_view(asker: Asker) -> None:
    asker.comes_back()
    headers = asker.headers()
    del headers["Authorization"]

    answer = asker.client.get(asker.path, headers=headers)

    assert (answer.status_code, answer.get_json()["code"]) == (401, "token_missing")


def test_a_poll_without_an_id_of_its_own_gets_one(asker: Asker) -> None:
    asker.comes_back()
    headers = asker.headers()
    del headers["X-Request-ID"]

    first, second = (asker.client.get(asker.path, headers=headers) for _ in range(2))

    ids = {first.headers["X-Request-ID"], second.headers["X-Request-ID"]}
    assert (first.status_code, second.status_code, len(ids)) == (200, 200, 2)
    assert all(len(one) == 32 for one in ids)


def test_a_token_that_was_not_verified_a_moment_ago_goes_to_the_view(asker: Asker) -> None:
    asker.comes_back()
    asker.shop.tokens.remembered.clear()

    assert asker.is_answered_by_the_view()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("", 401),
        ("Bearer", 401),
        ("Bearer {},Bearer {}", 401),
        ("Basic {}", 401),
        ("{}", 401),
        ("Bearer nobody", 401),
        ("bearer {}", 200),
        ("Bearer  {}", 200),
    ],
)
def test_a_token_that_is_sent_in_another_way_goes_to_the_view(
    asker: Asker, sent: str, status: int
) -> None:
    asker.comes_back()
    header = sent.format(asker.token, asker.token)
    before = len(asker.shop.viewed)

    answer = asker.poll(Authorization=header)

    assert (answer.status_code, len(asker.shop.viewed)) == (status, before + 1)


def test_another_users_token_finds_nothing_by_both(asker: Asker) -> None:
    asker.comes_back()
    other = asker.shop.asker(origin=asker.origin)
    other.comes_back()

    answers = [other.poll(asker.path) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert [answer.get_json()["code"] for answer in answers] == ["session_not_found"] * 2


def test_a_session_that_redis_does_not_know_goes_to_the_view(asker: Asker) -> None:
    asker.comes_back()
    asker.shop.world.polls.states.clear()

    assert asker.poll_by_the_view().status_code == 404
    assert asker.is_answered_by_the_view()


def test_a_deleted_session_is_not_found(asker: Asker) -> None:
    asker.comes_back()
    asker.shop.world.polls.mark_deleted(asker.user_id, asker.session_id)

    answer = asker.poll()

    assert (answer.status_code, answer.get_json()["code"]) == (404, "session_not_found")


def test_a_url_that_has_to_be_signed_goes_to_the_view(asker: Asker) -> None:
    world = asker.shop.world
    asker.comes_back()
    asker.becomes(SessionState(Status.SUCCESS), result=None)
    path = f"try-on-results/{asker.user_id}/{asker.session_id}_result.png"
    world.bucket.objects[path] = b"png"

    answer = asker.poll()

    assert asker.is_answered_by_the_view()
    assert answer.get_json()["data"]["resultImageUrl"] == f"https://signed.example/{path}"


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "OPTIONS", "HEAD"])
def test_another_method_goes_to_the_view(asker: Asker, method: str) -> None:
    asker.comes_back()
    asker.shop.viewed.clear()

    answer = asker.client.open(asker.path, method=method, headers=asker.headers())

    assert asker.shop.viewed == [method]
    assert answer.status_code == (200 if method in ("OPTIONS", "HEAD") else 405)


@pytest.mark.parametrize(
    "path",
    [
        "/api/try-on/history",
        "{}/",
        "{}x",
        "x{}",
        "/api/try-on/not-a-session/status",
        "/health/live",
    ],
)
def test_another_address_goes_to_the_view(asker: Asker, path: str) -> None:
    asker.comes_back()

    assert asker.is_answered_by_the_view(path.format(asker.path))


def test_an_id_in_capitals_is_the_same_session_by_the_view(asker: Asker) -> None:
    asker.comes_back()
    path = f"/api/try-on/{asker.session_id.upper()}/status"

    assert asker.is_answered_by_the_view(path)
    assert asker.poll(path).get_json() == asker.poll_by_the_middleware().get_json()


def test_the_headers_of_a_failure_are_nobody_elses(asker: Asker) -> None:
    assert asker.poll().status_code == 404
    asker.becomes(SessionState(Status.QUEUED))

    assert asker.is_answered_by_the_view()


def test_neither_are_those_of_an_unchanged_answer(asker: Asker) -> None:
    asker.becomes(SessionState(Status.QUEUED))
    assert asker.poll(If_None_Match="*").status_code == 304

    assert asker.is_answered_by_the_view()
    assert asker.poll_by_the_middleware().headers["Content-Type"] == "application/json"


# -- who asks -----------------------------------------------------------------------------------


def test_each_origin_is_told_that_it_may(shop: Shop) -> None:
    one, two = shop.asker(), shop.asker()
    one.comes_back()
    two.comes_back()

    for asker in (one, two, one):
        answer = asker.poll_by_the_middleware()
        assert answer.headers.getlist("Access-Control-Allow-Origin") == [asker.origin]
        assert "Origin" in answer.headers["Vary"]


def test_https_has_headers_of_its_own(shop: Shop) -> None:
    plain = shop.asker(scheme="http")
    secure = shop.asker(origin=plain.origin)
    plain.comes_back()
    secure.comes_back()

    assert "Strict-Transport-Security" not in plain.poll_by_the_middleware().headers
    assert "Strict-Transport-Security" in secure.poll_by_the_middleware().headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://a.shop.example", "null", "", "https://shop.example"]
)
def test_an_origin_that_is_not_ours_is_answered_by_the_view_each_time(
    shop: Shop, origin: str
) -> None:
    asker = shop.asker(origin=origin)
    asker.becomes(SessionState(Status.QUEUED))

    assert [asker.is_answered_by_the_view() for _ in range(3)] == [True] * 3
    assert "Access-Control-Allow-Origin" not in asker.poll().headers


def test_the_oldest_asker_makes_room_for_a_new_one() -> None:
    shop = Shop()
    askers = [shop.asker() for _ in range(MAX_ORIGINS)]
    for asker in askers:
        asker.comes_back()
    assert not any(asker.is_answered_by_the_view() for asker in askers)

    new = shop.asker()
    new.comes_back()

    assert not any(asker.is_answered_by_the_view() for asker in (new, *askers[1:]))
    assert askers[0].is_answered_by_the_view()
    assert not askers[0].is_answered_by_the_view()
    assert askers[1].is_answered_by_the_view()


def test_who_was_here_just_now_is_not_the_oldest_and_strangers_take_no_room() -> None:
    shop = Shop()
    askers = [shop.asker() for _ in range(MAX_ORIGINS)]
    for asker in (*askers, askers[0]):
        asker.comes_back()
    stranger = shop.asker(origin="https://evil.example")
    stranger.comes_back()
    assert not any(asker.is_answered_by_the_view() for asker in askers)

    shop.asker().comes_back()

    assert not askers[0].is_answered_by_the_view()
    assert askers[1].is_answered_by_the_view()


# -- the view itself ----------------------------------------------------------------------------


def test_an_unfinished_session_says_when_to_ask_again(asker: Asker) -> None:
    asker.shop.world.polls.typical = TypicalDurations(3, 40)
    asker.becomes(STATES["processing, with an eta"])

    answer = asker.poll_by_the_view()

    assert answer.get_json() == {
        "success": True,
        "data": {
            "sessionId": asker.session_id,
            "status": "processing",
            "result_image_url": None,
            "resultImageUrl": None,
            "thumbnailUrl": None,
            "resultExpiresAt": None,
            "error_message": None,
            "error": None,
            "retryAfterSeconds": 2,
            "etaSeconds": 33,
        },
    }
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_a_failed_session_is_a_200_that_says_why(asker: Asker) -> None:
    asker.becomes(failed("photo_rejected"))

    answer = asker.poll_by_the_view()

    spec = CATALOGUE["photo_rejected"]
    data = answer.get_json()["data"]
    assert answer.status_code == 200
    assert data["error_message"] == spec.message
    assert data["error"] == {"code": "photo_rejected", "hint": spec.hint, "retryable": False}
    assert data["retryAfterSeconds"] is None
    assert "Retry-After" not in answer.headers


def test_a_success_has_its_picture_in_both_spellings_and_says_until_when(asker: Asker) -> None:
    asker.becomes(SessionState(Status.SUCCESS))

    data = asker.poll_by_the_view().get_json()["data"]

    assert data["result_image_url"] == data["resultImageUrl"] == PICTURE.url
    assert datetime.fromisoformat(data["resultExpiresAt"]) == PICTURE.expires_at
    assert (data["error"], data["error_message"], data["etaSeconds"]) == (None, None, None)


def test_a_success_whose_picture_is_gone_has_no_url(asker: Asker) -> None:
    asker.becomes(SessionState(Status.SUCCESS), result=None)

    answer = asker.poll_by_the_view()

    assert answer.status_code == 200
    assert answer.get_json()["data"]["resultImageUrl"] is None


def test_an_unchanged_success_is_not_signed_again(asker: Asker) -> None:
    asker.becomes(SessionState(Status.SUCCESS), SignedUrl("https://x.example/a", START))
    tag = asker.poll_by_the_view().headers["ETag"]
    asker.becomes(SessionState(Status.SUCCESS), result=None)
    world = asker.shop.world
    world.spoil("pictures.sign", AssertionError("signed for nothing"))

    assert asker.poll_by_the_view(If_None_Match=tag).status_code == 304
    with pytest.raises(AssertionError, match="for nothing"):
        world.pictures.sign([])


def test_a_success_without_a_url_is_kept_by_nobody(asker: Asker) -> None:
    asker.becomes(SessionState(Status.SUCCESS), result=None)

    answer = asker.poll_by_the_view()

    assert answer.get_json()["data"]["resultImageUrl"] is None
    assert "ETag" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_tag_changes_with_what_is_said_and_not_with_the_url(asker: Asker) -> None:
    asker.shop.world.polls.typical = TypicalDurations(3, 40)
    tags = {}
    for name, state in STATES.items():
        asker.becomes(state)
        tags[name] = asker.poll_by_the_view().headers["ETag"]
    asker.becomes(SessionState(Status.SUCCESS), SignedUrl("https://x.example/b", START))
    again = asker.poll_by_the_view().headers["ETag"]

    different = {tag for name, tag in tags.items() if name != "processing, overdue"}
    assert len(different) == len(STATES) - 1
    assert again == tags["success"]
    assert all(tag.startswith('W/"') for tag in tags.values())
    assert TAG_SECONDS < 1800


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("result", [None, PICTURE])
@pytest.mark.parametrize("eta", [None, 7])
@pytest.mark.parametrize("language", ["en", "id"])
def test_what_is_written_out_is_what_the_schema_makes(
    shop: Shop, name: str, result: SignedUrl | None, eta: int | None, language: str
) -> None:
    written = session_status(str(uuid4()), StatusView(STATES[name], eta, result), language)

    schema = SessionStatus()
    with shop.app.test_request_context(headers={"Accept-Language": language}):
        dumped = schema.dump({**written, "resultExpiresAt": result and result.expires_at})

    assert dumped == written
    assert set(written) == set(schema.fields)
    assert schema.validate({**dumped, "status": str(dumped["status"])}) == {}


def test_without_the_database_the_view_says_so(asker: Asker) -> None:
    asker.shop.world.spoil("sessions.find")

    answer = asker.poll_by_the_view()

    assert (answer.status_code, answer.get_json()["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "5"


def test_a_failure_is_worded_for_who_reads_it(asker: Asker) -> None:
    asker.becomes(SessionState(Status.FAILED, "deadline_exceeded"))
    told = {}
    for language in ("en", "id"):
        accepted = {"Accept_Language": language}
        ways = asker.poll_by_the_view, asker.poll_by_the_middleware
        for answer in [poll(**accepted) for poll in ways]:
            data = answer.get_json()["data"]
            told[language] = (data["error_message"], data["error"]["hint"], answer.headers["ETag"])
            assert "Accept-Language" in answer.headers["Vary"]

    assert told["en"][:2] == ("The try-on took too long.", "Please start it again.")
    assert told["id"][:2] == ("Prosesnya terlalu lama.", "Silakan mulai lagi.")
    assert told["en"][2] != told["id"][2]


def test_the_history_is_worded_for_who_reads_it(asker: Asker) -> None:
    session_id = post(asker).get_json()["data"]["sessionId"]
    asker.shop.world.database.fail(session_id, "photo_rejected")

    answer = asker.client.get("/api/try-on/history", headers=asker.headers(Accept_Language="id"))

    (item,) = answer.get_json()["data"]
    assert item["error_message"] == "Foto tidak dapat digunakan untuk mencoba pakaian."
    assert item["error"]["hint"].startswith("Gunakan foto yang terang")
    assert "Accept-Language" in answer.headers["Vary"]


def test_a_refusal_is_worded_for_who_reads_it(asker: Asker) -> None:
    answer = post(asker, form={"garmentId": ""}, Accept_Language="id-ID,en;q=0.5")

    body = answer.get_json()
    assert body["message"] == "Silakan pilih pakaian."
    assert body["errors"] == {"garmentId": ["Silakan pilih pakaian."]}
    assert body["detail"] == "garmentId: Not a garment id (a UUID)."
    assert "Accept-Language" in answer.headers["Vary"]


# -- the other views ----------------------------------------------------------------------------


def post(asker: Asker, **more: Any) -> TestResponse:
    """Start a try-on, as a form does."""
    form = {
        "garmentId": asker.shop.world.garment_id,
        "userImage": (BytesIO(uuid4().bytes), "me.jpg"),
        **more.pop("form", {}),
    }
    return asker.client.post("/api/try-on", data=form, headers=asker.headers(**more))


def test_a_start_is_a_202_that_says_where_to_ask(asker: Asker) -> None:
    answer = post(asker, Idempotency_Key="key")

    data = answer.get_json()["data"]
    address = f"https://localhost/api/try-on/{data['sessionId']}"
    assert answer.status_code == 202
    assert answer.get_json()["success"] is True
    assert data == {
        "sessionId": data["sessionId"],
        "status": "queued",
        "urls": {"status": f"{address}/status", "delete": address},
    }
    assert answer.headers["Location"] == f"{address}/status"
    assert answer.headers["Retry-After"] == "2"
    assert "Idempotency-Replayed" not in answer.headers
    assert asker.shop.world.session(data["sessionId"]).user_id == asker.user_id


def test_a_replay_is_the_same_answer_and_says_that_it_is_one(asker: Asker) -> None:
    photo = {"userImage": (BytesIO(b"me"), "me.jpg")}
    first = post(asker, Idempotency_Key="key", form=photo)
    photo = {"userImage": (BytesIO(b"me"), "me.jpg")}

    again = post(asker, Idempotency_Key="key", form=photo)

    assert again.status_code == 202
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", "a,b", "a b", "ä", "a" * 201])
def test_a_key_that_is_not_usable_is_refused(asker: Asker, key: str) -> None:
    before = len(asker.shop.world.database.rows)

    answer = post(asker, Idempotency_Key=key)

    assert (answer.status_code, answer.get_json()["code"]) == (400, "idempotency_key_invalid")
    assert len(asker.shop.world.database.rows) == before


@pytest.mark.parametrize("garment", ["", "shirt", "8a6e0804-2bd0-4672-b79d-d97027f9071a"])
def test_a_wrong_garment_names_its_field(asker: Asker, garment: str) -> None:
    answer = post(asker, form={"garmentId": garment})

    body = answer.get_json()
    assert (answer.status_code, body["code"]) == (422, "invalid_fields")
    assert set(body["errors"]) == {"garmentId"}
    assert body["request_id"] == "mine"


def test_the_history_has_the_tables_columns_and_both_spellings(asker: Asker) -> None:
    world = asker.shop.world
    world.photos.makes_thumbnails = True
    session_id = post(asker).get_json()["data"]["sessionId"]
    world.runner.run(session_id)
    session = world.session(session_id)

    answer = asker.client.get("/api/try-on/history", headers=asker.headers())

    (item,) = answer.get_json()["data"]
    result = f"https://signed.example/{session.result}"
    assert datetime.fromisoformat(item.pop("created_at")).astimezone(UTC) == session.created_at
    assert item == {
        "id": session_id,
        "sessionId": session_id,
        "user_id": asker.user_id,
        "garment_id": world.garment_id,
        "original_user_image_url": f"https://signed.example/{session.photo}",
        "result_image_url": result,
        "resultImageUrl": result,
        "thumbnailUrl": result.replace(".png", "_thumbnail.webp"),
        "status": "success",
        "error_message": None,
        "error": None,
        "aiGenerated": True,
        "garment": {
            "id": world.garment_id, "name": "Shirt", "brand": None, "category": "tops",
            "image_url": None,
        },
    }  # fmt: skip
    assert answer.get_json()["meta"] == {"next_cursor": None}
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_a_failed_one_in_the_history_says_why(asker: Asker) -> None:
    session_id = post(asker).get_json()["data"]["sessionId"]
    asker.shop.world.database.fail(session_id, "photo_rejected")

    answer = asker.client.get("/api/try-on/history", headers=asker.headers())

    (item,) = answer.get_json()["data"]
    spec = CATALOGUE["photo_rejected"]
    assert item["error"] == {"code": "photo_rejected", "hint": spec.hint, "retryable": False}
    assert (item["status"], item["error_message"]) == ("failed", spec.message)
    assert (item["resultImageUrl"], item["aiGenerated"]) == (None, False)


def test_a_cursor_continues_the_history_and_ends(asker: Asker) -> None:
    started = []
    for _ in range(3):
        started.append(post(asker).get_json()["data"]["sessionId"])
        asker.shop.world.database.fail(started[-1], "interrupted")
        asker.shop.world.clock.sleep(1)

    first = asker.client.get("/api/try-on/history?limit=2", headers=asker.headers()).get_json()
    cursor = first["meta"]["next_cursor"]
    second = asker.client.get(
        "/api/try-on/history", query_string={"cursor": cursor}, headers=asker.headers()
    ).get_json()

    assert [item["id"] for item in first["data"] + second["data"]] == started[::-1]
    assert (len(first["data"]), second["meta"]) == (2, {"next_cursor": None})


def test_a_deleted_session_is_named_and_gone(asker: Asker) -> None:
    asker.session_id = post(asker).get_json()["data"]["sessionId"]
    asker.poll()

    answer = asker.client.delete(f"/api/try-on/{asker.session_id}", headers=asker.headers())

    assert answer.get_json() == {"success": True, "data": {"sessionId": asker.session_id}}
    assert answer.status_code == 200
    assert asker.poll().status_code == 404
