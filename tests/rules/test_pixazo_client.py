"""What Pixazo is sent and where, who gets the key, and what comes of each way a call can end."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import requests
from fakes import FakeClock, FakePictures
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
)

from vton.adapters.http.client import Answer, AnswerTooLarge, HttpClient
from vton.adapters.http.download import Downloads
from vton.adapters.pixazo.client import (
    CONNECT_SECONDS,
    KEY_HEADER,
    MAX_ANSWER_BYTES,
    POLL_SECONDS,
    SLOW_SECONDS,
    SUBMIT_SECONDS,
    Pixazo,
    PixazoSettings,
)
from vton.adapters.pixazo.throttle import Throttle
from vton.errors import Problem, Unavailable
from vton.imaging.photos import PictureConverter
from vton.tryon.model import ProviderTask
from vton.tryon.ports.provider import (
    FormRefused,
    Inputs,
    PermanentError,
    Progress,
    ProviderError,
    ResultLapsed,
    RetryableError,
    TaskNotFound,
)
from vton.tryon.ports.storage import PictureMissing, SignedUrl

KEY = "0123456789abcdef"
BASE = "https://gateway.pixazo.ai"
SUBMIT_URL = f"{BASE}/kling-ai-vton/v1/getVirtualTryOnTask"
LEGACY_URL = f"{BASE}/kling-ai-polling/v1/getVirtualTryOnStatus"
INPUTS = Inputs("the person", "the garment")
SETTINGS = PixazoSettings(
    api_key=KEY,
    base_url=BASE,
    submit_path="/kling-ai-vton/v1/getVirtualTryOnTask",
    status_path="/v2/requests/status/{request_id}",
    person_field="human_image",
    garment_field="cloth_image",
    send_urls=True,
    allowed_hosts=frozenset({"gateway.pixazo.ai", "gateway.appypie.com"}),
)


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with this JSON."""
    return Answer(status, "reason", headers or {}, json.dumps(body).encode())


def accepted(polling_url: object = None) -> Answer:
    """What v2 says to a submit."""
    return answer({"request_id": "t1", "status": "QUEUED", "polling_url": polling_url}, 202)


@dataclass
class FakeHttp:
    """`HttpClient`: notes what is asked, and gives these answers one after another."""

    answers: list[Answer | Exception] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, method: str, url: str, **options: Any) -> Answer:
        self.asked.append({"method": method, "url": url, **options})
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class FakeDownloads:
    """`Downloads`: a small internet."""

    pages: dict[str, bytes | Exception] = field(default_factory=dict)
    asked: list[tuple[str, bool]] = field(default_factory=list)

    def get(self, url: str, *, anywhere: bool = False) -> bytes:
        self.asked.append((url, anywhere))
        found = self.pages[url]
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class FakeConverter:
    """`PictureConverter`: marks what it is given."""

    trouble: Exception | None = None

    def verify_result(self, data: bytes) -> bytes:
        if self.trouble:
            raise self.trouble
        return b"marked " + data


class Vendor:
    """Pixazo, with everything around it faked."""

    def __init__(self, *answers: Answer | Exception, **changes: Any) -> None:
        self.clock = FakeClock()
        self.http = FakeHttp(list(answers))
        self.pictures = FakePictures(self.clock)
        self.downloads, self.converter = FakeDownloads(), FakeConverter()
        self.pixazo = Pixazo(
            settings=replace(SETTINGS, **changes),
            pictures=self.pictures,
            converter=cast(PictureConverter, self.converter),
            throttle=Throttle(1000, self.clock, self.clock),
            downloads=cast(Downloads, self.downloads),
            http=cast(HttpClient, self.http),
        )

    @property
    def bodies(self) -> list[dict[str, str]]:
        """What was sent, call by call."""
        return [call["body"] for call in self.http.asked]


def failure(call: Callable[[], object]) -> str | type[ProviderError]:
    """How a call fails: the catalogue's code, or the exception where that has none."""
    with pytest.raises(ProviderError) as caught:
        call()
    return getattr(caught.value, "code", type(caught.value))


