"""Ready, and served: what a router and a monitor are told, and how often somebody is asked."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import requests
from actors import User, until
from redis import Redis

from config import Config
from devstack.stack import Stack
from vton.adapters.health import WAITING_SECONDS
from vton.app import create_app
from vton.errors import Unavailable
from vton.web.health import REMEMBERED_SECONDS, Parts


def away() -> None:
    """What a part says that is not there."""
    raise Unavailable("it hangs")


def test_a_part_that_is_away_is_named_and_the_others_are_not() -> None:
    parts = Parts({"redis": away, "storage": lambda: None})

    assert parts.broken() == {"redis": ["it hangs"]}


def test_an_answer_is_remembered_for_two_seconds() -> None:
    asked: list[int] = []
    clock = [0.0]
    parts = Parts({"redis": lambda: asked.append(1)}, lambda: clock[0])

    for seconds in (0.0, 1.0, REMEMBERED_SECONDS - 0.1, REMEMBERED_SECONDS, 3.9):
        clock[0] = seconds
        assert parts.broken() == {}

    assert len(asked) == 2


def test_many_who_ask_at_once_share_one_answer() -> None:
    asked: list[int] = []
    begin = threading.Barrier(16)

    def slow() -> None:
        asked.append(1)
        threading.Event().wait(0.1)

    parts = Parts({"redis": slow})

    def ask(_: int) -> object:
        begin.wait()
        return parts.broken()

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(16)))

    assert answers == [{}] * 16
    assert len(asked) == 1


def health(stack: Stack, path: str) -> tuple[int, dict[str, list[str]]]:
    """What a process that has just begun answers."""
    answer = create_app(Config.from_env(stack.child_environ)).test_client().get(f"/health/{path}")
    return answer.status_code, answer.get_json().get("errors", {})


def test_all_is_well(stack: Stack) -> None:
    for path in ("live", "ready", "service"):
        assert requests.get(f"{stack.web_url}/health/{path}", timeout=10).status_code == 200


@contextmanager
def setting(redis: Redis, name: str, value: object) -> Iterator[None]:
    """Redis with another setting, for a while."""
    before = redis.config_get(name)[name]
    redis.config_set(name, value)
    try:
        yield
    finally:
        redis.config_set(name, before)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("maxmemory", 1, "maxmemory"), ("min-replicas-to-write", 1, "NOREPLICAS")],
)
def test_a_redis_that_takes_no_write_is_not_ready(
    stack: Stack, redis: Redis, name: str, value: object, why: str
) -> None:
    with setting(redis, name, value):
        status, errors = health(stack, "ready")

    assert status == 503
    assert list(errors) == ["redis"]
    assert why in errors["redis"][0]


def test_a_schema_that_is_not_this_releases_is_not_ready(
    stack: Stack, database: psycopg.Connection[Any]
) -> None:
    function = "create or replace function schema_version() returns int language sql as '{}'"
    try:
        database.execute(function.format("select 0").encode())
        assert health(stack, "ready") == (
            503, {"database": ["the schema is version 0, 2 is needed"]}
        )  # fmt: skip
        database.execute(function.format("select 3").encode())
        assert health(stack, "ready")[0] == 200
        database.execute("alter function schema_version() rename to hidden")
        why = health(stack, "ready")[1]["database"][0]
        assert "run `flask --app wsgi migrate`" in why
        database.execute("alter function hidden() rename to schema_version")
    finally:
        database.execute(function.format("select 2").encode())


def test_without_a_worker_it_is_ready_and_not_served(stack: Stack) -> None:
    stack.end_process("worker", signal.SIGTERM)
    try:
        assert health(stack, "ready") == (200, {})
        assert health(stack, "service") == (503, {"worker": ["no worker lives"]})
    finally:
        stack.start_process("worker")

    until(lambda: health(stack, "service")[0] == 200)


def test_a_session_that_waits_for_long_is_told_to_the_monitor(
    stack: Stack, user: User, database: psycopg.Connection[Any]
) -> None:
    database.execute(
        "insert into try_on_history (user_id, original_user_image_url, created_at) values"
        " (%(id)s::uuid, 'user-uploads/' || %(id)s::text || '/1_original.jpg',"
        "  now() - %(age)s * '1 s'::interval)",
        {"id": user.id, "age": WAITING_SECONDS + 30},
    )
    try:
        assert health(stack, "ready")[0] == 200
        status, errors = health(stack, "service")
    finally:
        database.execute("delete from try_on_history where user_id = %s", [user.id])

    assert status == 503
    assert errors["queue"][0].startswith("a session has waited for 15")
