"""Redis and Supabase away, hanging, cutting connections: nothing is lost or paid twice."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import psycopg
import pytest
import requests
from actors import Simulator, User, jpeg, objects_of, sweep, until, upload
from PIL import Image
from redis import Redis

from config import Config
from devstack.stack import Stack
from vton.app import create_app
from vton.wiring import Services

Database = psycopg.Connection[Any]
Spoil = Callable[..., None]


@pytest.fixture
def spoil(stack: Stack) -> Iterator[Spoil]:
    """Have Supabase misbehave; it behaves again afterwards."""
    panel = f"{stack.settings['SUPABASE_URL']}/_gateway"

    def change(**fault: Any) -> None:
        settings = {"fault": {"times": 1, **fault} if fault else None}
        response = requests.put(f"{panel}/settings", json=settings, timeout=5)
        assert response.ok, response.text

    yield change
    requests.post(f"{panel}/reset", timeout=5).raise_for_status()


def post(user: User, garment_id: str) -> requests.Response:
    """Try to start a try-on."""
    files = {"userImage": ("a.jpg", jpeg())}
    return user.call("POST", "/api/try-on", files=files, data={"garmentId": garment_id})


def sessions_of(database: Database, user: User) -> int:
    """How many rows a user has."""
    rows = database.execute("select 1 from try_on_history where user_id = %s", [user.id])
    return len(rows.fetchall())


def test_without_redis_what_is_there_is_served_and_nothing_new_is_taken(
    stack: Stack, user: User, garment_id: str, simulator: Simulator, database: Database
) -> None:
    done = user.start(garment_id)
    user.wait(done)
    simulator.change(delay=3)
    running = user.start(garment_id)
    until(lambda: len(simulator.submits()) == 2)
    stack.end_process("valkey", signal.SIGKILL)
    try:
        refused = post(user, garment_id)
        assert refused.status_code == 503
        assert refused.json()["code"] == "unavailable"
        assert refused.headers["Retry-After"]
        assert sessions_of(database, user) == 2
        assert user.status(done)["resultImageUrl"]
        assert len(user.call("GET", "/api/try-on/history").json()["data"]) == 1
        assert user.call("GET", "/health/ready").status_code == 503
    finally:
        stack.start_again("valkey")

    assert user.wait(running)["status"] == "success"
    assert len(simulator.submits()) == 2
    assert user.wait(user.start(garment_id))["status"] == "success"


@pytest.mark.parametrize(
    ("paths", "after_work"),
    [
        ("rpc/create_session", False),
        ("rpc/create_session", True),
        ("object/vton-assets/user-uploads", False),
        ("object/vton-assets/user-uploads", True),
    ],
)
@pytest.mark.parametrize("kind", ["http", "cut"])
def test_a_try_on_that_could_not_be_taken_leaves_nothing(
    user: User,
    garment_id: str,
    simulator: Simulator,
    spoil: Spoil,
    database: Database,
    paths: str,
    after_work: bool,
    kind: str,
) -> None:
    spoil(kind=kind, paths=paths, methods=["POST"], after_work=after_work)

    response = post(user, garment_id)

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert sessions_of(database, user) == 0
    assert objects_of(database, user) == []
    assert simulator.submits() == []


def test_what_could_not_be_undone_is_undone_later_and_never_run(
    user: User,
    garment_id: str,
    simulator: Simulator,
    spoil: Spoil,
    database: Database,
    redis: Redis,
    services: Services,
) -> None:
    spoil(kind="http", paths="/u", methods=["POST"], times=2)  # user-uploads and undo_session
    assert post(user, garment_id).status_code == 503
    assert sessions_of(database, user) == 1
    database.execute(
        "update try_on_history set created_at = created_at - interval '1 min' where user_id = %s",
        [user.id],
    )

    sweep(services, redis)

    assert sessions_of(database, user) == 0
    assert simulator.submits() == []


STEPS = {
    "the start": {"methods": ["PATCH"], "paths": "try_on_history"},
    "the claim to submit": {"paths": "rpc/claim_submit"},
    "the outcome": {"paths": "rpc/record_outcome"},
    "the photo": {"methods": ["GET"], "services": ["storage"]},
    "the result": {"methods": ["POST"], "paths": "try-on-results"},
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("kind", "after_work"),
    [pytest.param("http", False, marks=pytest.mark.thorough), ("cut", True)],
)
def test_a_run_outlasts_supabase(
    user: User,
    garment_id: str,
    simulator: Simulator,
    spoil: Spoil,
    database: Database,
    step: str,
    after_work: bool,
    kind: str,
) -> None:
    spoil(kind=kind, seconds=0.2, after_work=after_work, **STEPS[step])

    status = user.wait(user.start(garment_id))

    assert status["status"] == "success", status
    assert len(simulator.submits()) == 1
    assert len(objects_of(database, user)) == 3


ODD_ANSWERS: dict[str, dict[str, Any]] = {
    "read-only": {"status": 405, "body": {"code": "25006", "message": "a standby"}},
    "a deadlock": {"status": 500, "body": {"code": "40P01", "message": "deadlock detected"}},
    "a stale schema": {"status": 404, "body": {"code": "PGRST202", "message": "Could not find"}},
    "a pooler's": {"status": 400, "body": {"code": "26000", "message": "no prepared statement"}},
    "a page": {"status": 200, "body": None},
}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("step", "odd"),
    [
        (step, list(ODD_ANSWERS)[(number + other) % len(ODD_ANSWERS)])
        for number, step in enumerate([*STEPS, "the end"])
        for other in (0, 3)
    ],
)
def test_a_run_outlasts_whatever_supabase_says(
    user: User, garment_id: str, simulator: Simulator, spoil: Spoil, step: str, odd: str
) -> None:
    if step == "the end":
        simulator.change(delay=2)
        session_id = user.start(garment_id)
        until(simulator.submits)
        spoil(kind="http", methods=["PATCH"], paths="try_on_history", **ODD_ANSWERS[odd])
    else:
        spoil(kind="http", **STEPS[step], **ODD_ANSWERS[odd])
        session_id = user.start(garment_id)

    status = user.wait(session_id)

    assert status["status"] == "success", status
    assert len(simulator.submits()) == 1


@pytest.mark.parametrize("paths", ["rpc/create_session", "object/vton-assets/user-uploads"])
@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_whatever_supabase_says_a_try_on_is_not_taken_rather_than_broken(
    user: User, garment_id: str, spoil: Spoil, database: Database, paths: str, odd: str
) -> None:
    spoil(kind="http", paths=paths, methods=["POST"], **ODD_ANSWERS[odd])

    response = post(user, garment_id)

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert sessions_of(database, user) == 0
    assert objects_of(database, user) == []


@pytest.mark.thorough
def test_a_request_never_outlives_the_routers_patience(
    stack: Stack, user: User, garment_id: str, spoil: Spoil, database: Database
) -> None:
    """Every call of Supabase is slow, and the photo's is never answered."""
    panel = f"{stack.settings['SUPABASE_URL']}/_gateway/settings"
    assert user.call("GET", "/api/try-on/history").ok  # the login's keys are known by now
    spoil(kind="hang", seconds=40, paths="object/vton-assets/user-uploads", methods=["POST"])
    requests.put(panel, json={"latency": 9.5}, timeout=5).raise_for_status()
    began = time.monotonic()

    response = post(user, garment_id)

    assert time.monotonic() - began < 30
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    spoil()
    requests.put(panel, json={"latency": 0}, timeout=5).raise_for_status()
    until(lambda: sessions_of(database, user) == 0)


