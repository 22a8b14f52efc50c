"""What one user may start, exactly, however many requests come at once."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from actors import Simulator, User, jpeg, objects_of, until, upload
from flask import Flask
from redis import Redis
from werkzeug.test import TestResponse

from config import Config
from devstack.stack import Stack
from vton.app import create_app

Database = psycopg.Connection[Any]
PHOTO = jpeg()


@pytest.fixture
def limited(stack: Stack) -> Callable[..., Flask]:
    """Make the service with limits of its own, on the stack's parts."""

    def make(**limits: int) -> Flask:
        settings = {name.upper(): str(value) for name, value in limits.items()}
        return create_app(Config.from_env({**stack.child_environ, **settings}))

    return make


def post(
    app: Flask, user: User, garment_id: str, photo: bytes = PHOTO, **headers: str
) -> TestResponse:
    """Try to start a try-on."""
    return app.test_client().post(
        "/api/try-on",
        data=upload(photo, garment_id),
        headers={"Authorization": f"Bearer {user.token}", **headers},
    )


def at_once(count: int, call: Callable[[int], TestResponse]) -> list[TestResponse]:
    """Make calls in parallel."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(call, range(count)))


def test_unfinished_try_ons_of_a_user_are_limited_exactly(
    limited: Callable[..., Flask],
    user: User,
    garment_id: str,
    simulator: Simulator,
    sign_up: Callable[[], User],
) -> None:
    simulator.change(delay=60)
    app = limited(max_unfinished_per_user=3)

    answers = at_once(50, lambda _: post(app, user, garment_id))

    assert Counter(a.status_code for a in answers) == {202: 3, 429: 47}
    refused = next(a for a in answers if a.status_code == 429)
    assert refused.get_json()["code"] == "too_many_unfinished"
    assert refused.headers["Retry-After"] == "5"
    assert refused.headers["RateLimit"] == '"unfinished";r=0;t=5'
    other = sign_up()
    assert post(app, other, garment_id).status_code == 202
    started = [a.get_json()["data"]["sessionId"] for a in answers if a.status_code == 202]
    user.call("DELETE", f"/api/try-on/{started[0]}")
    assert post(app, user, garment_id).status_code == 202


def test_a_days_try_ons_are_limited_and_deleting_does_not_refill(
    limited: Callable[..., Flask], user: User, garment_id: str, simulator: Simulator
) -> None:
    app = limited(max_per_day_per_user=2)
    for _ in range(2):
        session_id = post(app, user, garment_id).get_json()["data"]["sessionId"]
        user.wait(session_id)
        user.call("DELETE", f"/api/try-on/{session_id}")

    refused = post(app, user, garment_id)

    assert refused.status_code == 429
    assert refused.get_json()["code"] == "daily_quota"
    assert 0 < int(refused.headers["Retry-After"]) <= 86_401
    assert refused.headers["RateLimit"].startswith('"daily";r=0;t=')


def test_a_try_on_that_cost_nothing_is_not_counted(
    limited: Callable[..., Flask], user: User, garment_id: str, simulator: Simulator
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": "http", "status": 401}])
    app = limited(max_per_day_per_user=1)
    session_id = post(app, user, garment_id).get_json()["data"]["sessionId"]
    assert user.wait(session_id)["status"] == "failed"

    assert post(app, user, garment_id).status_code == 202


def test_a_full_waiting_room_says_busy(
    limited: Callable[..., Flask], user: User, garment_id: str, database: Database
) -> None:
    database.execute(
        "insert into try_on_history (user_id, original_user_image_url)"
        " select %(id)s::uuid, 'user-uploads/' || %(id)s::text || '/' || n || '_original.jpg'"
        " from generate_series(1, 3) n",
        {"id": user.id},
    )

    refused = post(limited(max_waiting=3), user, garment_id)

    database.execute("delete from try_on_history where user_id = %s", [user.id])
    assert refused.status_code == 503
    assert refused.get_json()["code"] == "busy"
    assert refused.headers["Retry-After"] == "10"


def test_twenty_posts_with_one_key_make_one_session_and_one_paid_call(
    limited: Callable[..., Flask],
    user: User,
    garment_id: str,
    simulator: Simulator,
    database: Database,
) -> None:
    app, key = limited(), uuid4().hex

    answers = at_once(20, lambda _: post(app, user, garment_id, **{"Idempotency-Key": key}))

    counted = Counter(a.status_code for a in answers)
    assert set(counted) <= {202, 409}
    started = {a.get_json()["data"]["sessionId"] for a in answers if a.status_code == 202}
    assert len(started) == 1
    fresh = [a for a in answers if a.status_code == 202 and "Idempotency-Replayed" not in a.headers]
    assert len(fresh) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.get_json()["code"] == "idempotency_in_progress"
            assert answer.headers["Retry-After"] == "1"
    assert user.wait(started.pop())["status"] == "success"
    assert len(simulator.submits()) == 1
    assert len(objects_of(database, user)) == 2


def test_a_repeated_post_gets_the_same_answer_also_after_its_end_and_its_delete(
    limited: Callable[..., Flask], user: User, garment_id: str, simulator: Simulator
) -> None:
    app, key = limited(max_per_day_per_user=1), {"Idempotency-Key": uuid4().hex}
    first = post(app, user, garment_id, **key)
    user.wait(first.get_json()["data"]["sessionId"])

    again = post(app, user, garment_id, **key)
    user.call("DELETE", f"/api/try-on/{first.get_json()['data']['sessionId']}")
    after_delete = post(app, user, garment_id, **key)

    assert "Idempotency-Replayed" not in first.headers
    for replay in (again, after_delete):
        assert replay.status_code == 202
        assert replay.get_json() == first.get_json()
        assert replay.headers["Idempotency-Replayed"] == "true"
    assert len(simulator.submits()) == 1


def test_a_key_belongs_to_one_request_and_one_user(
    limited: Callable[..., Flask], user: User, garment_id: str, sign_up: Callable[[], User]
) -> None:
    app, key = limited(), {"Idempotency-Key": "the-same"}
    first = post(app, user, garment_id, **key)

    changed = post(app, user, garment_id, jpeg(500, 500), **key)
    others = post(app, sign_up(), garment_id, **key)

    assert changed.status_code == 422
    assert changed.get_json()["code"] == "idempotency_mismatch"
    assert others.status_code == 202
    assert others.get_json()["data"]["sessionId"] != first.get_json()["data"]["sessionId"]


def test_a_key_is_free_again_after_a_refusal_and_after_a_day(
    limited: Callable[..., Flask],
    user: User,
    garment_id: str,
    database: Database,
) -> None:
    app, key = limited(), {"Idempotency-Key": uuid4().hex}
    assert post(app, user, str(uuid4()), **key).status_code == 422

    first = post(app, user, garment_id, **key)
    database.execute(
        "update idempotency_keys set created_at = created_at - interval '25 hours'"
        " where user_id = %s",
        [user.id],
    )
    next_day = post(app, user, garment_id, **key)

    assert first.status_code == next_day.status_code == 202
    assert first.get_json() != next_day.get_json()


@pytest.mark.parametrize("key", ["", "a b", "a,b", "ä", "x" * 201])
def test_an_unusable_key_is_refused(
    limited: Callable[..., Flask], user: User, garment_id: str, key: str
) -> None:
    response = post(limited(), user, garment_id, **{"Idempotency-Key": key})

    assert response.status_code == 400
    assert response.get_json()["code"] == "idempotency_key_invalid"


def test_requests_a_minute_are_limited_and_polls_are_not(
    limited: Callable[..., Flask],
    user: User,
    garment_id: str,
    simulator: Simulator,
) -> None:
    app = limited(rate_limit=5)
    headers = {"Authorization": f"Bearer {user.token}"}

    answers = at_once(50, lambda _: app.test_client().get("/api/try-on/history", headers=headers))

    # The minute may turn while they come.
    assert Counter(a.status_code for a in answers)[200] in (5, 10)
    refused = next(a for a in answers if a.status_code == 429)
    assert refused.get_json()["code"] == "rate_limited"
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    assert refused.headers["RateLimit"].startswith('"minute";r=0;t=')
    session_id = user.start(garment_id)
    assert {looked(app, user, session_id) for _ in range(12)} == {200}


def test_looks_for_what_is_not_there_are_limited(limited: Callable[..., Flask], user: User) -> None:
    app = limited(rate_limit=5)

    seen = Counter(looked(app, user, str(uuid4())) for _ in range(30))

    assert seen[404] in (5, 10)  # the minute may turn
    assert seen[429] == 30 - seen[404]


def looked(app: Flask, user: User, session_id: str) -> int:
    """The answer's status to one poll."""
    headers = {"Authorization": f"Bearer {user.token}"}
    return app.test_client().get(f"/api/try-on/{session_id}/status", headers=headers).status_code


