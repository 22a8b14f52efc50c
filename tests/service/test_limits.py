"""What one user may start, exactly, however many requests come at once."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any
from uuid import uuid4

import pillow_heif
import psycopg
import pytest
from actors import (
    PATIENCE,
    Simulator,
    User,
    encoded,
    jpeg,
    objects_of,
    pay,
    until,
    upload,
    wait_out_midnight,
)
from flask import Flask
from PIL import Image
from werkzeug.test import TestResponse

from config import Config
from devstack.stack import Stack
from vton.app import create_app
from vton.wiring import Services

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
    app: Flask, user: User, garment_id: str, photo: bytes | None = None, **headers: str
) -> TestResponse:
    """Try to start a try-on, with a photo of its own unless there is a key."""
    photo = photo or (PHOTO if headers else jpeg(comment=uuid4().hex.encode()))
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
    database: Database,
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
    until(lambda: len(simulator.submits()) == 4)
    user.call("DELETE", f"/api/try-on/{started[0]}")
    assert post(app, user, garment_id).status_code == 429, "the provider still works on it"
    database.execute("update submits set abandoned_at = now() - interval '5 min'"
                     " where abandoned_at is not null and user_id = %s", [user.id])  # fmt: skip
    assert post(app, user, garment_id).status_code == 202


def test_a_days_try_ons_are_limited_and_deleting_does_not_refill(
    limited: Callable[..., Flask], user: User, garment_id: str, simulator: Simulator
) -> None:
    wait_out_midnight()
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


@dataclass
class SlowStorage:
    """The bucket; a photo is stored once `released` is set."""

    bucket: Any
    released: threading.Event

    def put(self, *arguments: Any, **options: Any) -> None:
        """Store an object, later."""
        self.released.wait(PATIENCE)
        self.bucket.put(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bucket, name)


def test_twenty_posts_with_one_key_make_one_session_and_one_paid_call(
    stack: Stack,
    services: Services,
    user: User,
    garment_id: str,
    simulator: Simulator,
    database: Database,
) -> None:
    storage = SlowStorage(services.starter.pictures, threading.Event())
    slow = replace(services, starter=replace(services.starter, pictures=storage))
    app = create_app(Config.from_env(stack.child_environ), slow)
    key, refused = {"Idempotency-Key": uuid4().hex}, []

    def start(_: int) -> TestResponse:
        answer = post(app, user, garment_id, **key)
        if answer.status_code in (409, 503):
            refused.append(answer)
        if len(refused) == 19:  # all but the one whose photo is being stored
            storage.released.set()
        return answer

    answers = at_once(20, start)
    later = at_once(20, lambda _: post(app, user, garment_id, **key))

    assert len(refused) == 19
    (first,) = (a for a in answers if a.status_code == 202)
    assert "Idempotency-Replayed" not in first.headers
    for answer in refused:
        # Three of one user's are looked at, and the rest wait for them.
        assert answer.get_json()["code"] in ("idempotency_in_progress", "unavailable")
        assert answer.headers["Retry-After"]
    for answer in later:
        assert (answer.status_code, answer.get_json()) == (202, first.get_json())
        assert answer.headers["Idempotency-Replayed"] == "true"
    assert user.wait(first.get_json()["data"]["sessionId"])["status"] == "success"
    assert len(simulator.submits()) == 1
    assert len(objects_of(database, user)) == 3


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


def another_garment(database: Database, garment_id: str) -> str:
    """A garment that is not this one."""
    row = database.execute("select id from garments where id <> %s", [garment_id]).fetchone()
    assert row is not None
    return str(row[0])


def test_a_key_belongs_to_one_request_and_one_user(
    limited: Callable[..., Flask],
    user: User,
    garment_id: str,
    sign_up: Callable[[], User],
    database: Database,
) -> None:
    app, key = limited(), {"Idempotency-Key": "the-same"}
    first = post(app, user, garment_id, **key)

    changed = post(app, user, garment_id, jpeg(500, 500), **key)
    dressed = post(app, user, another_garment(database, garment_id), **key)
    others = post(app, sign_up(), garment_id, **key)

    for refused in (changed, dressed):
        assert refused.status_code == 422
        assert refused.get_json()["code"] == "idempotency_mismatch"
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

    # The minute begins with the first of them.
    assert Counter(a.status_code for a in answers) == {200: 5, 429: 45}
    refused = next(a for a in answers if a.status_code == 429)
    assert refused.get_json()["code"] == "rate_limited"
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    assert refused.headers["RateLimit"].startswith('"minute";r=0;t=')
    session_id = user.start(garment_id)
    assert {looked(app, user, session_id) for _ in range(12)} == {200}


def test_looks_for_what_is_not_there_are_limited_for_each_user(
    limited: Callable[..., Flask], user: User, sign_up: Callable[[], User]
) -> None:
    app, other = limited(rate_limit=5), sign_up()

    for one in (user, other):
        assert [looked(app, one, str(uuid4())) for _ in range(12)] == [404] * 5 + [429] * 7
    history = app.test_client().get(
        "/api/try-on/history", headers={"Authorization": f"Bearer {user.token}"}
    )
    assert history.status_code == 200  # which is counted by itself


def looked(app: Flask, user: User, session_id: str) -> int:
    """The answer's status to one poll."""
    headers = {"Authorization": f"Bearer {user.token}"}
    return app.test_client().get(f"/api/try-on/{session_id}/status", headers=headers).status_code


