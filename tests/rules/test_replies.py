"""What Pixazo's answers mean, word by word: both contracts, and whatever else may come."""

import json
import logging
from collections.abc import Mapping
from http.client import responses
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from vton.adapters.http.client import Answer
from vton.adapters.pixazo.replies import (
    error_text,
    is_about_the_garment_field,
    read_submit,
    retry_after,
)
from vton.adapters.pixazo.replies import read_status as read_status_of
from vton.tryon.ports.provider import (
    PaymentRequired,
    PermanentError,
    Progress,
    ProviderError,
    RetryableError,
    TaskNotFound,
)

URL = "https://pub-1.r2.dev/v1/kling-virtual-try-on_019d/output.png"
OURS = "https://abc.supabase.co/storage/v1/object/sign/try-on/user-uploads/u/1.jpg?token=secret"
POLL = "https://gateway.pixazo.ai/v2/requests/status/kling_019d"
HTML = b"<!DOCTYPE html><html><title>Just a moment...</title></html>"

NO_OBJECTS: list[bytes] = [
    b"",
    HTML,
    b"null",
    b"[]",
    b"7",
    b'"request_id"',
    b'[{"request_id": "a", "status": "COMPLETED"}]',
    b'{"request_id": "a", "status": "COMPL',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"request_id": ' + b"1" * 5000 + b"}",
]
"""Bodies that are no JSON object."""
ODD: list[Any] = [None, 0, 7, 1.5, True, False, "", " ", [], [[]], ["x"], {}, {"a": {"b": 1}}, "é"]
"""What may stand where something else is expected."""
NO_CODES = [value for value in ODD if value != 7]