# -- what a submit sends -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("garment_field", "names"),
    [
        ("cloth_image", ["cloth_image"]),
        ("image_tail", ["image_tail"]),
        ("cloth_image,image_tail", ["cloth_image", "image_tail"]),
        ("image_tail,cloth_image", ["image_tail", "cloth_image"]),
        ("garment_image", ["garment_image"]),
    ],
)
def test_a_submit_sends_the_two_pictures_and_nothing_else(
    garment_field: str, names: list[str]
) -> None:
    vendor = Vendor(accepted(), garment_field=garment_field)

    vendor.pixazo.submit(INPUTS)

    (asked,) = vendor.http.asked
    assert asked == {
        "method": "POST",
        "url": SUBMIT_URL,
        "body": {"human_image": "the person", **dict.fromkeys(names, "the garment")},
        "headers": {KEY_HEADER: KEY, "Accept": "application/json"},
        "connect": CONNECT_SECONDS,
        "seconds": SUBMIT_SECONDS,
        "limit": MAX_ANSWER_BYTES,
    }


def test_the_persons_field_is_a_setting() -> None:
    vendor = Vendor(accepted(), person_field="model_image", garment_field="garment_image")

    vendor.pixazo.submit(INPUTS)

    assert vendor.bodies == [{"model_image": "the person", "garment_image": "the garment"}]


def test_a_task_says_who_has_it() -> None:
    assert Vendor(accepted()).pixazo.submit(INPUTS) == ProviderTask(
        "pixazo", "t1", f"{BASE}/v2/requests/status/t1"
    )


# -- another form of the request ---------------------------------------------------------------

BAD_FORM = answer({"error": "cloth_image is not allowed"}, 400)


@pytest.mark.parametrize(
    ("first", "second"), [("cloth_image", "image_tail"), ("image_tail", "cloth_image")]
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_form_is_repeated_once_with_the_garments_other_name(
    first: str, second: str, status: int
) -> None:
    bad = answer({"error": f"{first} is not allowed"}, status)
    vendor = Vendor(bad, bad, garment_field=first)

    with pytest.raises(FormRefused) as caught:
        vendor.pixazo.submit(INPUTS)
    alternative = caught.value.alternative
    assert (alternative.person, alternative.garment) == ("the person", "the garment")
    assert str(caught.value) == f"{status} '{first} is not allowed'"

    assert failure(lambda: vendor.pixazo.submit(alternative)) == "photo_rejected"
    assert vendor.bodies == [
        {"human_image": "the person", first: "the garment"},
        {"human_image": "the person", second: "the garment"},
    ]


def test_the_other_form_may_be_accepted() -> None:
    vendor = Vendor(BAD_FORM, accepted())
    with pytest.raises(FormRefused) as caught:
        vendor.pixazo.submit(INPUTS)

    assert vendor.pixazo.submit(caught.value.alternative).id == "t1"


def forms(vendor: Vendor) -> list[list[str]]:
    """What the garment's field was called, in each submit."""
    return [[name for name in body if name != "human_image"] for body in vendor.bodies]


def tried_until_accepted(vendor: Vendor) -> None:
    """Submit as a run does, in one form after the other."""
    inputs = INPUTS
    while True:
        try:
            vendor.pixazo.submit(inputs)
        except FormRefused as refusal:
            inputs = refusal.alternative
        else:
            return


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        (0, [["cloth_image", "image_tail"]]),
        (1, [["cloth_image", "image_tail"], ["cloth_image"]]),
        (2, [["cloth_image", "image_tail"], ["cloth_image"], ["image_tail"]]),
    ],
)
def test_where_nothing_says_its_name_both_are_sent_and_then_each_alone(
    refused: int, expected: list[list[str]]
) -> None:
    vendor = Vendor(*[BAD_FORM] * refused, accepted(), accepted(), garment_field="")

    tried_until_accepted(vendor)
    assert forms(vendor) == expected
    tried_until_accepted(vendor)

    assert forms(vendor) == [*expected, expected[-1]], "what was accepted is remembered"