def test_without_redis_the_rate_is_not_limited_and_money_is(
    stack: Stack, user: User, garment_id: str, database: Database
) -> None:
    paid = database.execute("select paid_today()").fetchone()
    assert paid is not None
    away = {
        **stack.child_environ,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "RATE_LIMIT": "1",
        "MAX_PAID_PER_DAY": str(max(1, paid[0])),
    }
    app = create_app(Config.from_env(away))
    headers = {"Authorization": f"Bearer {user.token}"}

    history = [app.test_client().get("/api/try-on/history", headers=headers) for _ in range(3)]

    assert [answer.status_code for answer in history] == [200] * 3
    if paid[0]:
        assert post(app, user, garment_id).get_json()["code"] == "paid_cap_reached"


def test_old_keys_are_forgotten(
    limited: Callable[..., Flask],
    user: User,
    garment_id: str,
    database: Database,
    services: Any,
    redis: Redis,
) -> None:
    post(limited(), user, garment_id, **{"Idempotency-Key": "old"})
    database.execute(
        "update idempotency_keys set created_at = created_at - interval '25 hours'"
        " where user_id = %s",
        [user.id],
    )

    services.sweep.delete_old_idempotency_keys()

    until(
        lambda: (
            not database.execute(
                "select 1 from idempotency_keys where user_id = %s", [user.id]
            ).fetchall()
        )
    )
