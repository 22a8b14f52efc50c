"""The provider in its moods: what becomes of the session, and how often it was paid for."""

from io import BytesIO
from typing import Any

import psycopg
import pytest
import requests
from actors import Simulator, User, until
from PIL import Image

from devstack.stack import Stack


def accepted(simulator: Simulator) -> int:
    """How many submits the provider took, and will be paid for."""
    return sum(1 for submit in simulator.submits() if submit["accepted"])


def test_the_legacy_contract_is_understood(
    user: User, garment_id: str, simulator: Simulator, database: psycopg.Connection[Any]
) -> None:
    simulator.change(contract="legacy")
    session_id = user.start(garment_id)

    status = user.wait(session_id)

    assert status["status"] == "success", status
    row = database.execute(
        "select task_id, status_url from provider_tasks where session_id = %s",
        [session_id],
    ).fetchone()
    assert row is not None
    task_id, status_url = row
    assert task_id.isdigit()  # Kling's task id, and not the envelope's trace id
    assert task_id != simulator.submits()[0]["request_id"]
    assert status_url is None


def test_a_jpeg_result_is_stored_as_png(user: User, garment_id: str, simulator: Simulator) -> None:
    simulator.change(result_format="jpeg")

    status = user.wait(user.start(garment_id))

    picture = requests.get(status["resultImageUrl"], timeout=10)
    result = Image.open(BytesIO(picture.content))
    result.load()
    assert (result.format, result.size) == ("PNG", (400, 600))
    assert b"compositeWithTrainedAlgorithmicMedia" in result.info["xmp"]


@pytest.mark.parametrize("contract", ["v2", "legacy"])
@pytest.mark.parametrize("name", ["cloth_image", "image_tail"])
def test_a_gateway_that_knows_either_name_of_the_garments_field_is_served_at_once(
    user: User, garment_id: str, simulator: Simulator, contract: str, name: str
) -> None:
    simulator.change(garment_field=name, contract=contract)

    status = user.wait(user.start(garment_id))

    assert status["status"] == "success", status
    assert [(s["accepted"], s["field"]) for s in simulator.submits()] == [(True, name)]


FAULTS: dict[str, tuple[dict[str, Any], str, int]] = {
    # what goes wrong: the session's end, and how many submits were accepted
    "503 before acceptance": ({"at": "submit", "kind": "http", "status": 503}, "success", 1),
    "a rate limit": (
        {"at": "submit", "kind": "http", "status": 429, "headers": {"Retry-After": "1"}},
        "success",
        1,
    ),
    "an HTML challenge on the status": (
        {"at": "status", "kind": "http", "status": 403, "body": "<title>Just a moment</title>"},
        "success",
        1,
    ),
    "500 on the status": ({"at": "status", "kind": "http", "status": 500}, "success", 1),
    "a cut status": ({"at": "status", "kind": "cut"}, "success", 1),
    "an unknown status word": ({"at": "status", "kind": "word"}, "success", 1),
    "500 on the result": ({"at": "result", "kind": "http", "status": 500}, "success", 1),
    "a cut result": ({"at": "result", "kind": "cut"}, "success", 1),
    "a cut submit that was accepted": ({"at": "submit", "kind": "cut"}, "provider_uncertain", 1),
    "500 to an accepted submit": (
        {"at": "submit", "kind": "http", "status": 500, "accept": True},
        "provider_uncertain",
        1,
    ),
    "502 to an accepted submit": (
        {"at": "submit", "kind": "http", "status": 502, "accept": True},
        "provider_uncertain",
        1,
    ),
    "a wrong key": ({"at": "submit", "kind": "http", "status": 401}, "provider_unavailable", 0),
    "an HTML challenge on the submit": (
        {"at": "submit", "kind": "http", "status": 403, "body": "<title>Just a moment</title>"},
        "success",
        1,
    ),
    "a model that is not there": (
        {"at": "submit", "kind": "http", "status": 400, "body": {"error": "Model not found"}},
        "provider_unavailable",
        0,
    ),
    "an address that is not allowed, as 429": (
        {"at": "submit", "kind": "http", "status": 429, "body": {"code": 1304, "message": "m"}},
        "provider_unavailable",
        0,
    ),
    "504 to an accepted submit": (
        {"at": "submit", "kind": "http", "status": 504, "accept": True},
        "provider_uncertain",
        1,
    ),
    "a rate limit on the status": (
        {"at": "status", "kind": "http", "status": 429, "headers": {"Retry-After": "1"}},
        "success",
        1,
    ),
    "a task that is not known yet": ({"at": "status", "kind": "http", "status": 404}, "success", 1),
    "a paid 500 that speaks of a model": (
        {
            "at": "submit",
            "kind": "http",
            "status": 500,
            "accept": True,
            "body": {"error": "Model inference failed", "code": 1101},
        },
        "provider_uncertain",
        1,
    ),
    "a photo the model finds nobody in": (
        {
            "at": "submit",
            "kind": "http",
            "status": 400,
            "body": {"error": "Model could not find a person in human_image"},
        },
        "photo_rejected",
        0,
    ),
    "a result that is long away": (
        {"at": "result", "kind": "http", "status": 503, "times": 3},
        "success",
        1,
    ),
    "a picture its policy refuses": (
        {"at": "submit", "kind": "http", "status": 400, "body": {"code": 1301, "message": "m"}},
        "photo_rejected",
        0,
    ),
    "a picture its policy finds later": (
        {"at": "submit", "kind": "failed", "message": "Failure to pass the risk control system"},
        "photo_rejected",
        1,
    ),
    **{
        f"a task id that is none: {name}": (
            {"at": "submit", "kind": "http", "status": 200, "body": {"request_id": task_id}},
            "provider_uncertain",
            0,
        )
        for name, task_id in {
            "lines": "abc\nworker | ERROR forged",
            "NUL": "abc\0d",
            "half a character": "\ud800",
            "endless": "a" * 100_000,
            "a path": "../../../ctl?x=1#",
            "a list": ["a"],
        }.items()
    },
    "a code that is no number": (
        {"at": "status", "kind": "http", "status": 500, "body": {"code": "²", "message": "m"}},
        "success",
        1,
    ),
    "a result that is text": (
        {
            "at": "status",
            "kind": "http",
            "status": 200,
            "body": {"data": {"task_status": "succeed", "task_result": "https://x.example/"}},
        },
        "success",  # it names no task, and is asked for again
        1,
    ),
    "a failed task": ({"at": "submit", "kind": "failed"}, "provider_failed", 1),
    "an ERROR task, not charged": ({"at": "submit", "kind": "error"}, "success", 2),
    "ERROR twice": ({"at": "submit", "kind": "error", "times": 3}, "provider_failed", 2),
    "success without a picture": ({"at": "submit", "kind": "no_result"}, "result_unusable", 1),
    "a result that is no picture": ({"at": "result", "kind": "not_image"}, "result_unusable", 1),
    "half a result": ({"at": "result", "kind": "truncated"}, "result_unusable", 1),
    "100 MB": ({"at": "result", "kind": "huge"}, "result_unusable", 1),
    "a redirect to an address that is not listed": (
        {"at": "result", "kind": "redirect", "to": "http://127.0.0.2:1/"},
        "result_unusable",
        1,
    ),
    "redirects without end": (
        {"at": "result", "kind": "redirect", "times": None},
        "result_unusable",
        1,
    ),
}