def answer(
    body: object = None, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """An answer with this JSON, or with these bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, responses.get(status, "Odd"), headers or {}, content)


def read_status(found: Answer) -> Progress:
    """What an answer says of the task `a`, which it names if it is a JSON object."""
    body = found.json()
    named = json.dumps({"request_id": "a", **body}).encode() if body else found.content
    return read_status_of(Answer(found.status, found.reason, found.headers, named), "a")


def refusal(found: Answer) -> tuple[type[ProviderError], str | None]:
    """What a submit's answer is refused as: the exception, and the catalogue's code."""
    with pytest.raises(ProviderError) as caught:
        read_submit(found)
    return type(caught.value), getattr(caught.value, "code", None)


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged for an operator to act on."""
    found = [record for record in caplog.records if record.levelno == logging.ERROR]
    return [text for text in (record.getMessage() for record in found) if text.startswith("ALARM ")]


# -- a submit that was accepted ----------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_v2_submit_names_its_task_and_where_to_ask(status: int) -> None:
    body = {"request_id": "kling_019d", "status": "QUEUED", "polling_url": POLL}

    assert read_submit(answer(body, status)) == ("kling_019d", POLL, False)


@pytest.mark.parametrize(
    ("body", "task_id"),
    [
        ({"request_id": "a"}, "a"),
        ({"requestId": "a"}, "a"),
        ({"id": "a"}, "a"),
        ({"id": "c", "requestId": "b", "request_id": "a"}, "a"),
        ({"id": "c", "requestId": "b"}, "b"),
        ({"id": "c", "request_id": ""}, "c"),
        ({"id": "c", "request_id": None, "requestId": []}, "c"),
        ({"request_id": 123456789012345678}, "123456789012345678"),
        ({"request_id": "a" * 200}, "a" * 200),
        ({"request_id": "Az09_.:-"}, "Az09_.:-"),
        ({"request_id": "a", "data": []}, "a"),
        ({"request_id": "a", "data": "task_id"}, "a"),
        ({"request_id": "a", "data": {}}, "a"),
        ({"request_id": "a", "data": {"task_id": None}}, "a"),
        ({"request_id": "a", "data": {"task_id": ""}}, "a"),
        ({"request_id": "a", "message": {"very": ["odd"]}, "status": 7}, "a"),
        ({"request_id": "a", "output": {"media_url": [URL]}, "status": "COMPLETED"}, "a"),
    ],
)
def test_a_v2_id_is_found_under_each_of_its_names(body: dict[str, Any], task_id: str) -> None:
    assert read_submit(answer(body, 202)) == (task_id, None, False)


@pytest.mark.parametrize("odd", [value for value in ODD if not isinstance(value, str)])
def test_a_polling_url_that_is_no_text_is_none(odd: object) -> None:
    assert read_submit(answer({"request_id": "a", "polling_url": odd})) == ("a", None, False)


@pytest.mark.parametrize(
    "odd", [*NO_CODES, "0", "\u0661\u0663\u0660\u0661", "1301x", "1e3", "1" * 10]
)
def test_a_code_that_is_no_number_is_no_refusal(odd: object) -> None:
    assert read_submit(answer({"request_id": "a", "code": odd})) == ("a", None, False)


@pytest.mark.parametrize(
    ("body", "task_id"),
    [
        ({"code": 0, "request_id": "trace", "data": {"task_id": "t"}}, "t"),
        ({"code": "0", "message": "SUCCEED", "data": {"task_id": "t"}}, "t"),
        ({"request_id": "trace", "data": {"task_id": 818}}, "818"),
        ({"task_id": "t", "task_status": "submitted", "request_id": "trace"}, "t"),
        ({"task_id": "t", "data": None}, "t"),
        ({"task_id": "t", "data": ["task_id"]}, "t"),
        ({"data": {"task_id": "t"}, "polling_url": POLL}, "t"),
        ({"data": {"task_id": "t"}, "task_id": "outer"}, "t"),
    ],
)
def test_a_legacy_task_is_never_called_by_its_trace_id(body: dict[str, Any], task_id: str) -> None:
    assert read_submit(answer(body)) == (task_id, None, True)


BAD_IDS: list[Any] = [
    ["a"],
    {"id": "a"},
    "a b",
    "a/b",
    "a?b",
    "a\n",
    "a\r\nX-Evil: 1",
    "a" * 201,
    "\u0661",
    "é",
    "{request_id}",
    "<script>",
]


@pytest.mark.parametrize("bad", BAD_IDS)
@pytest.mark.parametrize("body", ['{"request_id": %s}', '{"data": {"task_id": %s}, "id": "a"}'])
def test_an_accepted_submit_without_a_usable_id_is_uncertain(bad: object, body: str) -> None:
    found = answer((body % json.dumps(bad)).encode())

    assert refusal(found) == (PermanentError, "provider_uncertain")


@pytest.mark.parametrize("body", [*NO_OBJECTS, b"{}", b'{"status": "QUEUED"}', b'{"data": {}}'])
@pytest.mark.parametrize("status", [200, 202])
def test_an_accepted_submit_that_names_no_task_is_uncertain(body: bytes, status: int) -> None:
    assert refusal(answer(body, status)) == (PermanentError, "provider_uncertain")


# -- a submit that was refused -----------------------------------------------------------------

PAY = (PaymentRequired, None)
LATER = (RetryableError, None)
PHOTO = (PermanentError, "photo_rejected")
ACCOUNT = (PermanentError, "provider_unavailable")
UNCERTAIN = (PermanentError, "provider_uncertain")


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (400, {}, PHOTO),
        (400, {"error": "image is too dark"}, PHOTO),
        (413, {}, PHOTO),
        (413, HTML, PHOTO),
        (422, {"detail": [{"loc": ["body", "human_image"], "msg": "field required"}]}, PHOTO),
        (400, {"error": "Model not found", "message": "Model 'x' is disabled"}, ACCOUNT),
        (401, {"statusCode": 401, "message": "Access denied"}, ACCOUNT),
        (401, HTML, ACCOUNT),
        (404, {"message": "Resource not found"}, ACCOUNT),
        (404, HTML, ACCOUNT),
        (402, {"error": "Insufficient Balance"}, PAY),
        (402, b"", PAY),
        (403, {"message": "Quota exceeded"}, PAY),
        (403, {"message": "NSFW content detected"}, PHOTO),
        (403, {"code": 1301, "message": "x"}, PHOTO),
        (403, {"error": {"message": "Flagged by our safety system"}}, PHOTO),
        (403, {"message": "blocked by the security policy"}, PAY),
        (403, HTML, LATER),
        (403, b"", LATER),
        (403, b"[]", LATER),
        (429, {}, LATER),
        (429, HTML, LATER),
        (503, {}, LATER),
        (503, HTML, LATER),
        (503, {"error": "Model not found"}, ACCOUNT),
        (500, {}, UNCERTAIN),
        (500, {"error": "Model not found"}, UNCERTAIN),
        (502, HTML, UNCERTAIN),
        (504, HTML, UNCERTAIN),
        (522, HTML, UNCERTAIN),
        (524, HTML, UNCERTAIN),
        (408, {}, UNCERTAIN),
        (409, {}, UNCERTAIN),
        (204, b"", UNCERTAIN),
        (206, {"request_id": "a"}, UNCERTAIN),
        (302, b"", UNCERTAIN),
        (418, {"request_id": "a"}, UNCERTAIN),
        (400, {"code": 1200, "message": "invalid"}, PHOTO),
        (400, {"code": 1201}, PHOTO),
        (400, {"code": 1300}, PHOTO),
        (400, {"code": "1301"}, PHOTO),
        (400, {"code": "1101"}, PAY),
        (400, {"code": 1304}, ACCOUNT),
        *((401, {"code": code}, ACCOUNT) for code in (1000, 1001, 1002, 1003, 1004)),
        *((400, {"code": code}, ACCOUNT) for code in (1000, 1001, 1002, 1003, 1004, 1103, 1304)),
        *((429, {"code": code}, PAY) for code in (1100, 1101, 1102)),
        (429, {"code": 1304, "message": "not in the IP whitelist"}, ACCOUNT),
        *((429, {"code": code}, LATER) for code in (1302, 1303)),
        *((404, {"code": code}, ACCOUNT) for code in (1202, 1203)),
        (503, {"code": 5001}, LATER),
        (503, {"code": 1102}, PAY),
        (500, {"code": 5000}, UNCERTAIN),
        (504, {"code": 5002}, UNCERTAIN),
        (500, {"code": 1101}, UNCERTAIN),
        (500, {"code": 1002}, UNCERTAIN),
        (502, {"code": 1302}, UNCERTAIN),
    ],
)
def test_what_a_refused_submit_means(
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: object,
    meaning: tuple[type[ProviderError], str | None],
) -> None:
    found = answer(body, status)

    assert refusal(found) == meaning
    assert len(alarms(caplog)) == (meaning == ACCOUNT)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        *((code, ACCOUNT) for code in (1000, 1001, 1002, 1003, 1004, 1103, 1304)),
        *((code, ACCOUNT) for code in (1202, 1203, "1002")),
        *((code, PAY) for code in (1100, 1101, 1102, "1102")),
        *((code, PHOTO) for code in (1200, 1201, 1300, 1301, "1301")),
        *((code, LATER) for code in (1302, 1303, 5001, "1303")),
        *((code, UNCERTAIN) for code in (5000, 5002, 9999, "5000", 123456789, 1, 7, -1, 4999)),
    ],
)
def test_what_klings_code_means_in_an_answer_that_is_well(
    caplog: pytest.LogCaptureFixture,
    code: object,
    meaning: tuple[type[ProviderError], str | None],
) -> None:
    body = {"code": code, "message": "m", "request_id": "trace", "data": {}}

    assert refusal(answer(body)) == meaning
    assert len(alarms(caplog)) == (meaning == ACCOUNT)