def test_what_is_refused_once_a_form_was_accepted_is_not_sent_twice() -> None:
    vendor = Vendor(BAD_FORM, accepted(), BAD_FORM, garment_field="")
    tried_until_accepted(vendor)

    assert failure(lambda: vendor.pixazo.submit(INPUTS)) == "photo_rejected"
    assert len(vendor.bodies) == 3


def test_after_all_three_forms_it_is_the_photo() -> None:
    vendor = Vendor(*[BAD_FORM] * 3, garment_field="")

    assert failure(lambda: tried_until_accepted(vendor)) == "photo_rejected"
    assert len(vendor.bodies) == 3


@pytest.mark.parametrize("garment_field", ["cloth_image,image_tail", "garment_image"])
def test_there_is_no_other_form_of_both_names_nor_of_ones_own(garment_field: str) -> None:
    vendor = Vendor(BAD_FORM, garment_field=garment_field)

    assert failure(lambda: vendor.pixazo.submit(INPUTS)) == "photo_rejected"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (answer({"error": "human_image is too small"}, 400), "photo_rejected"),
        (answer({"code": 1301}, 400), "photo_rejected"),
        (answer({"error": "cloth_image"}, 413), "photo_rejected"),
        (answer({"error": "cloth_image"}, 401), "provider_unavailable"),
        (answer({"error": "cloth_image"}, 500), "provider_uncertain"),
        (answer({"error": "cloth_image"}, 429), RetryableError),
    ],
)
def test_another_refusal_does_not_change_the_form(found: Answer, expected: object) -> None:
    vendor = Vendor(found)

    assert failure(lambda: vendor.pixazo.submit(INPUTS)) == expected


# -- a submit that broke off -------------------------------------------------------------------


def broken(reason: Exception) -> requests.ConnectionError:
    """An error of `requests`, for this reason."""
    return requests.ConnectionError(MaxRetryError(cast(Any, None), SUBMIT_URL, reason))


NOTHING: Any = None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (broken(NewConnectionError(NOTHING, "refused")), RetryableError),
        (broken(ConnectTimeoutError(NOTHING, "no connection")), RetryableError),
        (broken(ReadTimeoutError(NOTHING, SUBMIT_URL, "timed out")), "provider_uncertain"),
        (requests.ReadTimeout(), "provider_uncertain"),
        (requests.ConnectTimeout(), "provider_uncertain"),
        (requests.ConnectionError("reset"), "provider_uncertain"),
        (requests.RequestException("ProtocolError"), "provider_uncertain"),
        (AnswerTooLarge(202, 10), "provider_uncertain"),
    ],
)
def test_only_a_submit_that_was_provably_not_sent_may_be_repeated(
    error: Exception, expected: object
) -> None:
    vendor = Vendor(error)

    assert failure(lambda: vendor.pixazo.submit(INPUTS)) == expected
    assert len(vendor.http.asked) == 1


# -- where the status is -----------------------------------------------------------------------


def asked_at(polling_url: object, **changes: Any) -> str | None:
    """Where a task's status will be asked for when the vendor names this URL."""
    return Vendor(accepted(polling_url), **changes).pixazo.submit(INPUTS).status_url


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/v2/elsewhere/t1",
        "https://gateway.appypie.com/status?id=t1",
        "https://GATEWAY.pixazo.ai/x",
        "https://gateway.pixazo.ai:443/x",
        "https://gateway.pixazo.ai./x",
        f"{BASE}/{'x' * (2000 - len(BASE) - 1)}",
    ],
)
def test_a_trusted_polling_url_is_used(url: str) -> None:
    assert asked_at(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        7,
        ["https://gateway.pixazo.ai/x"],
        "http://gateway.pixazo.ai/x",
        "https://gateway.pixazo.ai:8443/x",
        "https://evil.example/x",
        "https://gateway.pixazo.ai.evil.example/x",
        "https://evil-gateway.pixazo.ai/x",
        "https://gateway.pixazo.ai@evil.example/x",
        "https://user@gateway.pixazo.ai/x",
        "https://evil.example\\@gateway.pixazo.ai/x",
        "https://evil.example#@gateway.pixazo.ai/x",
        "https://127.0.0.1/x",
        "http://localhost/x",
        "//gateway.pixazo.ai/x",
        "/v2/x",
        "ftp://gateway.pixazo.ai/x",
        "https://gateway.pixazo.ai/a b",
        "https://gateway.pixazo.ai/x\n",
        f"{BASE}/{'x' * (2000 - len(BASE))}",
    ],
)
def test_any_other_polling_url_is_replaced_by_our_own(url: object) -> None:
    assert asked_at(url) == f"{BASE}/v2/requests/status/t1"


