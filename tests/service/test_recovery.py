"""Nothing lost, nothing paid twice, whatever dies. Time is moved by hand where it would be long."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import requests
from actors import Simulator, User, jpeg, objects_of, sweep, until
from redis import Redis

from config import Config
from devstack.stack import Stack
from vton.adapters.redis.queue import GENERATION_KEY, LEADER_KEY, NEW_GENERATION_KEY
from vton.wiring import Services, connect

Database = psycopg.Connection[Any]


@contextmanager
def killed_worker(stack: Stack, redis: Redis) -> Iterator[None]:
    """`kill -9` the worker; in the end there is a new one, half a minute later."""
    stack.end_process("worker", signal.SIGKILL)
    try:
        yield
    finally:
        for key in redis.scan_iter("vton:alive:*"):
            redis.delete(key)
        redis.delete(LEADER_KEY, NEW_GENERATION_KEY)
        stack.start_process("worker")


def older(database: Database, session_id: str, seconds: int = 60) -> None:
    """Let time pass for a session and its submits."""
    for table, column, key in (
        ("try_on_history", "created_at", "id"),
        ("submits", "at", "session_id"),
    ):
        database.execute(
            f"update {table} set {column} = {column} - make_interval(secs => %s) where {key} = %s",
            [seconds, session_id],
        )


def accepted(simulator: Simulator) -> int:
    """How many submits the provider accepted."""
    return sum(entry["accepted"] for entry in simulator.submits())


def test_killed_while_waiting_goes_on_from_the_task(
    stack: Stack,
    user: User,
    garment_id: str,
    simulator: Simulator,
    redis: Redis,
    database: Database,
) -> None:
    simulator.change(delay=2)
    started = [user.start(garment_id) for _ in range(3)]
    until(lambda: len(simulator.submits()) == 3)
    until(lambda: tasks(database, started) == 3)

    with killed_worker(stack, redis):
        pass

    assert {user.wait(session_id)["status"] for session_id in started} == {"success"}
    assert accepted(simulator) == 3


def test_killed_between_the_paid_call_and_its_answer_is_never_repeated(
    stack: Stack,
    user: User,
    garment_id: str,
    simulator: Simulator,
    redis: Redis,
    database: Database,
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": "slow", "seconds": 4}])
    session_id = user.start(garment_id)
    until(lambda: simulator.submits())

    with killed_worker(stack, redis):
        older(database, session_id)

    status = user.wait(session_id)
    assert status["error"]["code"] == "provider_uncertain"
    assert len(simulator.submits()) == 1


def test_killed_in_the_download_fetches_again(
    stack: Stack,
    user: User,
    garment_id: str,
    simulator: Simulator,
    redis: Redis,
    database: Database,
) -> None:
    simulator.change(faults=[{"at": "result", "kind": "slow", "seconds": 4}])
    session_id = user.start(garment_id)
    until(lambda: simulator.stats()["downloads"] >= 1)

    with killed_worker(stack, redis):
        pass

    assert user.wait(session_id)["status"] == "success"
    assert len(simulator.submits()) == 1
    assert len(objects_of(database, user)) == 3


def test_killed_after_taking_the_job_takes_it_again(
    stack: Stack,
    user: User,
    garment_id: str,
    simulator: Simulator,
    redis: Redis,
    database: Database,
) -> None:
    with killed_worker(stack, redis):
        session_id = user.start(garment_id)
        # What a worker leaves that dies between taking the job and starting it.
        redis.lmove("rq:queue:try-on", "rq:queue:try-on:intermediate", "LEFT", "RIGHT")
        older(database, session_id, 25)

    assert user.wait(session_id)["status"] == "success"
    assert len(simulator.submits()) == 1
    assert redis.llen("rq:queue:try-on:intermediate") == 0


def test_two_runs_of_one_session_are_harmless(
    user: User, garment_id: str, simulator: Simulator, services: Services, database: Database
) -> None:
    simulator.change(delay=1)
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")
    second = threading.Thread(target=services.runner.run, args=(session_id,))
    second.start()

    status = user.wait(session_id)
    second.join(20)

    assert status["status"] == "success"
    assert len(simulator.submits()) == 1
    assert len(objects_of(database, user)) == 3


def test_a_queue_that_was_emptied_is_filled_again(
    stack: Stack,
    user: User,
    garment_id: str,
    simulator: Simulator,
    redis: Redis,
    database: Database,
) -> None:
    with killed_worker(stack, redis):
        sessions = [user.start(garment_id) for _ in range(2)]
        redis.flushall()
        for session_id in sessions:
            older(database, session_id, 25)
        redis.set(GENERATION_KEY, "the pass that found Redis empty is over")

    assert {user.wait(session_id)["status"] for session_id in sessions} == {"success"}
    assert len(simulator.submits()) == 2


def test_redis_emptied_under_a_running_try_on_changes_nothing(
    user: User, garment_id: str, simulator: Simulator, redis: Redis
) -> None:
    simulator.change(delay=1.5)
    session_id = user.start(garment_id)
    until(lambda: simulator.submits())

    redis.flushall()

    assert user.wait(session_id)["status"] == "success"
    assert len(simulator.submits()) == 1
    assert user.wait(user.start(garment_id))["status"] == "success"


def test_the_sweep_fails_what_is_past_its_deadline(
    user: User,
    garment_id: str,
    simulator: Simulator,
    services: Services,
    redis: Redis,
    database: Database,
) -> None:
    simulator.change(delay=600)
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")
    older(database, session_id, 601)

    sweep(services, redis)

    assert user.status(session_id)["error"]["code"] == "deadline_exceeded"


def test_a_session_past_its_deadline_is_not_paid_for(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    stack.end_process("worker", signal.SIGTERM)
    try:
        session_id = user.start(garment_id)
        impatient = Config.from_env({**stack.child_environ, "SESSION_DEADLINE": "0.01"})
        connect(impatient).runner.run(session_id)
    finally:
        stack.start_process("worker")

    assert user.status(session_id)["error"]["code"] == "deadline_exceeded"
    assert simulator.submits() == []


def test_a_task_that_never_ends_is_failed_by_its_run(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": "never"}])
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")
    impatient = Config.from_env({**stack.child_environ, "SESSION_DEADLINE": "1"})

    connect(impatient).runner.run(session_id)

    assert user.status(session_id)["error"]["code"] == "deadline_exceeded"


def test_what_the_queue_has_left_of_ended_sessions_gets_an_end(
    user: User, garment_id: str, simulator: Simulator, services: Services, redis: Redis
) -> None:
    simulator.change(delay=60)
    running = user.start(garment_id)
    user.wait(running, "processing")
    redis.hset("rq:job:8a6e0804-2bd0-4672-b79d-d97027f9071a", "meta", "left by a fault")

    sweep(services, redis)

    assert 0 < redis.ttl("rq:job:8a6e0804-2bd0-4672-b79d-d97027f9071a") <= 600
    assert redis.ttl(f"rq:job:{running}") == -1


def test_a_delete_is_noticed_while_the_provider_asks_for_patience(
    user: User, garment_id: str, simulator: Simulator, redis: Redis
) -> None:
    patience = {"at": "status", "kind": "http", "status": 429, "headers": {"Retry-After": "4"}}
    simulator.change(faults=[patience])
    sessions = [user.start(garment_id) for _ in range(2)]
    until(lambda: simulator.stats()["polls"])

    for session_id in sessions:
        user.call("DELETE", f"/api/try-on/{session_id}")

    for session_id in sessions:
        until(lambda: not redis.exists(f"vton:alive:{session_id}"))  # noqa: B023 - at once


def test_retention_takes_the_row_the_photo_and_the_result(
    user: User, garment_id: str, services: Services, redis: Redis, database: Database
) -> None:
    old, new = user.start(garment_id), user.start(garment_id)
    user.wait(old)
    user.wait(new)
    older(database, old, 31 * 86_400)

    sweep(services, redis)
    sweep(services, redis)

    rows = database.execute("select id::text from try_on_history where user_id = %s", [user.id])
    assert [session_id for (session_id,) in rows] == [new]
    assert len(objects_of(database, user)) == 3


def test_a_deleted_account_takes_its_pictures_along(
    sign_up: Callable[[], User],
    garment_id: str,
    services: Services,
    redis: Redis,
    database: Database,
) -> None:
    user = sign_up()
    user.wait(user.start(garment_id))
    assert len(objects_of(database, user)) == 3

    database.execute("delete from auth.users where id = %s", [user.id])
    sweep(services, redis)

    assert objects_of(database, user) == []


def test_an_account_that_used_an_idempotency_key_can_be_deleted(
    sign_up: Callable[[], User],
    garment_id: str,
    services: Services,
    redis: Redis,
    database: Database,
) -> None:
    user = sign_up()
    started = user.call(
        "POST",
        "/api/try-on",
        files={"userImage": ("me.jpg", jpeg())},
        data={"garmentId": garment_id},
        headers={"Idempotency-Key": "once"},
    )
    session_id = started.json()["data"]["sessionId"]
    user.wait(session_id)
    keys = "select session_id::text from idempotency_keys where user_id = %s"
    assert database.execute(keys, [user.id]).fetchall() == [(session_id,)]

    database.execute("delete from auth.users where id = %s", [user.id])
    sweep(services, redis)

    assert database.execute(keys, [user.id]).fetchall() == []
    assert objects_of(database, user) == []
    paid = database.execute("select outcome from submits where session_id = %s", [session_id])
    assert paid.fetchall() == [("accepted",)]  # what was paid for stays in the ledger


def test_a_garment_that_is_removed_leaves_the_sessions_that_had_it(
    user: User, garment_id: str, database: Database
) -> None:
    row = database.execute(
        "insert into garments (name, image_url)"
        " select 'Last season', image_url || '?last' from garments where id = %s returning id",
        [garment_id],
    ).fetchone()
    assert row is not None
    session_id = user.start(garment_id)
    picture = user.wait(session_id)["resultImageUrl"]
    database.execute(
        "update try_on_history set garment_id = %s where id = %s", [row[0], session_id]
    )
    [before] = user.call("GET", "/api/try-on/history").json()["data"]
    assert before["garment"]["name"] == "Last season"

    database.execute("delete from garments where id = %s", [row[0]])

    [after] = user.call("GET", "/api/try-on/history").json()["data"]
    assert (after["sessionId"], after["status"]) == (session_id, "success")
    assert (after["garment_id"], after["garment"]) == (None, None)
    assert requests.get(after["resultImageUrl"], timeout=10).ok
    assert requests.get(picture, timeout=10).ok
    assert len(objects_of(database, user)) == 3


def test_an_erasure_is_made_twice_and_then_forgotten(
    user: User, garment_id: str, services: Services, redis: Redis, database: Database
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    user.call("DELETE", f"/api/try-on/{session_id}")
    late = f"try-on-results/{user.id}/{session_id}_result.png"
    sweep(services, redis)
    services.runner.pictures.put(late, b"\x89PNG late", "image/png", replace=True)

    sweep(services, redis)
    assert objects_of(database, user) == [late]
    database.execute(
        "update erasures set created_at = created_at - interval '1 hour' where session_id = %s",
        [session_id],
    )
    sweep(services, redis)

    assert objects_of(database, user) == []
    left = database.execute("select 1 from erasures where session_id = %s", [session_id])
    assert left.fetchall() == []


@pytest.mark.parametrize("stage", ["queued", "submitting", "waiting", "downloading"])
def test_a_delete_at_any_stage_leaves_nothing(
    stage: str,
    user: User,
    garment_id: str,
    simulator: Simulator,
    redis: Redis,
    database: Database,
) -> None:
    faults = {
        "submitting": [{"at": "submit", "kind": "slow", "seconds": 1}],
        "downloading": [{"at": "result", "kind": "slow", "seconds": 1}],
    }
    simulator.change(delay=60 if stage == "waiting" else 0, faults=faults.get(stage, []))
    session_id = user.start(garment_id)
    reached = {
        "queued": lambda: True,
        "submitting": simulator.submits,
        "waiting": lambda: tasks(database, [session_id]),
        "downloading": lambda: simulator.stats()["downloads"] >= 1,
    }
    until(reached[stage])

    assert user.call("DELETE", f"/api/try-on/{session_id}").status_code == 200

    until(lambda: not redis.exists(f"vton:alive:{session_id}"))
    assert objects_of(database, user) == []
    assert user.call("GET", "/api/try-on/history").json()["data"] == []
    assert not redis.exists(f"rq:execution:{session_id}")


def tasks(database: Database, session_ids: list[str]) -> int:
    """How many of the sessions have their task stored."""
    row = database.execute(
        "select count(task_id) from provider_tasks where session_id = any(%s::uuid[])",
        [session_ids],
    ).fetchone()
    assert row is not None
    return int(row[0])