@pytest.mark.parametrize("code", [0, 1, 200, "202", 1302, 1002, 5000])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_answer_with_a_task_has_one_whatever_its_code(code: object, status: int) -> None:
    """It is paid for: to call it refused would keep it out of every limit, or pay it again."""
    body = {"code": code, "message": "SUCCEED", "request_id": "trace", "data": {"task_id": "t"}}

    assert read_submit(answer(body, status)) == ("t", None, True)


@pytest.mark.parametrize("code", [200, "200", 202, 299])
def test_a_code_of_http_is_no_refusal(code: object) -> None:
    assert read_submit(answer({"code": code, "request_id": "a"}, 202)) == ("a", None, False)


@pytest.mark.parametrize("status", [403, 429, 503])
@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("999", 120.0), ("soon", None)])
def test_a_refused_submit_waits_as_long_as_it_is_told(
    status: int, header: str, seconds: float | None
) -> None:
    with pytest.raises(RetryableError) as caught:
        read_submit(answer(HTML, status, {"Retry-After": header}))

    assert caught.value.retry_after == seconds


def test_an_alarm_says_what_the_provider_said_without_our_urls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusal(answer({"message": f"key refused for {OURS}"}, 401))
    refusal(answer({"code": 1002, "message": f"bad key {OURS}"}))

    by_status, by_code = alarms(caplog)
    assert "401 'key refused for <URL>'" in by_status
    assert "code 1002 'bad key <URL>'" in by_code
    assert "supabase" not in caplog.text


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *((1302, status) for status in (200, 400, 402, 429, 500, 418)),
        *((code, 200) for code in (1002, 1102, 1200, 1301, 5000)),
    ],
)
def test_a_refusal_says_what_the_provider_said_and_quotes_no_url_of_ours(
    code: int, status: int
) -> None:
    with pytest.raises(ProviderError) as caught:
        read_submit(answer({"code": code, "message": f"cannot open {OURS} now"}, status))

    assert "cannot open <URL> now" in str(caught.value)
    assert "supabase" not in str(caught.value)


