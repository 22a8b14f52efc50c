"""Polls: answered from Redis, and never wrong for long, whatever Redis has forgotten or kept."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import requests
from actors import Simulator, User
from flask import request
from redis import Redis

from config import Config
from devstack.stack import Stack
from vton.adapters.redis.cache import Cache
from vton.adapters.redis.queue import LEADER_KEY, NEW_GENERATION_KEY
from vton.adapters.redis.signed_urls import CACHED_SECONDS, SIGNED_SECONDS, SignedUrlCache, dump
from vton.adapters.redis.status_cache import (
    DELETED_SECONDS,
    ENDED_SECONDS,
    FILLED_SECONDS,
    MIN_SAMPLES,
    SAMPLES_KEY,
    TYPICAL_KEY,
    UNFINISHED_SECONDS,
    RedisStatusCache,
    status_key,
)
from vton.app import create_app
from vton.tryon.model import SessionState, Status, failed, result_path
from vton.tryon.ports.queue import TypicalDurations
from vton.tryon.ports.storage import SignedUrl
from vton.tryon.routes import TAG_SECONDS
from vton.wiring import Services


@pytest.fixture
def calls(stack: Stack) -> Callable[[], int]:
    """How often Supabase was called since the test began, but for the sweep's own calls."""
    panel = f"{stack.settings['SUPABASE_URL']}/_gateway"
    requests.post(f"{panel}/reset", timeout=5).raise_for_status()

    def count() -> int:
        counts: dict[str, int] = requests.get(f"{panel}/calls", timeout=5).json()
        swept = ("erasures", "submits", "idempotency_keys")
        return sum(
            times for call, times in counts.items() if call != "total" and not call.endswith(swept)
        )

    return count


@pytest.fixture
def statuses(stack: Stack, redis: Redis) -> RedisStatusCache:
    """What the service's processes write to."""
    config = Config.from_env(stack.child_environ)
    cache = Cache(redis)
    bucket_url = f"{config.supabase_url}/{config.storage_bucket}"
    return RedisStatusCache(cache, SignedUrlCache(cache, bucket_url))


@pytest.fixture
def typical(redis: Redis) -> Iterator[Redis]:
    """Redis, where no durations are known, before and after."""
    redis.delete(SAMPLES_KEY, TYPICAL_KEY)
    yield redis
    redis.delete(SAMPLES_KEY, TYPICAL_KEY)


def poll(user: User, session_id: str, tag: str = "") -> requests.Response:
    """One poll, as a browser makes it that has polled before."""
    headers = {"If-None-Match": tag} if tag else {}
    return user.call("GET", f"/api/try-on/{session_id}/status", headers=headers)


def forget(redis: Redis, user: User, session_id: str) -> None:
    """Have Redis forget what it knows of a session's status."""
    redis.delete(status_key(user.id, session_id))


def test_while_a_worker_has_it_no_poll_calls_supabase(
    user: User, garment_id: str, simulator: Simulator, calls: Callable[[], int]
) -> None:
    simulator.change(delay=60)
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")
    before = calls()

    assert {user.status(session_id)["status"] for _ in range(30)} == {"processing"}
    assert {poll(user, session_id, "W/x").status_code for _ in range(10)} == {200}

    # the sweep looks at what is unfinished, and the run records its outcome
    assert calls() - before <= 2
    simulator.change(delay=0)


