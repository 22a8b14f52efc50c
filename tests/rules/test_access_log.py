"""A line for each answer, and a count; and what of a request may be in them."""

import logging
from typing import Any

import pytest
from flask import Flask, Response, g
from flask.testing import FlaskClient

from vton import metrics
from vton.errors import Problem, Unavailable
from vton.log import hashed
from vton.web import access_log, envelope

SESSION = "8a6e0804-2bd0-4672-b79d-d97027f9071a"


@pytest.fixture
def client(caplog: pytest.LogCaptureFixture) -> FlaskClient:
    """Somebody who asks a small application."""
    app = Flask(__name__)
    access_log.init_app(app)
    envelope.init_app(app)

    @app.get("/fine")
    def fine() -> str:
        g.user_id = "somebody"
        return "fine"

    @app.get("/away")
    def away() -> str:
        raise Unavailable("it is away")

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError

    @app.get("/sessions/<session_id>", endpoint="try-on.get_status")
    def status(session_id: str) -> Response:
        if session_id != SESSION:
            raise Problem("session_not_found")
        return Response("fine")

    caplog.set_level(logging.INFO, "vton.access")
    return app.test_client()


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, Any]]]:
    """What was logged of answers: level, message and the fields behind it."""
    names = ("status", "code", "user", "bytes")
    return [
        (one.levelname, one.getMessage(), {n: vars(one)[n] for n in names if hasattr(one, n)})
        for one in caplog.records
        if one.name == "vton.access"
    ]


def counted(**labels: str) -> float:
    """How many answers were counted under these labels."""
    wanted = {"method": "GET", "code": "", "status": "200", **labels}
    found = metrics.registry.get_sample_value("vton_requests_total", wanted)
    return found or 0.0


def test_an_answer_leaves_a_line_and_is_counted(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted(route="/fine")

    client.get("/fine?token=secret")

    fields = {"status": 200, "bytes": 4, "user": hashed("somebody")}
    assert lines(caplog) == [("INFO", "GET /fine", fields)]
    assert counted(route="/fine") == before + 1
    assert vars(caplog.records[-1])["ms"] >= 0


@pytest.mark.parametrize(
    ("path", "level", "status", "code"),
    [
        ("/away", "WARNING", 503, "unavailable"),
        ("/broken", "ERROR", 500, "internal"),
        ("/nothing", "INFO", 404, "not_found"),
        (f"/sessions/{SESSION[:-1]}0", "INFO", 404, "session_not_found"),
    ],
)
def test_what_failed_says_how(
    client: FlaskClient, caplog: pytest.LogCaptureFixture,
    path: str, level: str, status: int, code: str,
) -> None:  # fmt: skip
    client.get(path)

    ((found, _, fields),) = lines(caplog)
    assert (found, fields["status"], fields["code"]) == (level, status, code)


def test_a_poll_that_was_fine_is_counted_only(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    polls = metrics.POLLS.labels("view")._value
    before = polls.get()

    client.get(f"/sessions/{SESSION}")

    assert lines(caplog) == []
    assert polls.get() == before + 1


def test_a_path_that_leads_nowhere_adds_nothing_to_the_line(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/a%0AERROR forged session=x%1b[31m/eyJhbGciOiJFUzI1NiJ9.e30.c2ln/" + "b" * 500)

    ((_, message, _),) = lines(caplog)
    assert message == "GET /a%0AERROR%20forged%20session%3Dx%1B%5B31m/<token><token>"


def test_a_made_up_method_makes_no_series_of_its_own(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        client.open("/fine", method=f"MADEUP{number}")

    samples = [one.labels["method"] for one in next(metrics.REQUESTS.collect().__iter__()).samples]
    assert not [method for method in samples if method.startswith("MADEUP")]
    assert {message for _, message, _ in lines(caplog)} <= {"other /fine", "other unmatched"}