# -- the garment's field -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": "cloth_image is required"}, True),
        (422, {"detail": [{"loc": ["body", "image_tail"]}]}, True),
        (400, {}, True),
        (400, b"", True),
        (400, HTML, True),
        (400, {"error": "human_image and cloth_image are required"}, True),
        (400, {"error": "unknown field image_tail beside human_image"}, True),
        (400, {"error": "human_image is required"}, False),
        (400, {"error": "Human_Image is required"}, False),
        (400, {"code": 1200, "message": "invalid parameters"}, True),
        (400, {"code": 1300, "message": "cloth_image"}, False),
        (422, {"code": "1301", "message": "cloth_image"}, False),
        (400, {"error": "Model not found"}, False),
        (400, {"error": "cloth_image: wrong FORMAT"}, False),
        (400, {"error": "cloth_image: size over 10 MB"}, False),
        (400, {"error": "cloth_image: Resolution"}, False),
        (400, {"error": "cloth_image: 300 pixels at least"}, False),
        (400, {"error": "cloth_image: not base64"}, False),
        (400, {"error": "image_tail: Insufficient Balance"}, False),
        (400, b"x" * 2000 + b" size", True),
        (400, b"x" * 1996 + b"size", False),
        (400, b"x" * 1999 + b"cloth_image human_image", True),
        (200, {"error": "cloth_image"}, False),
        (401, {"error": "cloth_image"}, False),
        (413, {"error": "cloth_image"}, False),
        (429, {"error": "cloth_image"}, False),
        (500, {"error": "cloth_image"}, False),
        (402, {}, False),
    ],
)
def test_whether_a_refusal_is_about_the_garments_field(
    status: int, body: object, expected: bool
) -> None:
    assert is_about_the_garment_field(answer(body, status)) is expected


# -- what the log says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": "e", "message": "m", "detail": "d"}, "400 'e'"),
        ({"message": "m", "detail": "d"}, "400 'm'"),
        ({"detail": "d"}, "400 'd'"),
        ({"error": {"message": "inner"}, "message": "m"}, "400 'inner'"),
        ({"error": {"code": 7}, "message": "m"}, "400 'm'"),
        ({"error": {"message": ""}, "detail": "d"}, "400 'd'"),
        ({"error": {"message": ["a"]}}, "400 \"['a']\""),
        ({"error": ["a", 1]}, "400 \"['a', 1]\""),
        ({"error": 7}, "400 '7'"),
        ({"error": True}, "400 'True'"),
        ({"error": None, "message": None}, "400 'Bad Request'"),
        ({"error": 0, "message": "", "detail": []}, "400 'Bad Request'"),
        ({"error": {}}, "400 'Bad Request'"),
        ({"detail": [{"msg": "x"}]}, "400 \"[{'msg': 'x'}]\""),
        ({}, "400 'Bad Request'"),
        (HTML, "400 'Bad Request'"),
        (b"", "400 'Bad Request'"),
        ({"error": "a\nERROR forged\r"}, "400 'a ERROR forged '"),
        ({"error": f"cannot open {OURS}, sorry"}, "400 'cannot open <URL> sorry'"),
        ({"error": "see http://a/b and https://c/d."}, "400 'see <URL> and <URL>'"),
        ({"error": {"message": f"cannot open {OURS}"}}, "400 'cannot open <URL>'"),
        ({"error": [OURS]}, '400 "[\'<URL>"'),
        ({"error": "x " * 2500}, f"400 '{'x ' * 100}'"),
        ({"error": f"{OURS}{'x' * 5000} tail"}, "400 '<URL>'"),
        ({"error": "x " * 95 + " " + OURS}, f"400 '{'x ' * 95} <URL>'"),
        ({"error": "x " * 99 + " " + OURS}, f"400 '{'x ' * 99} <'"),
    ],
)
def test_what_the_log_says_of_an_error(body: object, text: str) -> None:
    assert error_text(answer(body, 400)) == text