def test_without_redis_the_rate_is_not_limited_and_money_is(
    stack: Stack, user: User, garment_id: str, database: Database
) -> None:
    pay(database)
    away = {
        **stack.child_environ,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "RATE_LIMIT": "1",
        "MAX_PAID_PER_DAY": "1",
    }
    app = create_app(Config.from_env(away))
    headers = {"Authorization": f"Bearer {user.token}"}

    history = [app.test_client().get("/api/try-on/history", headers=headers) for _ in range(3)]

    assert [answer.status_code for answer in history] == [200] * 3
    refused = post(app, user, garment_id)
    assert (refused.status_code, refused.get_json()["code"]) == (503, "paid_cap_reached")


def test_old_keys_are_forgotten_and_younger_ones_are_not(
    limited: Callable[..., Flask],
    user: User,
    garment_id: str,
    database: Database,
    services: Services,
) -> None:
    app = limited()
    for key in ("old", "young"):
        assert post(app, user, garment_id, **{"Idempotency-Key": key}).status_code == 202
    database.execute(
        "update idempotency_keys set created_at = created_at - case key"
        " when 'old' then interval '25 hours' else interval '23 hours' end where user_id = %s",
        [user.id],
    )

    services.sweep.delete_old_idempotency_keys()

    left = database.execute("select key from idempotency_keys where user_id = %s", [user.id])
    assert left.fetchall() == [("young",)]


def heic() -> bytes:
    """A photo as an iPhone stores it."""
    output = BytesIO()
    pillow_heif.from_pillow(Image.linear_gradient("L").resize((400, 600))).save(output)
    return output.getvalue()


SLOW_PHOTOS = {"PNG": encoded(Image.new("RGB", (400, 600)), "PNG"), "HEIC": heic()}


@pytest.mark.parametrize("name", SLOW_PHOTOS)
def test_the_same_user_may_send_a_slow_kind_of_photo_again(
    limited: Callable[..., Flask], user: User, garment_id: str, name: str
) -> None:
    """One after the other, on one process; also after one that was refused."""
    app, photo = limited(), SLOW_PHOTOS[name]

    answers = [post(app, user, garment_id, one) for one in (photo, photo, photo[:-90], photo)]

    assert [answer.status_code for answer in answers] == [202, 202, 422, 202]


def test_eight_taps_at_once_are_one_session_and_one_call(
    limited: Callable[..., Flask],
    user: User,
    garment_id: str,
    simulator: Simulator,
    database: Database,
) -> None:
    simulator.change(delay=1)
    app = limited(max_unfinished_per_user=1)

    def tap(number: int) -> TestResponse:
        key = {"Idempotency-Key": uuid4().hex} if number % 2 else {}
        return post(app, user, garment_id, PHOTO, **key)

    answers = at_once(8, tap)

    assert {answer.status_code for answer in answers} == {202}
    (session_id,) = {answer.get_json()["data"]["sessionId"] for answer in answers}
    assert user.wait(session_id)["status"] == "success"
    paid = database.execute("select session_id from submits where user_id = %s", [user.id])
    assert [str(one) for (one,) in paid] == [session_id]
    assert len(objects_of(database, user)) == 3