def test_the_simulator_may_be_asked_by_http_where_it_is_and_nowhere_else() -> None:
    base = "http://127.0.0.1:8001"

    assert asked_at(f"{base}/x", base_url=base) == f"{base}/x"
    for other in (
        "http://127.0.0.1:8002/x",
        "http://127.0.0.1:443/x",
        "https://127.0.0.1:8001/x",
        "http://localhost:8001/x",
    ):
        assert asked_at(other, base_url=base) == f"{base}/v2/requests/status/t1"
    assert asked_at(f"{BASE}/x", base_url=base) == f"{BASE}/x"


def test_a_port_of_its_own_may_be_asked_where_the_base_url_has_it() -> None:
    base = "https://gateway.example:8443"

    assert asked_at(f"{base}/x", base_url=base) == f"{base}/x"
    assert asked_at("https://gateway.example/x", base_url=base) == "https://gateway.example/x"
    assert (
        asked_at("https://gateway.example:9000/x", base_url=base) == f"{base}/v2/requests/status/t1"
    )


def test_the_status_path_is_a_setting() -> None:
    assert asked_at(None, status_path="/s?a={request_id}&b={request_id}") == f"{BASE}/s?a=t1&b=t1"


def test_a_legacy_task_has_no_status_url() -> None:
    body = {"code": 0, "request_id": "trace", "data": {"task_id": "t9"}, "polling_url": f"{BASE}/x"}

    assert Vendor(answer(body)).pixazo.submit(INPUTS) == ProviderTask("pixazo", "t9", None)


# -- polls -------------------------------------------------------------------------------------

TASK = ProviderTask("pixazo", "t1", f"{BASE}/v2/requests/status/t1")
LEGACY_TASK = ProviderTask("pixazo", "t9", None)
RESULT = "https://pub-1.r2.dev/output.png"


def test_a_status_is_asked_for_where_the_task_says() -> None:
    vendor = Vendor(answer({"status": "COMPLETED", "output": {"media_url": [RESULT]}}))

    assert vendor.pixazo.poll(TASK) == Progress(RESULT)
    assert vendor.http.asked == [
        {
            "method": "GET",
            "url": TASK.status_url,
            "body": None,
            "headers": {KEY_HEADER: KEY, "Accept": "application/json"},
            "connect": CONNECT_SECONDS,
            "seconds": POLL_SECONDS,
            "limit": MAX_ANSWER_BYTES,
        }
    ]