# -- a status ----------------------------------------------------------------------------------

RUNNING = [
    "queued",
    "in_queue",
    "submitted",
    "pending",
    "starting",
    "created",
    "accepted",
    "waiting",
    "processing",
    "in_progress",
    "running",
    "QUEUED",
    "PROCESSING",
    "IN_QUEUE",
    "In_Progress",
]
DONE = [
    "completed",
    "complete",
    "succeed",
    "succeeded",
    "success",
    "done",
    "ready",
    "COMPLETED",
    "Succeed",
]
FAILED = [
    "failed",
    "fail",
    "failure",
    "cancelled",
    "canceled",
    "rejected",
    "expired",
    "timeout",
    "FAILED",
    "CANCELLED",
    "Expired",
]


def placed(word: object, place: str) -> dict[str, Any]:
    """A status, with this word where one of the contracts puts it."""
    if place.startswith("data."):
        return {"code": 0, "data": {"task_id": "a", place.removeprefix("data."): word}}
    return {"request_id": "a", place: word}


PLACES = ["status", "data.status", "data.task_status", "task_status"]


@pytest.mark.parametrize("word", RUNNING)
@pytest.mark.parametrize("place", PLACES)
def test_a_task_that_runs(caplog: pytest.LogCaptureFixture, word: str, place: str) -> None:
    assert read_status(answer(placed(word, place))) == Progress()
    assert read_status(answer({**placed(word, place), "output": URL})) == Progress()
    assert not caplog.records


@pytest.mark.parametrize("word", DONE)
@pytest.mark.parametrize("place", PLACES)
def test_a_task_that_is_done(caplog: pytest.LogCaptureFixture, word: str, place: str) -> None:
    body = placed(word, place)

    assert read_status(answer({**body, "output": {"media_url": [URL]}})) == Progress(URL)
    assert read_status(answer(body)) == Progress(failure="result_unusable")
    assert not caplog.records


@pytest.mark.parametrize("word", FAILED)
@pytest.mark.parametrize("place", PLACES)
def test_a_task_that_failed_is_paid_for(word: str, place: str) -> None:
    body = {**placed(word, place), "output": {"media_url": [URL]}}

    assert read_status(answer(body)) == Progress(failure="provider_failed", charged=True)


@pytest.mark.parametrize("word", ["error", "ERROR", "Error"])
@pytest.mark.parametrize("place", PLACES)
def test_a_task_that_ended_in_error_costs_nothing(word: str, place: str) -> None:
    found = read_status(answer(placed(word, place)))

    assert found == Progress(failure="provider_failed", charged=False)


@pytest.mark.parametrize(
    "body",
    [
        {"status": "FAILED", "error": "content RISK CONTROL triggered"},
        {"status": "ERROR", "error": "violates our Policy"},
        {"status": "FAILED", "error": "There is no human in the video"},
        {"status": "FAILED", "error": {"message": "No person was found"}},
        {"status": "FAILED", "error": ["no person"]},
        {"status": "FAILED", "message": "no human"},
        {"status": "FAILED", "error": "NSFW content detected"},
        {"status": "ERROR", "error": "Your request was flagged by safety system."},
        {"status": "FAILED", "error": "The image contains sensitive information"},
        {"status": "FAILED", "error": "Could not find a person in human_image"},
        {"status": "FAILED", "code": 1300},
        {"status": "FAILED", "code": "1301", "error": "x"},
        {"code": 0, "data": {"task_status": "failed", "task_status_msg": "risk control"}},
        {"data": {"task_status": "failed"}, "message": "policy"},
        {"task_status": "failed", "task_status_msg": "no human"},
    ],
)
def test_a_task_that_failed_for_its_pictures_is_about_the_photo(body: dict[str, Any]) -> None:
    assert read_status(answer({"task_id": "a", **body})) == Progress(failure="photo_rejected")