def test_a_session_that_redis_has_forgotten_is_found_in_the_database(
    user: User, garment_id: str, simulator: Simulator, redis: Redis
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    forget(redis, user, session_id)

    assert user.status(session_id)["status"] == "success"
    assert 0 < redis.ttl(status_key(user.id, session_id)) <= FILLED_SECONDS


def test_nothing_is_believed_for_long(
    user: User, garment_id: str, simulator: Simulator, redis: Redis
) -> None:
    simulator.change(delay=60)
    running = user.start(garment_id)
    user.wait(running, "processing")
    assert 0 < redis.ttl(status_key(user.id, running)) <= UNFINISHED_SECONDS
    user.call("DELETE", f"/api/try-on/{running}")
    assert 0 < redis.ttl(status_key(user.id, running)) <= DELETED_SECONDS
    simulator.change(delay=0)
    done = user.start(garment_id)
    user.wait(done)
    assert 0 < redis.ttl(status_key(user.id, done)) <= ENDED_SECONDS


def test_another_users_poll_finds_nothing_of_what_is_cached(
    user: User, sign_up: Callable[[], User], garment_id: str, simulator: Simulator
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)

    assert poll(sign_up(), session_id).json()["code"] == "session_not_found"


STALE = [SessionState(Status.QUEUED), SessionState(Status.PROCESSING, began_at=1.0)]


@pytest.mark.parametrize("end", [SessionState(Status.SUCCESS), failed("provider_failed")])
@pytest.mark.parametrize("stale", STALE)
def test_a_stalled_run_does_not_bring_back_what_was(
    statuses: RedisStatusCache, end: SessionState, stale: SessionState
) -> None:
    user_id, session_id = str(uuid4()), str(uuid4())
    statuses.advance(user_id, session_id, end)

    statuses.advance(user_id, session_id, stale)
    statuses.set_if_absent(user_id, session_id, stale)
    statuses.extend_ttl([(user_id, session_id)])

    assert statuses.find(user_id, session_id).state == end


@pytest.mark.parametrize("late", [*STALE, SessionState(Status.SUCCESS), failed("interrupted")])
def test_what_comes_after_a_delete_stays_deleted(
    statuses: RedisStatusCache, late: SessionState
) -> None:
    user_id, session_id = str(uuid4()), str(uuid4())
    statuses.mark_deleted(user_id, session_id)

    statuses.advance(user_id, session_id, late)
    statuses.set_if_absent(user_id, session_id, late)

    cached = statuses.find(user_id, session_id)
    assert (cached.state, cached.deleted) == (None, True)


def test_a_reader_that_was_slow_does_not_replace_what_is_newer(statuses: RedisStatusCache) -> None:
    user_id, session_id = str(uuid4()), str(uuid4())
    statuses.advance(user_id, session_id, SessionState(Status.PROCESSING))

    statuses.set_if_absent(user_id, session_id, SessionState(Status.QUEUED))

    assert statuses.find(user_id, session_id).state == SessionState(Status.PROCESSING)


def test_the_sweep_extends_what_is_unfinished_and_brings_nothing_back(
    user: User, garment_id: str, simulator: Simulator, redis: Redis, services: Services
) -> None:
    simulator.change(delay=60)
    kept, forgotten = user.start(garment_id), user.start(garment_id)
    for session_id in (kept, forgotten):
        user.wait(session_id, "processing")
    redis.expire(status_key(user.id, kept), 2)
    forget(redis, user, forgotten)

    redis.delete(LEADER_KEY, NEW_GENERATION_KEY)
    services.sweep.run_once()

    assert redis.ttl(status_key(user.id, kept)) > 2
    assert not redis.exists(status_key(user.id, forgotten))
    simulator.change(delay=0)


# -- the middleware ---------------------------------------------------------------------------

STATES = {
    "queued": SessionState(Status.QUEUED),
    "processing": SessionState(Status.PROCESSING, queued_at=1.0, began_at=2.0),
    "failed": failed("photo_rejected"),
    "success": SessionState(Status.SUCCESS),
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("origin", [None, "http://localhost:5173"])
def test_the_middleware_answers_what_the_view_does(
    stack: Stack,
    user: User,
    statuses: RedisStatusCache,
    redis: Redis,
    name: str,
    origin: str | None,
) -> None:
    app = create_app(Config.from_env(stack.child_environ))
    viewed: list[str] = []
    app.before_request(lambda: viewed.append(request.path))
    session_id = str(uuid4())
    statuses.advance(user.id, session_id, STATES[name])
    url = SignedUrl("https://x.supabase.co/sign/a.png?token=t", datetime.now(UTC))
    redis.set(statuses._results.key(result_path(user.id, session_id)), dump(url), ex=20)
    headers = {"Authorization": f"Bearer {user.token}", "X-Request-ID": "mine"}
    headers |= {"Origin": origin} if origin else {}

    def ask(**more: str) -> tuple[int, list[tuple[str, str]], bytes]:
        path = f"/api/try-on/{session_id}/status"
        answer = app.test_client().get(path, headers={**headers, **more})
        return answer.status_code, sorted(answer.headers), answer.data

    by_the_view = ask()
    by_the_middleware = ask()
    tag = dict(by_the_view[1])["ETag"]
    unchanged = ask(**{"If-None-Match": tag})
    app.wsgi_app = app.wsgi_app.app._app  # type: ignore[attr-defined]

    assert len(viewed) == 1
    assert by_the_middleware == by_the_view
    assert unchanged == ask(**{"If-None-Match": tag})
    assert (unchanged[0], len(viewed)) == (304, 2)


# -- ETag ------------------------------------------------------------------------------------


def test_what_has_not_changed_is_not_sent_again(
    user: User, garment_id: str, simulator: Simulator, typical: Redis
) -> None:
    simulator.change(delay=60)
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")
    first = poll(user, session_id)

    again = poll(user, session_id, first.headers["ETag"])

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Cache-Control"] == "private, no-cache"
    assert again.headers["X-Request-ID"]
    simulator.change(delay=0)


def test_an_end_changes_the_tag_and_a_new_signature_does_not(
    user: User, garment_id: str, simulator: Simulator, typical: Redis
) -> None:
    simulator.change(delay=1)
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")
    before = poll(user, session_id).headers["ETag"]
    user.wait(session_id)

    ended = poll(user, session_id, before)
    assert (ended.status_code, ended.json()["data"]["status"]) == (200, "success")
    for key in typical.scan_iter("vton:signed:*"):
        typical.delete(key)
    assert poll(user, session_id, ended.headers["ETag"]).status_code == 304


def test_a_tag_changes_before_the_url_expires() -> None:
    """A URL that is handed out is good for half its life at least; a tag lasts less long."""
    assert TAG_SECONDS < SIGNED_SECONDS - CACHED_SECONDS


def test_an_ended_status_is_answered_from_redis_alone(
    user: User, statuses: RedisStatusCache
) -> None:
    session_id = str(uuid4())  # not even in the database
    statuses.advance(user.id, session_id, failed("photo_rejected"))

    first = poll(user, session_id)

    assert first.json()["data"]["error"]["code"] == "photo_rejected"
    assert poll(user, session_id, first.headers["ETag"]).status_code == 304


# -- etaSeconds ------------------------------------------------------------------------------


def test_an_eta_is_what_the_last_ones_took(
    user: User, statuses: RedisStatusCache, typical: Redis
) -> None:
    session_id = str(uuid4())

    def eta(**times: float) -> int | None:
        typical.delete(status_key(user.id, session_id))
        status = Status.PROCESSING if "began_at" in times else Status.QUEUED
        statuses.advance(user.id, session_id, SessionState(status, **times))
        found: int | None = poll(user, session_id).json()["data"]["etaSeconds"]
        return found

    for count, (wait, run) in enumerate([(1, 30), (2, 40), (100, 50), (3, 20), (4, 900)]):
        assert (count, eta(queued_at=time.time())) == (count, None)
        statuses.record_durations(TypicalDurations(wait, run))
    assert count + 1 == MIN_SAMPLES

    assert eta(queued_at=time.time()) in (42, 43)  # the medians: 3 s of waiting, 40 of running
    assert eta(queued_at=time.time() - 200, began_at=time.time() - 10) in (29, 30, 31)
    assert eta(queued_at=time.time() - 60, began_at=time.time() - 50) is None  # it takes longer
    typical.delete(status_key(user.id, session_id))
    statuses.advance(user.id, session_id, SessionState(Status.SUCCESS, queued_at=time.time()))
    assert poll(user, session_id).json()["data"]["etaSeconds"] is None


def test_durations_are_measured(
    user: User, garment_id: str, simulator: Simulator, typical: Redis
) -> None:
    for _ in range(MIN_SAMPLES):
        user.wait(user.start(garment_id))

    simulator.change(delay=60)
    assert user.wait(user.start(garment_id), "processing")["etaSeconds"] in (None, 1, 2, 3)
    assert typical.llen(SAMPLES_KEY) == MIN_SAMPLES
    assert typical.exists(TYPICAL_KEY)
    simulator.change(delay=0)


@pytest.mark.parametrize("rubbish", [b"2", b"2[]", b"x", b'2["waiting",null,null,null,null]'])
def test_an_entry_that_cannot_be_read_is_no_answer(
    user: User, garment_id: str, simulator: Simulator, redis: Redis, rubbish: bytes
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    redis.set(status_key(user.id, session_id), rubbish, ex=5)

    assert poll(user, session_id).json()["data"]["status"] == "success"