def test_a_legacy_task_is_asked_for_by_its_id() -> None:
    vendor = Vendor(answer({"code": 0, "data": {"task_id": "t9", "task_status": "processing"}}))

    assert vendor.pixazo.poll(LEGACY_TASK) == Progress()
    (asked,) = vendor.http.asked
    assert (asked["method"], asked["url"]) == ("POST", LEGACY_URL)
    assert asked["body"] == {"task_id": "t9"}
    assert asked["headers"][KEY_HEADER] == KEY


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "http://gateway.pixazo.ai/x",
        "https://gateway.pixazo.ai:8443/x",
        "rubbish",
        "http://127.0.0.1:8001/x",
    ],
)
def test_no_stored_task_has_the_key_sent_elsewhere(url: str) -> None:
    vendor = Vendor()

    assert failure(lambda: vendor.pixazo.poll(replace(TASK, status_url=url))) == "provider_failed"
    assert vendor.http.asked == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (requests.ReadTimeout(), RetryableError),
        (broken(NewConnectionError(NOTHING, "refused")), RetryableError),
        (AnswerTooLarge(200, 10), RetryableError),
        (answer({"error": "x"}, 503), RetryableError),
        (answer({"error": "x"}, 404), TaskNotFound),
        (answer({"error": "x"}, 401), "provider_unavailable"),
    ],
)
def test_what_comes_of_a_status_that_is_none(found: Answer | Exception, expected: object) -> None:
    vendor = Vendor(found)

    assert failure(lambda: vendor.pixazo.poll(TASK)) == expected


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, SLOW_SECONDS), ("soon", SLOW_SECONDS), ("0", SLOW_SECONDS), ("7", 7), ("999", 120)],
)
@pytest.mark.parametrize("body", [{"error": "slow down"}, None])
def test_all_polls_pause_after_a_429(header: str | None, seconds: float, body: object) -> None:
    busy = answer(body, 429, {"Retry-After": header} if header else {})
    vendor = Vendor(busy, answer({"status": "QUEUED"}))
    assert failure(lambda: vendor.pixazo.poll(TASK)) is RetryableError
    vendor.clock.sleep(1)

    with pytest.raises(RetryableError) as caught:
        vendor.pixazo.poll(LEGACY_TASK)
    assert caught.value.retry_after == seconds - 1
    assert len(vendor.http.asked) == 1

    vendor.clock.sleep(seconds - 1)
    assert vendor.pixazo.poll(LEGACY_TASK) == Progress()


@pytest.mark.parametrize("status", [200, 408, 500, 503])
def test_no_other_answer_slows_polls_down(status: int) -> None:
    first = answer({"message": "busy"}, status, {"Retry-After": "60"})
    vendor = Vendor(first, answer({"status": "QUEUED"}))
    if status == 200:
        vendor.pixazo.poll(TASK)
    else:
        failure(lambda: vendor.pixazo.poll(TASK))

    assert vendor.pixazo.poll(TASK) == Progress()
    assert vendor.clock.seconds < 0.01


def test_polls_take_turns_and_submits_do_not() -> None:
    vendor = Vendor(*[answer({"status": "QUEUED"})] * 3, accepted(), accepted())
    for _ in range(3):
        vendor.pixazo.poll(TASK)
    assert vendor.clock.seconds == pytest.approx(0.002)

    vendor.pixazo.submit(INPUTS)
    vendor.pixazo.submit(INPUTS)
    assert vendor.clock.seconds == pytest.approx(0.002)


# -- the key -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base", ["http://gateway.pixazo.ai", "http://example.com", "rubbish", "", "https://user@x.com"]
)
def test_a_base_url_that_is_not_safe_never_gets_the_key(base: str) -> None:
    vendor = Vendor(base_url=base)

    assert failure(lambda: vendor.pixazo.submit(INPUTS)) == "provider_unavailable"
    assert failure(lambda: vendor.pixazo.poll(LEGACY_TASK)) == "provider_failed"
    assert vendor.http.asked == []


@pytest.mark.parametrize(
    "base",
    ["http://127.0.0.1:8001", "http://localhost", "http://[::1]:8001", "https://other.example:444"],
)
def test_a_base_url_that_is_safe_gets_the_key(base: str) -> None:
    vendor = Vendor(accepted(), base_url=base)

    vendor.pixazo.submit(INPUTS)

    assert vendor.http.asked[0]["headers"][KEY_HEADER] == KEY


# -- pictures ----------------------------------------------------------------------------------


def test_our_pictures_are_sent_as_signed_urls() -> None:
    vendor = Vendor()
    vendor.pictures.objects = {"photo.jpg": b"photo", "garment.png": b"garment"}

    assert vendor.pixazo.prepare("photo.jpg", "garment.png") == Inputs(
        "https://signed.example/photo.jpg", "https://signed.example/garment.png"
    )


def test_our_pictures_are_sent_as_base64_where_the_provider_cannot_open_urls() -> None:
    vendor = Vendor(send_urls=False)
    photo, garment = bytes(range(256)) * 3, b"\xff\xfe"
    vendor.pictures.objects = {"photo.jpg": photo, "garment.png": garment}

    found = vendor.pixazo.prepare("photo.jpg", "garment.png")

    assert base64.b64decode(found.person, validate=True) == photo
    assert (found.garment, found.forms) == ("//4=", ())