def test_a_403_about_the_picture_is_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    found = answer({"message": "NSFW content detected"}, 403)

    assert read_status(found) == Progress(failure="photo_rejected")
    assert alarms(caplog) == []


@pytest.mark.parametrize(
    "body",
    [
        {"status": "FAILED", "error": "internal", "message": "policy"},
        {"status": "FAILED", "code": 1302},
        {"status": "FAILED", "error": None},
        {"status": "FAILED", "error": 7, "data": 7},
        {"status": "failed", "data": {"task_status_msg": "timeout"}, "message": "no human"},
    ],
)
def test_the_first_reason_counts(body: dict[str, Any]) -> None:
    assert read_status(answer({"request_id": "a", **body})) == Progress(failure="provider_failed")


@pytest.mark.parametrize("body", [
    {"status": "error", "message": "rate limit exceeded"},
    {"status": "failed", "message": "Too many requests"},
    {"status": "success", "message": "ok"},
    {"request_id": "another", "status": "ERROR"},
    {"code": 0, "data": {"task_id": "another", "task_status": "failed"}},
    {"code": 0, "request_id": "trace", "data": {"task_status": "failed"}},
])  # fmt: skip
def test_an_answer_that_does_not_name_the_task_does_not_end_it(body: dict[str, Any]) -> None:
    """It is paid for, and to take it for failed would throw it away, or pay it again."""
    with pytest.raises(RetryableError):
        read_status_of(answer(body), "a")


@pytest.mark.parametrize("word", ["COMPLETED", "new word"])
def test_a_picture_is_taken_from_whatever_names_it(word: str) -> None:
    assert read_status_of(answer({"status": word, "output": URL}), "a") == Progress(URL)


def test_why_a_task_failed_is_logged_without_our_urls(caplog: pytest.LogCaptureFixture) -> None:
    read_status(answer({"id": "a", "status": "FAILED", "error": f"cannot open {OURS} ...\n"}))

    assert "'cannot open <URL> ... '" in caplog.text
    assert "supabase" not in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_a_status_comes_before_that_of_the_envelope() -> None:
    both = {"status": "QUEUED", "data": {"status": "failed", "task_status": "succeed"}}
    inner = {"status": "", "data": {"status": "FAILED", "task_status": "succeed"}}

    assert read_status(answer(both)) == Progress()
    assert read_status(answer(inner)) == Progress(failure="provider_failed")


@pytest.mark.parametrize("word", ["paused", "x" * 5000, 7, True, ["completed"], {"a": 1}, "é", " "])
def test_a_word_that_is_not_known_runs_unless_there_is_a_picture(
    caplog: pytest.LogCaptureFixture, word: object
) -> None:
    body = {"status": word}

    assert read_status(answer(body)) == Progress()
    assert read_status(answer({**body, "output": URL})) == Progress(URL)
    assert len(caplog.records) == 2
    assert "is not known" in caplog.text
    assert "x" * 41 not in caplog.text


@pytest.mark.parametrize("word", [None, "", 0, False, [], {}])
def test_a_picture_without_a_word_is_done(word: object) -> None:
    body = {"status": word, "data": word, "output": word}

    assert read_status(answer({**body, "images": [URL]})) == Progress(URL)
    assert read_status(answer({**body, "request_id": "a"})) == Progress()


# -- a status that is none ---------------------------------------------------------------------