ONE_OF_A_KIND = {
    "503 before acceptance",
    "a cut status",
    "a cut result",
    "a cut submit that was accepted",
    "a wrong key",
    "an HTML challenge on the submit",
    "a photo the model finds nobody in",
    "a task id that is none: half a character",
    "an ERROR task, not charged",
    "half a result",
    "100 MB",
    "a redirect to an address that is not listed",
}
"""Tried by `make test`; tests/rules/test_provider_faults.py has every row."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ONE_OF_A_KIND else pytest.mark.thorough)
        for name in FAULTS
    ],
)
def test_each_fault_has_its_outcome_and_is_paid_at_most_once(
    name: str, user: User, garment_id: str, simulator: Simulator
) -> None:
    fault, outcome, paid = FAULTS[name]
    simulator.change(faults=[fault])

    status = user.wait(user.start(garment_id))

    seen = status["error"]["code"] if status["status"] == "failed" else status["status"]
    assert seen == outcome
    assert accepted(simulator) == paid


@pytest.mark.parametrize(
    ("fault", "kind"), [("unchanged", "photo"), ("blank", "blank")], ids=["photo", "blank"]
)
def test_a_result_that_shows_nothing_new_is_an_alarm(
    fault: str,
    kind: str,
    stack: Stack,
    user: User,
    garment_id: str,
    simulator: Simulator,
    database: psycopg.Connection[Any],
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": fault, "times": None}])

    def alarmed() -> bool:
        """One is looked at every other second: a new try-on may be the one."""
        session_id = user.start(garment_id)
        assert user.wait(session_id)["status"] == "success"
        row = database.execute(
            "select result_kind from submits where session_id = %s", [session_id]
        ).fetchone()
        said = any(f"session={session_id} ALARM" in line for line in stack.output("worker"))
        assert row in ((None,), (kind,))
        return row == (kind,) and said

    until(alarmed)


def test_the_providers_own_words_reach_nobody(
    user: User, garment_id: str, simulator: Simulator
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": "failed", "message": "<b>secret</b>"}])
    session_id = user.start(garment_id)
    user.wait(session_id)

    seen = user.call("GET", f"/api/try-on/{session_id}/status").text

    assert "secret" not in seen
    assert "The try-on did not work out." in seen


def test_a_photo_that_went_missing_ends_the_session_unpaid(
    stack: Stack,
    user: User,
    garment_id: str,
    simulator: Simulator,
    database: psycopg.Connection[Any],
) -> None:
    picture = "garments/never-there.png"
    row = database.execute(
        "insert into garments (name, image_url) values ('Ghost', %s) returning id", [picture]
    ).fetchone()
    assert row is not None

    status = user.wait(user.start(str(row[0])))

    database.execute("delete from garments where image_url = %s", [picture])
    assert status["error"]["code"] == "garment_missing"
    assert simulator.submits() == []