@pytest.mark.parametrize("send_urls", [True, False])
@pytest.mark.parametrize(
    ("there", "missing"), [("photo.jpg", "garment.png"), ("garment.png", "photo.jpg")]
)
def test_a_picture_that_is_gone_is_named(send_urls: bool, there: str, missing: str) -> None:
    vendor = Vendor(send_urls=send_urls)
    vendor.pictures.objects = {there: b"data"}

    with pytest.raises(PictureMissing) as caught:
        vendor.pixazo.prepare("photo.jpg", "garment.png")
    assert caught.value.args == (missing,)


ELSEWHERE = "https://shop.example/shirt.png"


class WithUrls(FakePictures):
    """A bucket that gives back a garment's own URL, as the real one does."""

    def sign(self, paths: Any) -> Mapping[str, SignedUrl]:
        elsewhere = {p: SignedUrl(p, datetime.max.replace(tzinfo=UTC)) for p in paths}
        return {p: url for p, url in elsewhere.items() if p.startswith("https://")}


def test_a_garment_elsewhere_is_sent_as_its_own_url_and_not_fetched() -> None:
    vendor = Vendor()
    pixazo = replace(vendor.pixazo, pictures=WithUrls(vendor.clock))

    assert pixazo.prepare(ELSEWHERE, ELSEWHERE).garment == ELSEWHERE
    assert vendor.downloads.asked == []


def test_a_garment_elsewhere_is_fetched_from_wherever_it_is() -> None:
    vendor = Vendor(send_urls=False)
    vendor.pictures.objects = {"photo.jpg": b"photo"}
    vendor.downloads.pages = {ELSEWHERE: b"shirt"}

    found = vendor.pixazo.prepare("photo.jpg", ELSEWHERE)

    assert base64.b64decode(found.garment) == b"shirt"
    assert vendor.downloads.asked == [(ELSEWHERE, True)]


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (PermanentError("result_unusable", "not fetched"), "garment_missing"),
        (ResultLapsed("download answered 404"), "garment_missing"),
        (RetryableError("download answered 503"), RetryableError),
    ],
)
def test_a_garment_elsewhere_that_cannot_be_fetched(trouble: Exception, expected: object) -> None:
    vendor = Vendor(send_urls=False)
    vendor.pictures.objects = {"photo.jpg": b"photo"}
    vendor.downloads.pages = {ELSEWHERE: trouble}

    assert failure(lambda: vendor.pixazo.prepare("photo.jpg", ELSEWHERE)) == expected


# -- the result --------------------------------------------------------------------------------


def test_a_result_is_fetched_only_from_where_results_may_be_and_marked() -> None:
    vendor = Vendor()
    vendor.downloads.pages = {RESULT: b"png"}

    assert vendor.pixazo.download_result(RESULT) == b"marked png"
    assert vendor.downloads.asked == [(RESULT, False)]
    assert vendor.http.asked == []


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (Unavailable(), RetryableError),
        (Problem("photo_unreadable"), "result_unusable"),
        (Problem("photo_too_many_pixels"), "result_unusable"),
        (Problem("photo_unsupported"), "result_unusable"),
    ],
)
def test_what_comes_of_a_result_that_is_no_picture(trouble: Exception, expected: object) -> None:
    vendor = Vendor()
    vendor.downloads.pages = {RESULT: b"png"}
    vendor.converter.trouble = trouble

    assert failure(lambda: vendor.pixazo.download_result(RESULT)) == expected


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (RetryableError("download answered 503"), RetryableError),
        (PermanentError("result_unusable", "too many redirects"), "result_unusable"),
    ],
)
def test_a_result_that_cannot_be_fetched(trouble: Exception, expected: object) -> None:
    vendor = Vendor()
    vendor.downloads.pages = {RESULT: trouble}

    assert failure(lambda: vendor.pixazo.download_result(RESULT)) == expected