@pytest.mark.parametrize("body", [*NO_OBJECTS, b"{}"])
@pytest.mark.parametrize("status", [200, 401, 402, 403, 404, 429, 500, 503])
def test_an_answer_that_is_no_object_says_nothing_of_the_task(
    caplog: pytest.LogCaptureFixture, body: bytes, status: int
) -> None:
    with pytest.raises(RetryableError):
        read_status(answer(body, status))
    assert not alarms(caplog)


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize(
    "body", [{"message": f"no {OURS}"}, {"status": "COMPLETED", "output": URL}]
)
def test_a_status_that_we_may_not_ask_for_is_an_alarm(
    caplog: pytest.LogCaptureFixture, status: int, body: dict[str, Any]
) -> None:
    with pytest.raises(PermanentError) as caught:
        read_status(answer(body, status))

    assert caught.value.code == "provider_unavailable"
    assert len(alarms(caplog)) == 1
    assert f"status answered {status}" in alarms(caplog)[0]
    assert "supabase" not in caplog.text


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"message": "x"}),
        (404, {"status": "QUEUED"}),
        (200, {"code": 1, "message": "task not found"}),
        (200, {"message": "Task Not Found", "data": None}),
        (200, {"message": ["NOT FOUND"]}),
        (400, {"error": "x", "message": "task not found"}),
        (500, {"message": "not found"}),
    ],
)
def test_a_task_that_is_not_known(status: int, body: dict[str, Any]) -> None:
    with pytest.raises(TaskNotFound):
        read_status(answer(body, status))


@pytest.mark.parametrize(
    ("body", "progress"),
    [
        ({"message": "not found", "status": "QUEUED"}, Progress()),
        ({"message": "not found", "data": {"task_status": "processing"}}, Progress()),
        ({"message": "not found", "output": URL}, Progress(URL)),
        ({"message": "found"}, Progress()),
        ({"error": "not found"}, Progress()),
    ],
)
def test_a_message_alone_does_not_lose_a_task(body: dict[str, Any], progress: Progress) -> None:
    assert read_status(answer(body)) == progress


@pytest.mark.parametrize("status", [202, 204, 302, 400, 408, 418, 429, 500, 502, 503, 504, 524])
@pytest.mark.parametrize("body", [{"status": "COMPLETED", "output": URL}, {"message": f"x {OURS}"}])
def test_any_other_status_is_asked_for_again(status: int, body: dict[str, Any]) -> None:
    with pytest.raises(RetryableError) as caught:
        read_status(answer(body, status, {"Retry-After": "9"}))

    assert caught.value.retry_after == 9
    assert f"status answered {status}" in str(caught.value)
    assert "supabase" not in str(caught.value)


# -- where the picture is ----------------------------------------------------------------------