def test_an_error_task_is_submitted_again_though_the_answer_was_lost(
    user: User, garment_id: str, simulator: Simulator, spoil: Spoil
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": "error"}])
    spoil(kind="cut", paths="rpc/allow_one_resubmit", after_work=True)

    assert user.wait(user.start(garment_id))["status"] == "success"
    assert len(simulator.submits()) == 2


@pytest.mark.parametrize("function", ["claim_submit", "record_outcome"])
@pytest.mark.parametrize("after_work", [pytest.param(False, marks=pytest.mark.thorough), True])
def test_a_page_in_place_of_an_answer_is_not_believed(
    user: User,
    garment_id: str,
    simulator: Simulator,
    spoil: Spoil,
    database: Database,
    function: str,
    after_work: bool,
) -> None:
    spoil(kind="http", status=200, paths=f"rpc/{function}", after_work=after_work)
    session_id = user.start(garment_id)

    assert user.wait(session_id)["status"] == "success"
    ledger = database.execute("select outcome from submits where session_id = %s", [session_id])
    assert ledger.fetchall() == [("accepted",)]


@pytest.mark.parametrize("status", ["400", "404", "413"])
def test_a_storage_that_refuses_photos_leaves_nothing(
    user: User, garment_id: str, spoil: Spoil, database: Database, status: str
) -> None:
    body = {"statusCode": status, "error": "Refused", "message": "Bucket not found"}
    spoil(kind="http", status=400, body=body, paths="user-uploads", methods=["POST"])

    response = post(user, garment_id)

    assert response.status_code == 503
    assert sessions_of(database, user) == 0


def test_a_result_that_was_paid_for_is_kept_until_it_can_be_stored(
    user: User, garment_id: str, simulator: Simulator, spoil: Spoil
) -> None:
    wanted = picture_of(user.wait(user.start(garment_id)))
    before = simulator.stats()["downloads"]
    spoil(kind="http", paths="try-on-results", methods=["POST"], times=2)

    status = user.wait(user.start(garment_id))

    assert status["status"] == "success"
    assert simulator.stats()["downloads"] - before == 1
    kept = picture_of(status)
    assert (kept.format, kept.size) == ("PNG", (400, 600))
    assert kept.tobytes() == wanted.tobytes()  # the same photo and garment, without the fault
    assert len(set(kept.convert("L").tobytes())) > 10  # it is not blank


def picture_of(status: dict[str, Any]) -> Image.Image:
    """The picture that a status leads to, decoded."""
    picture = Image.open(BytesIO(requests.get(status["resultImageUrl"], timeout=10).content))
    picture.load()
    return picture


def test_a_delete_while_the_result_is_stored_leaves_nothing(
    user: User, garment_id: str, simulator: Simulator, spoil: Spoil, database: Database
) -> None:
    spoil(kind="hang", seconds=1.5, paths="try-on-results", methods=["POST"], after_work=True)
    session_id = user.start(garment_id)
    until(lambda: len(objects_of(database, user)) == 2)

    assert user.call("DELETE", f"/api/try-on/{session_id}").status_code == 200

    until(lambda: objects_of(database, user) == [])
    simulator.reset()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/try-on/8a6e0804-2bd0-4672-b79d-d97027f9071a/status"),
        ("GET", "/api/try-on/history"),
        ("DELETE", "/api/try-on/8a6e0804-2bd0-4672-b79d-d97027f9071a"),
        ("GET", "/api/garments"),
    ],
)
def test_without_supabase_every_route_says_so(
    user: User, spoil: Spoil, method: str, path: str
) -> None:
    spoil(kind="http", services=["rest"], times=None)  # the sweep asks, too

    response = user.call(method, path)

    assert response.status_code == 503
    assert response.json()["code"] == "unavailable"
    assert response.headers["Retry-After"] == "5"


@pytest.mark.parametrize("key", ["sb_secret_of_another_project", "the publishable key"])
def test_a_wrong_service_key_is_an_outage_and_an_alarm(
    stack: Stack, user: User, garment_id: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    if key == "the publishable key":
        key = stack.settings["SUPABASE_PUBLISHABLE_KEY"]
    settings = {**stack.child_environ, "SUPABASE_SERVICE_ROLE_KEY": key}
    app = create_app(Config.from_env(settings))
    logging.getLogger().addHandler(caplog.handler)

    response = app.test_client().post(
        "/api/try-on",
        data=upload(jpeg(), garment_id),
        headers={"Authorization": f"Bearer {user.token}"},
    )

    assert response.status_code == 503
    assert response.get_json()["code"] == "unavailable"
    assert "ALARM Supabase refuses SUPABASE_SERVICE_ROLE_KEY" in caplog.text
    assert key not in caplog.text


def test_without_its_bucket_the_service_is_not_ready(stack: Stack) -> None:
    app = create_app(Config.from_env({**stack.child_environ, "STORAGE_BUCKET": "not-there"}))

    assert app.test_client().get("/health/ready").status_code == 503