NAMES = ("media_url", "media_urls", "images", "image_url", "imageUrl", "url")
FORMS: list[Any] = [URL, [URL], [{"url": URL}], {"url": URL}, [URL, "https://second.example/a"]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("holder", ["output", "result", "data", ""])
@pytest.mark.parametrize("form", FORMS)
def test_the_picture_is_found_in_each_place(name: str, holder: str, form: object) -> None:
    place = {name: form}
    body = {"status": "done", **({holder: place} if holder else place)}

    assert read_status(answer(body)) == Progress(URL)


def test_a_picture_may_be_told_without_tls() -> None:
    """Whether it is fetched, is for those who fetch it."""
    url = "http://127.0.0.1:8001/picture.png"

    assert read_status(answer({"status": "COMPLETED", "output": [url]})) == Progress(url)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("holder", ["output", "result", "data"])
def test_a_holder_may_be_the_picture_itself(form: object, holder: str) -> None:
    assert read_status(answer({"status": "done", holder: form})) == Progress(URL)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("holder", ["data", "output", "result", ""])
def test_a_legacy_result_is_found(form: object, holder: str) -> None:
    result = {"task_status": "succeed", "task_result": {"images": form}, "status": "succeed"}

    assert read_status(answer({holder: result} if holder else result)) == Progress(URL)


OTHER = "https://other.example/picture.png"


@pytest.mark.parametrize(
    "body",
    [
        {"output": URL, "result": OTHER},
        {"output": [], "result": URL, "data": OTHER},
        {"output": {"x": 1}, "data": {"url": URL}, "url": OTHER},
        {"output": {"media_url": [URL], "media_urls": [OTHER]}},
        {"output": {"media_urls": [URL], "images": [OTHER]}},
        {"output": {"images": [URL], "image_url": OTHER}},
        {"output": {"image_url": URL, "imageUrl": OTHER}},
        {"output": {"imageUrl": URL, "url": OTHER}},
        {"data": {"images": [OTHER], "task_result": {"images": [URL]}}},
        {"output": {"media_url": [7, OTHER], "url": URL}},
        {"output": "nothing", "images": [URL]},
    ],
)
def test_which_of_several_pictures_is_taken(body: dict[str, Any]) -> None:
    assert read_status(answer({"status": "COMPLETED", **body})) == Progress(URL)


@pytest.mark.parametrize(
    "odd",
    [
        *ODD,
        "ftp://a.example/b.png",
        "//a.example/b.png",
        "data:image/png;base64,AAAA",
        "file:///etc/passwd",
        "javascript:alert(1)",
        " https://a.example/b.png",
        "/b.png",
        [None, URL],
        [[URL]],
        {"url": {"url": URL}},
        {"href": URL},
        [{"url": [URL]}],
        [{"url": None}, {"url": URL}],
    ],
)
@pytest.mark.parametrize("name", ["media_url", "images", "url"])
def test_what_is_no_url_is_no_picture(odd: object, name: str) -> None:
    for body in ({"output": {name: odd}}, {"data": {"task_result": {name: odd}}}, {name: odd}):
        found = read_status(answer({"status": "COMPLETED", **body}))
        assert found == Progress(failure="result_unusable"), body


@pytest.mark.parametrize("odd", ODD)
def test_a_holder_of_another_type_hides_no_picture(odd: object) -> None:
    body = {"status": "COMPLETED", "output": odd, "result": odd, "task_result": odd}

    assert read_status(answer({**body, "images": [URL]})) == Progress(URL)
    assert read_status(answer(body)) == Progress(failure="result_unusable")


@pytest.mark.parametrize(
    "echo",
    [
        {"input": {"url": OURS, "images": [OURS], "media_url": [OURS]}},
        {"input": OURS},
        {"inputs": [OURS]},
        {"request": {"url": OURS}},
        {"human_image": OURS, "cloth_image": OURS, "image_tail": OURS},
        {"output": {"input": {"url": OURS}, "human_image": OURS}},
        {"output": {"images": [], "input": OURS}},
        {"data": {"input": {"images": [OURS]}, "task_info": {"url": OURS}}},
        {"data": {"task_result": {"input": OURS, "human_image": [OURS]}}},
        {"polling_url": OURS, "callback_url": OURS, "status_url": OURS, "image": OURS},
        {"model": {"image_url": OURS}},
        {"error": OURS, "message": OURS},
    ],
)
def test_what_we_sent_is_never_taken_for_the_result(echo: dict[str, Any]) -> None:
    assert read_status(answer({"status": "COMPLETED", **echo})) == Progress(
        failure="result_unusable"
    )
    assert read_status(answer({"x": 1, **echo})) == Progress()


# -- Retry-After -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("007", 7.0),
        ("119", 119.0),
        ("120", 120.0),
        ("121", 120.0),
        ("86400", 120.0),
        ("9" * 400, 120.0),
        ("", None),
        ("-1", None),
        ("+5", None),
        ("1.5", None),
        (" 5", None),
        ("5\n", None),
        ("1e3", None),
        ("0x5", None),
        ("1_0", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("\u0663", None),
        ("\uff15", None),
        ("\u00b2", None),
    ],
)
def test_how_long_to_wait(value: str, seconds: float | None) -> None:
    assert retry_after(answer({}, 429, {"Retry-After": value})) == seconds
    assert retry_after(answer({}, 429, CaseInsensitiveDict({"retry-after": value}))) == seconds


def test_who_does_not_say_how_long_has_not_said_so() -> None:
    assert retry_after(answer({}, 429)) is None


def test_no_permission_is_not_no_money() -> None:
    with pytest.raises(PermanentError) as refused:
        read_submit(Answer(403, "", {}, b'{"code": 1103, "message": "no permission"}'))

    assert refused.value.code == "provider_unavailable"


def test_an_escaped_url_is_cut_and_a_word_that_is_one_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = {"error": '{"url":"https:\\/\\/abc.supabase.co\\/x?token=secret"}'}
    assert "secret" not in error_text(Answer(400, "", {}, json.dumps(body).encode()))

    read_status(Answer(200, "", {}, b'{"status": "https://abc.supabase.co/x?token=s"}'))
    assert "supabase" not in caplog.text
